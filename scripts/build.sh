#!/usr/bin/env bash
# usage: scripts/build.sh CARGO-ARGUMENT…
#
# `cargo build` with its own progress, after the crates have been fetched with a count. A lock that another cargo holds, a
# network that is not there and a full disk are each one line.
set -euo pipefail

[ $# -gt 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}
mkdir -p "$CARGO_TARGET_DIR/debug"

said=$(mktemp)
trap 'rm -f "$said"' EXIT
die() { printf '%s\n' "$*" >&2; exit 1; }

# What cargo's own words mean, where they mean one of these.
explain() {
  if grep -qi 'no space left' "$said"; then
    die "the disk is full: $(df -Pm "$CARGO_TARGET_DIR" | awk 'NR == 2 { print $4 }') MB are free for $CARGO_TARGET_DIR"
  elif grep -qiE 'resolve host|could not connect|failed to connect|timed out|network|dns' "$said"; then
    die "cannot fetch the crates: the registry is not reached; is this machine offline?"
  fi
}

host=$(rustc -vV | sed -n 's/^host: //p')
if ! cargo fetch --locked --offline --target "$host" >/dev/null 2>&1; then
  # Cargo names a crate when it has it. Its warnings of a network that comes and goes are kept for the end.
  total=$(grep -c '^\[\[package\]\]' Cargo.lock)
  [ -t 2 ] && ending='\r' || ending='\n'
  if ! CARGO_NET_RETRY=${CARGO_NET_RETRY:-3} CARGO_TERM_VERBOSE=false CARGO_TERM_PROGRESS_WHEN=never \
    cargo fetch --locked --target "$host" 2>&1 | tee "$said" | awk -v total="$total" -v ending="$ending" '
      $1 == "Downloaded" { n++; if (n % 20 == 0 || ending != "\\n") { printf "fetched %d of at most %d crates" ending, n, total; fflush() } }
      END { if (n) printf "fetched %d crates%20s\n", n, "" }' >&2; then
    explain
    cat "$said" >&2
    exit 1
  fi
fi

if command -v flock >/dev/null && ! flock -n "$CARGO_TARGET_DIR/debug/.cargo-lock" true 2>/dev/null; then
  printf 'waiting for another cargo that builds in %s\n' "$CARGO_TARGET_DIR" >&2
fi

# Straight to the terminal, so that cargo draws its bar; a full disk is seen afterwards.
if ! cargo build --locked "$@"; then
  free=$(df -Pm "$CARGO_TARGET_DIR" | awk 'NR == 2 { print $4 }')
  [ "$free" -gt 50 ] || die "the disk is full: $free MB are free for $CARGO_TARGET_DIR"
  exit 1
fi
