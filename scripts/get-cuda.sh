#!/bin/sh
# usage: scripts/get-cuda.sh
#
# Fetches NVIDIA's compiler and libraries as Python packages, each checked by its sha256, puts them together in the cache, and
# prints the folder: `CUDA_HOME=$(scripts/get-cuda.sh) make llama BACKEND=cuda` builds an engine for NVIDIA on a host without
# a toolkit, driver or card. 573 MB are fetched and 930 MB unpacked. Linux on x86-64 only. Other versions of the toolkit are
# better installed with the distribution's packages.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "get-cuda: $*"; exit 1; }
[ $# -eq 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
[ "$(uname -s) $(uname -m)" = "Linux x86_64" ] || die "cannot use NVIDIA's packages on $(uname -s) $(uname -m): they are for Linux on x86-64"

scripts=$(cd "$(dirname "$0")" && pwd)
cache=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/cuda
toolkit=$cache/13.5
if [ -x "$toolkit/bin/nvcc" ]; then
  printf '%s\n' "$toolkit"
  exit 0
fi
mkdir -p "$cache"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$cache/lock"
  flock 9
  if [ -x "$toolkit/bin/nvcc" ]; then
    printf '%s\n' "$toolkit"
    exit 0
  fi
fi

work=$(mktemp -d "$cache/.toolkit.XXXXXX")
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
mkdir "$work/toolkit"
while read -r name version sha256; do
  wheel=$("$scripts/fetch-package.sh" "$name" "$version" "$sha256")
  python3 "$scripts/wheel.py" unpack "$wheel" nvidia/cu13 "$work/part"
  cp -a "$work/part/." "$work/toolkit/"
  rm -rf "$work/part"
done <<'END'
nvidia-cuda-nvcc 13.5.37 f5c4f7ead5d964fb4af42bbf1e6d3ec3c1e6e9d83b53749f691d387e7fcaa3a7
nvidia-nvvm 13.5.37 c41bfa362e407405163f103c2229f0765f8cc2ed7d148b754dc77f228bf7e070
nvidia-cuda-crt 13.5.37 e898b7f73d3035fa89915a3f7bf3b54a73e90249746111aed295822c4729bb29
nvidia-cuda-runtime 13.5.37 df2b79a8852f10d1fef8c848489c49eebb5754051bf870202a862831412b179d
nvidia-cuda-cccl 13.3.5.0.6 d5230098fa2df5021e1a00c0c4eee41797671a91119d31e892463e5ccf3ee326
nvidia-cublas 13.10.0.20 dcc6d63884c53d07e267ce7e6feac17b2538cebaafec5db865736c3e28e4dc84
END
# The packages lack the names that a linker looks for.
for library in libcudart libcublas libcublasLt; do
  found=$(find "$work/toolkit/lib" -name "$library.so.*" | head -n 1)
  [ -n "$found" ] || die "the packages have no $library"
  ln -s "$(basename "$found")" "$work/toolkit/lib/$library.so"
done
"$work/toolkit/bin/nvcc" --version >/dev/null || die "the compiler of the packages does not start: $work/toolkit/bin/nvcc"
rm -rf "$toolkit"
mv "$work/toolkit" "$toolkit"
printf '%s\n' "$toolkit"
