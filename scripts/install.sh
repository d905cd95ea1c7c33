#!/bin/sh
# usage: scripts/install.sh [--router URL | --with-router ADDRESS] [--key-file FILE] [--gateway ADDRESS] [--from FOLDER|URL] [--user] [--uninstall]
#
# Installs the worker as a service of this host, or upgrades it: running jobs are finished first. Also as
# `curl … | sh -s -- --from URL`. What it installs is in a folder or below a URL: auxot-worker-SYSTEM-ARCHITECTURE, engine
# archives engine-BACKEND-SYSTEM-ARCHITECTURE.tar.gz, models (a folder only), and SHA256SUMS with its signature SHA256SUMS.sig.
# The signature must be that of a trusted key (ssh-keygen -Y): one of AUXOT_SIGNERS, else of the installation before, else of
# this script. From a folder nothing touches the network.
#   --router     the router's address
#   --key-file   a file with the worker key, or - for standard input; else AUXOT_GPU_KEY or AUXOT_GPU_KEY_FILE, else the key of
#                the installation before, else it is read from the terminal, unseen
#   --with-router  a router on this host too, for clients that connect to this address, as 127.0.0.1:8080: its keys are made, the
#                worker uses it, and the key for clients is shown once
#   --gateway    an address for programs of this host; with it no router is needed
#   --user       a service of this user, without root
#   --uninstall  removes all but the models
set -eu

# The keys of whom this script was released by, one a line; make-airgap.sh and dist.sh fill it in.
release_signers=''

say() { printf '%s\n' "$*" >&2; }
die() { say "install: $*"; exit 1; }
usage() { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
has() { command -v "$1" >/dev/null 2>&1; }

router='' with_router='' key_file='' gateway='' from=${AUXOT_RELEASE:-} user='' uninstall=false
while [ $# -gt 0 ]; do
  case $1 in
    --user) user=--user; shift ;;
    --uninstall) uninstall=true; shift ;;
    --router | --with-router | --key-file | --gateway | --from)
      [ $# -ge 2 ] || usage
      case $1 in --router) router=$2 ;; --with-router) with_router=$2 ;; --key-file) key_file=$2 ;; --gateway) gateway=$2 ;; --from) from=$2 ;; esac
      shift 2 ;;
    *) usage ;;
  esac
done

if [ -z "$user" ] && [ "$(id -u)" != 0 ]; then die "cannot install for the system as this user: run it as root, or with --user"; fi
if [ -n "$user" ]; then bin=$HOME/.local/bin lib=$HOME/.local/lib/auxot models=$HOME/.local/state/auxot/models config=$HOME/.config/auxot
else bin=/usr/local/bin lib=/usr/local/lib/auxot models=/var/lib/auxot/models config=/etc/auxot; fi

if $uninstall; then
  rm -f "$config/release-signers"
  [ ! -x "$bin/auxot-worker" ] || "$bin/auxot-worker" uninstall $user
  rm -rf "$lib"
  exit 0
fi

# --- What this host is ---------------------------------------------------------------------------------

case $(uname -s) in Linux) system=linux ;; Darwin) system=macos ;; *) die "cannot install on $(uname -s): Linux and macOS are supported" ;; esac
case $(uname -m) in x86_64 | amd64) machine=x86_64 ;; aarch64 | arm64) machine=aarch64 ;; *) die "cannot install on $(uname -m): x86_64 and aarch64 are supported" ;; esac
backends=cpu
if [ "$system" = macos ]; then backends="metal cpu"
elif [ -e /dev/nvidiactl ] || { has nvidia-smi && nvidia-smi -L >/dev/null 2>&1; }; then backends="cuda vulkan cpu"
elif [ -e /dev/kfd ]; then backends="rocm vulkan cpu"
elif [ -n "$(find /dev/dri -name 'renderD*' 2>/dev/null)" ]; then backends="vulkan cpu"; fi
say "this host: $system on $machine; engines in this order: $backends"

# --- What is installed -----------------------------------------------------------------------------------

[ -n "$from" ] || from=$(cd "$(dirname "$0")" && pwd)
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM

# A file of the release, checked; the path that it has here.
get() {
  case $from in
    http://* | https://*)
      if has curl; then curl --fail --silent --show-error --location --retry 3 --output "$work/$1" "$from/$1"
      elif has wget; then wget --quiet --output-document="$work/$1" "$from/$1"
      else die "cannot download: install curl"; fi || return 1
      file=$work/$1 ;;
    *) file=$from/$1; [ -f "$file" ] || return 1 ;;
  esac
}
check() {
  if has sha256sum; then found=$(sha256sum "$file"); else found=$(shasum -a 256 "$file"); fi
  found=${found%% *}
  wanted=$(awk -v name="$1" '{ path = substr($0, 67); sub(/^\.\//, "", path); if (path == name) print $1 }' "$sums")
  [ "$found" = "$wanted" ] || die "cannot use $1: its sha256 is $found, and SHA256SUMS says ${wanted:-nothing}"
}

get SHA256SUMS || die "cannot find SHA256SUMS in $from"
sums=$file
signers=${AUXOT_SIGNERS:-}
# The worker takes no variable of this name that it does not know.
unset AUXOT_SIGNERS AUXOT_RELEASE
if [ -n "$signers" ]; then [ -f "$signers" ] || die "cannot find the file of trusted keys $signers"
elif [ -f "$config/release-signers" ]; then signers=$config/release-signers
elif [ -n "$release_signers" ]; then
  printf '%s\n' "$release_signers" >"$work/signers"
  signers=$work/signers
fi
if [ -n "$signers" ]; then
  has ssh-keygen || die "cannot check the signature: ssh-keygen is missing; install it (openssh-client)"
  get SHA256SUMS.sig || die "cannot find SHA256SUMS.sig in $from: it must have a signature of a key in $signers"
  ssh-keygen -Y verify -f "$signers" -I auxot -n auxot-release -s "$file" <"$sums" >"$work/signer" 2>&1 ||
    die "cannot use $from: the signature of SHA256SUMS is not one of a key in $signers"
  say "signed with $(sed 's/.* with //' "$work/signer")"
else
  say "the signature of the release is not checked: no key is trusted; AUXOT_SIGNERS names a file of them"
fi

name=auxot-worker-$system-$machine
get "$name" || die "cannot find $name in $from"
check "$name"
worker=$work/auxot-worker
cp "$file" "$worker"
chmod 755 "$worker"
"$worker" version >/dev/null || die "cannot run $name on this host"
# Beside the worker, where its installation looks for it.
name=auxot-router-$system-$machine
if [ -n "$with_router" ] || [ -x "$bin/auxot-router" ]; then
  if get "$name"; then
    check "$name"
    cp "$file" "$work/auxot-router"
    chmod 755 "$work/auxot-router"
  elif [ -n "$with_router" ]; then die "cannot find $name in $from"; fi
fi

engine=
for backend in $backends; do
  archive=engine-$backend-$system-$machine.tar.gz
  get "$archive" 2>/dev/null || continue
  check "$archive"
  rm -rf "$lib/engine.new"
  mkdir -p "$lib/engine.new"
  tar -xzf "$file" -C "$lib/engine.new"
  if ! "$lib/engine.new/llama-server" --version >/dev/null 2>&1; then
    say "$archive does not start here; trying the next"
    continue
  fi
  # A running engine keeps the files that it has open.
  rm -rf "$lib/engine.old"
  [ ! -d "$lib/engine" ] || mv "$lib/engine" "$lib/engine.old"
  mv "$lib/engine.new" "$lib/engine"
  rm -rf "$lib/engine.old"
  engine=$lib/engine/llama-server
  say "engine: $backend"
  break
done
[ -n "$engine" ] || engine=$(command -v llama-server) || die "cannot find an engine: $from has none for this host, and there is no llama-server in PATH"

if [ -d "$from/models" ]; then
  mkdir -p "$models"
  # What `bundle verify` has seen may have changed since.
  (cd "$from" && find models -type f) >"$work/models"
  while read -r model; do
    get "$model"
    check "$model"
  done <"$work/models"
  cp -Rn "$from/models/." "$models/"
fi

# --- The service ---------------------------------------------------------------------------------------

# The terminal shows again what is typed, however this ends.
shown() { stty echo </dev/tty 2>/dev/null || true; }
if [ "$key_file" = - ]; then
  key_file=$work/key
  (umask 077 && head -n 1 >"$key_file")
  [ -s "$key_file" ] || die "cannot read the worker key from standard input: it is empty"
elif [ -n "$key_file" ]; then
  [ -f "$key_file" ] || die "cannot find the key file $key_file"
elif [ -z "${AUXOT_GPU_KEY:-}${AUXOT_GPU_KEY_FILE:-}$gateway$with_router" ] && [ ! -f "$config/worker-key" ]; then
  (: </dev/tty) 2>/dev/null || die "cannot ask for the worker key without a terminal: name a file with --key-file"
  trap 'shown; rm -rf "$work"' EXIT
  printf 'Worker key: ' >/dev/tty
  stty -echo </dev/tty
  read -r key </dev/tty || true
  shown
  printf '\n' >/dev/tty
  [ -n "$key" ] || die "cannot go on without a worker key"
  key_file=$work/key
  (umask 077 && printf '%s\n' "$key" >"$key_file")
fi
# In the environment of this one call, which is the root's alone.
[ -z "$router" ] || { AUXOT_ROUTER_URL=$router; export AUXOT_ROUTER_URL; }
[ -z "$gateway" ] || { AUXOT_GATEWAY_ADDR=$gateway; export AUXOT_GATEWAY_ADDR; }
[ -z "$key_file" ] || { AUXOT_GPU_KEY_FILE=$key_file; export AUXOT_GPU_KEY_FILE; }
AUXOT_LLAMA_BINARY=$engine "$worker" install $user ${with_router:+--with-router "$with_router"}
# The next version must be signed by the same.
if [ -n "$signers" ] && [ "$signers" != "$config/release-signers" ]; then cp "$signers" "$config/release-signers" && chmod 644 "$config/release-signers"; fi
