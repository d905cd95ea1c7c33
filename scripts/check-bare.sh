#!/usr/bin/env bash
# usage: scripts/check-bare.sh [run] [test] [ratio]
#
# Runs the README's two commands (or those named) in a bare Debian 12 root: minbase, the packages that the README names,
# and this machine's Rust toolchain, nothing else. What works only here, because of a package or a cache that this machine
# happens to have, fails there. Needs root, debootstrap, and the package registries; the tree checked is HEAD, not the working tree.
#
# The root is made anew each time in BARE_ROOT (/tmp/auxot-bare), from a minbase archive that is kept in the cache, and removed
# when all has passed. KEEP=1 keeps it; TEST_USER=1 runs the commands as a user other than root.
#
# `ratio` is a figure, for a quiet machine: the time of `make run` up to its answer, over the time of its build and downloads alone,
# each without a build, an engine or a model, and with the crates fetched before. More than 1.15 is a failure.
set -euo pipefail

cd "$(dirname "$0")/.."
commands=("$@")
[ ${#commands[@]} -gt 0 ] || commands=(run test)
for command in "${commands[@]}"; do
  case $command in run | test | ratio) ;; *) sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64 ;; esac
done

die() { printf 'check-bare: %s\n' "$*" >&2; exit 1; }
say() { printf 'check-bare: %s\n' "$*"; }

[ "$(id -u)" -eq 0 ] || die "cannot make a root folder: run it as root"
command -v debootstrap >/dev/null || die "debootstrap is missing; install it: apt-get install debootstrap"
toolchain=$(rustc --print sysroot) || die "rustc is missing; install Rust with rustup"
packages=$(sed -n 's/^`apt-get install \([^`]*\)`.*/\1/p' README.md | head -n 1)
[ -n "$packages" ] || die "cannot find the README's line of packages"

root=$(realpath -m "${BARE_ROOT:-/tmp/auxot-bare}")
base=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/bare/minbase.tar
if [ ! -f "$base" ]; then
  say "making a minbase archive with debootstrap: some minutes, once"
  mkdir -p "$(dirname "$base")"
  rm -rf "$base.new.d"
  # Its messages go to standard output, failures too: they are shown where it fails.
  debootstrap --variant=minbase bookworm "$base.new.d" >"$base.log" || { tail -n 5 "$base.log" >&2; die "debootstrap failed"; }
  tar -C "$base.new.d" -cf "$base.new" .
  rm -rf "$base.new.d" "$base.log"
  mv "$base.new" "$base"
fi

unmount() {
  umount -R "$root/proc" 2>/dev/null || true
  umount -R "$root/dev" 2>/dev/null || true
  umount -R "$root/opt/rust" 2>/dev/null || true
}
# Removes the root. The toolchain is mounted below it: nothing is removed while anything is mounted there.
remove() {
  unmount
  ! grep -q " $root/" /proc/mounts || die "cannot unmount what lies below $root: a process of an earlier run may still use it"
  rm -rf --one-file-system "$root"
}
remove
mkdir -p "$root"
tar -C "$root" -xf "$base"
mkdir -p "$root/opt/rust" "$root/src"
cp /etc/resolv.conf "$root/etc/resolv.conf"
trap unmount EXIT
mount --bind "$toolchain" "$root/opt/rust"
mount -o remount,bind,ro "$root/opt/rust"
mount -t proc proc "$root/proc"
mount --rbind /dev "$root/dev"
mount --make-rslave "$root/dev"

inside() { env -i PATH=/opt/rust/bin:/usr/sbin:/usr/bin:/sbin:/bin HOME="$home" LANG=C.UTF-8 TERM=dumb chroot $as "$root" "$@"; }
home=/root as=''

say "installing what the README names: $packages"
inside apt-get update -qq
# shellcheck disable=SC2086 # the packages are words
inside env DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $packages >/dev/null
# A network whose proxy has a certificate of its own has given it to this machine.
if ls /usr/local/share/ca-certificates/*.crt >/dev/null 2>&1; then
  mkdir -p "$root/usr/local/share/ca-certificates"
  cp /usr/local/share/ca-certificates/*.crt "$root/usr/local/share/ca-certificates/"
  inside update-ca-certificates >/dev/null 2>&1 || die "cannot add this machine's certificates to the root"
fi
git clone --quiet --no-hardlinks . "$root/src/auxot-worker"
if [ -n "${TEST_USER:-}" ]; then
  inside useradd --create-home --uid 1000 tester
  inside chown -R tester:tester /src
  home=/home/tester as=--userspec=1000:1000
fi

# The root has no process of its own when a command has ended.
nothing_left() {
  local left
  # A process that ends meanwhile is no fault of find's.
  left=$({ find /proc -maxdepth 2 -name root -lname "$root" 2>/dev/null || true; } | cut -d / -f 3 | tr '\n' ' ')
  [ -n "$left" ] || return 0
  # shellcheck disable=SC2086 # the numbers are words
  for pid in $left; do
    say "left: $pid, in $(readlink "/proc/$pid/cwd" || true): $(tr '\0' ' ' <"/proc/$pid/cmdline" || true)" >&2
  done
  die "$1 left processes behind: $left"
}

now() { date +%s%3N; }

# `make run` up to its answer, and Ctrl-C. Sets `answered`, the milliseconds up to the answer.
run() {
  local log=$root/make-run.log group status=0 began
  began=$(now)
  # With job control it gets a group of its own. Ctrl-C is ignored where this script itself runs in the background of
  # another, and what was ignored at a start stays so: env makes it what it is at a terminal.
  set -m
  inside env --default-signal=INT sh -c 'cd /src/auxot-worker && make run' >"$log" 2>&1 &
  group=$!
  set +m
  until grep -q '^Ctrl-C ends it' "$log"; do
    kill -0 "$group" 2>/dev/null || { cat "$log"; die "make run ended by itself"; }
    sleep 0.1
  done
  answered=$(($(now) - began))
  kill -INT -- "-$group"
  wait "$group" || status=$?
  cat "$log"
  # 130 is make's own word for Ctrl-C.
  case $status in 0 | 2 | 130) ;; *) die "make run ended with $status after Ctrl-C" ;; esac
  nothing_left "make run"
}

# What `make run` builds and downloads, alone. Sets `parts`, its milliseconds.
build_and_downloads() {
  local began
  began=$(now)
  # shellcheck disable=SC2016 # HOME is that of the root
  inside sh -c 'cd /src/auxot-worker && CARGO_TARGET_DIR=$HOME/.cache/auxot/target cargo build --locked --package auxot-worker --package auxot-router &&
    scripts/get-engine.sh && scripts/get-model.sh' >"$root/parts.log" 2>&1 || { tail -n 20 "$root/parts.log" >&2; die "the build or a download failed"; }
  parts=$(($(now) - began))
}

forget_results() { inside rm -rf "$home/.cache"; }

for command in "${commands[@]}"; do
  began=$(now)
  case $command in
    run)
      say "make run"
      run ;;
    test)
      say "make test"
      inside sh -c 'cd /src/auxot-worker && make test' 2>&1 | tee "$root/make-test.log"
      nothing_left "make test" ;;
    ratio)
      inside sh -c 'cd /src/auxot-worker && cargo fetch --locked --quiet' || die "cannot fetch the crates"
      forget_results
      say "the build and the downloads of make run alone"
      build_and_downloads
      forget_results
      say "make run"
      run
      ratio=$(awk "BEGIN { printf \"%.3f\", $answered / $parts }")
      say "make run to its answer: $answered ms; its build and downloads alone: $parts ms; ratio $ratio (at most 1.15)"
      awk "BEGIN { exit !($ratio <= 1.15) }" || die "make run takes too much time beside its build and downloads" ;;
  esac
  say "$command passed in $((($(now) - began) / 1000)) s"
done

if [ -z "${KEEP:-}" ]; then
  remove
fi
