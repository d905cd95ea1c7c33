#!/bin/sh
# usage: scripts/gpu-check.sh MODEL.gguf OTHER.gguf [--source TARBALL] [--engine FILE] [--worker FILE]
#
# Shows on a host with a real card, in one go, what tests without one cannot: an engine is built (where nvcc is; TARBALL is
# llama.cpp's source), two models are loaded and answer, the memory of the card is compared with the estimate, one is swapped for
# the other, an engine and then the worker are killed and nothing is left. The evidence is JSON on standard output; the exit code
# is 1 where something failed. On a host without a card the same runs on the processor, and the JSON says so.
#   --engine   a llama-server that is here already; nothing is built
#   --worker   the worker; the default is that of the target folder, built if need be
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "gpu-check: $*"; exit 1; }
usage() { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
[ $# -ge 2 ] || usage
model=$1 other=$2 source='' engine='' worker='' built=null
shift 2
while [ $# -gt 0 ]; do
  [ $# -ge 2 ] || usage
  case $1 in --source) source=$2 ;; --engine) engine=$2 ;; --worker) worker=$2 ;; *) usage ;; esac
  shift 2
done

scripts=$(cd "$(dirname "$0")" && pwd)
for file in "$model" "$other"; do [ -f "$file" ] || die "cannot find $file"; done
if [ -z "$engine" ]; then
  start=$(date +%s)
  backend=auto
  if command -v nvcc >/dev/null 2>&1 || [ -x "${CUDA_HOME:-/usr/local/cuda}/bin/nvcc" ]; then backend=cuda; fi
  engine=$("$scripts/build-llama.sh" --backend "$backend" ${source:+--source "$source"}) || die "cannot build an engine"
  built=$(($(date +%s) - start))
fi
if [ -z "$worker" ]; then
  target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}
  worker=$target/release/auxot-worker
  [ -x "$worker" ] || cargo build --release --package auxot-worker >&2
fi
exec "$scripts/gpu-check.py" "$worker" "$engine" "$model" "$other" "$built"
