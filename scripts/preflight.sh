#!/usr/bin/env bash
# usage: scripts/preflight.sh run|test
#
# Looks, before anything is built, at what `make run` or `make test` needs: every missing program in one list, what is still
# to download, the disk that it takes and is free, and about how long it takes. Exit 1 where something is missing.
#
# The sizes are MB as measured for this tree; the times are those of two cores.
set -euo pipefail

cd "$(dirname "$0")/.."
case ${1:-} in run | test) command=$1 ;; *) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64 ;; esac

cache=${XDG_CACHE_HOME:-$HOME/.cache}/auxot
target=${CARGO_TARGET_DIR:-$cache/target}
missing=() packages=()
lacks() { missing+=("$1"); [ -z "${2:-}" ] || packages+=("$2"); }

# --- programs ---------------------------------------------------------------------------------------------------------
wanted=$(sed -n 's/^rust-version = "\(.*\)"/\1/p' Cargo.toml)
if command -v cargo >/dev/null && command -v rustc >/dev/null; then
  found=$(rustc --version | cut -d ' ' -f 2)
  [ "$(printf '%s\n%s\n' "$wanted" "${found%%-*}" | sort -V | head -n 1)" = "$wanted" ] ||
    lacks "Rust $wanted or newer (here is $found: rustup update)"
  if [ "$command" = test ]; then
    cargo fmt --version >/dev/null 2>&1 || lacks "rustfmt (rustup component add rustfmt)"
    cargo clippy --version >/dev/null 2>&1 || lacks "clippy (rustup component add clippy)"
  fi
else
  lacks "Rust $wanted or newer (install it with rustup)"
fi
command -v cc >/dev/null || lacks "a C compiler" gcc
command -v c++ >/dev/null || lacks "a C++ compiler" g++
command -v git >/dev/null || lacks git git
command -v python3 >/dev/null || lacks "Python 3" python3
python3 -m pip --version >/dev/null 2>&1 || python3 -c 'import ensurepip, venv' >/dev/null 2>&1 || lacks pip python3-pip
if [ ${#missing[@]} -gt 0 ]; then
  printf 'missing: %s' "${missing[0]}" >&2
  for thing in "${missing[@]:1}"; do printf ', %s' "$thing" >&2; done
  [ ${#packages[@]} -eq 0 ] || printf '; on Debian: apt-get install %s' "${packages[*]}" >&2
  printf '\n' >&2
  exit 1
fi

# --- what is still to do ----------------------------------------------------------------------------------------------
download=0 disk=0 minutes=0 steps=()
step() { steps+=("$1"); download=$((download + $2)) disk=$((disk + $3)) minutes=$((minutes + $4)); }

host=$(rustc -vV | sed -n 's/^host: //p')
cargo fetch --locked --offline --target "$host" >/dev/null 2>&1 || step "crates (60 MB)" 60 400 1
if [ "$command" = run ]; then
  [ -x "$target/debug/auxot-worker" ] || step "a build" 0 1200 2
else
  [ -n "$(find "$target/debug/deps" -maxdepth 1 -name 'conformance-*' 2>/dev/null)" ] ||
    step "a build with all tests" 0 4500 8
  minutes=$((minutes + 5))
fi
engines=$cache/engine
if [ -z "${AUXOT_LLAMA_BINARY:-}" ] && ! ls "$engines"/*/llama-server >/dev/null 2>&1; then
  if [ -f vendor/llama.cpp/CMakeLists.txt ]; then
    step "the engine, built from vendor/llama.cpp" 0 1500 8
  else
    step "an engine (68 MB; on a CPU without AMX 38 MB more and a build of one library)" 106 700 3
  fi
fi
model=$cache/models/gemma-3-270m-q4_k_m.gguf
[ -f "$model" ] || { [ "$command" = run ] && [ -n "${DEMO_MODEL:-}" ]; } || step "a model (240 MB)" 240 520 1

if [ ${#steps[@]} -gt 0 ]; then
  printf 'still to get: %s' "${steps[0]}"
  for one in "${steps[@]:1}"; do printf ', %s' "$one"; done
  printf '\n'
fi

# --- disk -------------------------------------------------------------------------------------------------------------
mkdir -p "$cache" "$target"
free=$(df -Pm "$target" | awk 'NR == 2 { print $4 }')
if [ ${#steps[@]} -gt 0 ]; then
  printf 'in all: %s MB to download, %s MB of disk (%s MB are free), about %s min on two cores\n' \
    "$download" "$disk" "$free" "$minutes"
fi
if [ "$free" -lt "$disk" ]; then
  printf 'the disk of %s has %s MB free and %s MB are needed: free some, or set XDG_CACHE_HOME to another disk\n' \
    "$cache" "$free" "$disk" >&2
  exit 1
fi
