#!/bin/sh
# usage: scripts/make-airgap.sh BUNDLE.tar [MODEL.gguf…]
#
# Makes one tar file for a host without a network: worker, router, an engine for each of BACKENDS (default: cpu; ENGINE_FOLDER
# is one that is here already), these models, units, the installer, licences, a list of all libraries (SBOM), and the SHA-256 of
# each file, first of all. With SIGNING_KEY, a key of ssh-keygen, the list is signed. The same inputs make the same bytes, on another day, in another folder, by another user.
# `auxot-worker bundle verify BUNDLE.tar` checks it; unpacked, `sh install.sh` installs it.
set -eu

[ $# -ge 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
say() { printf '%s\n' "$*" >&2; }
die() { say "make-airgap: $*"; exit 1; }
bundle=$1
shift

scripts=$(cd "$(dirname "$0")" && pwd)
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}
profile=${PROFILE:-release}
case $(uname -s) in Linux) system=linux ;; Darwin) system=macos ;; *) die "cannot make a bundle on $(uname -s)" ;; esac
machine=$(uname -m)
[ "$machine" != arm64 ] || machine=aarch64
tar --version 2>/dev/null | grep -q GNU || die "needs GNU tar"

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
umask 022
release=$work/release
mkdir -p "$release/models" "$release/units" "$release/licences"

for program in auxot-worker auxot-router; do
  [ -x "$target/$profile/$program" ] || die "cannot find $target/$profile/$program; run: cargo build --release --workspace --bins"
  cp "$target/$profile/$program" "$release/$program-$system-$machine"
done

# The same files make the same archive: order, owner, time and rights are fixed.
pack() { tar --format=gnu --sort=name --owner=0 --group=0 --numeric-owner --mtime=@0 --mode=u=rwX,go=rX "$@"; }

# Copies the compiler's libraries beside the programs of an engine, which look there first: a plain host lacks some of them.
# The C library and the libraries of drivers are the host's.
libraries() {
  [ "$system" = linux ] || return 0
  ldd "$1"/* 2>/dev/null | awk '$2 == "=>" && $1 ~ /^lib(gomp|stdc\+\+|gcc_s|atomic)\.so/ { print $1, $3 }' | LC_ALL=C sort -u >"$work/libraries"
  while read -r name path; do
    [ -e "$1/$name" ] || cp -L "$path" "$1/$name"
  done <"$work/libraries"
}

for backend in ${BACKENDS:-cpu}; do
  server=${ENGINE_FOLDER:+$ENGINE_FOLDER/llama-server}
  [ -n "$server" ] || server=$("$scripts/build-llama.sh" --backend "$backend") || die "cannot build an engine for $backend"
  cp -R "$(dirname "$server")" "$work/engine"
  libraries "$work/engine"
  pack -cf "$work/engine.tar" -C "$work/engine" .
  gzip -n -9 <"$work/engine.tar" >"$release/engine-$backend-$system-$machine.tar.gz"
  rm -r "$work/engine.tar" "$work/engine"
done

for model in "$@"; do
  [ -f "$model" ] || die "cannot find the model $model"
  ln "$model" "$release/models/" 2>/dev/null || cp "$model" "$release/models/"
done
# With a signing key the installer knows it; a host that got the installer by another way can check the rest with it.
signer=
[ -z "${SIGNING_KEY:-}" ] || signer="auxot $(ssh-keygen -y -f "$SIGNING_KEY" | cut -d ' ' -f 1,2)" || die "cannot read the key $SIGNING_KEY"
sed "s|^release_signers=''\$|release_signers='$signer'|" "$scripts/install.sh" >"$release/install.sh"
[ -z "$signer" ] || printf '%s\n' "$signer" >"$release/release-signers"
cp "$scripts"/../config/systemd/*.service "$scripts"/../config/launchd/*.plist "$release/units/"
cp "$scripts"/../LICENSE-* "$release/licences/"
"$scripts/make-sbom.py" >"$release/sbom.json"

cd "$release"
LC_ALL=C find . -type f ! -name 'SHA256SUMS*' | LC_ALL=C sort | sed 's|^\./||' >"$work/files"
xargs -d '\n' sha256sum <"$work/files" >SHA256SUMS
first=SHA256SUMS
if [ -n "${SIGNING_KEY:-}" ]; then
  ssh-keygen -Y sign -q -f "$SIGNING_KEY" -n auxot-release <SHA256SUMS >SHA256SUMS.sig || die "cannot sign with $SIGNING_KEY"
  first="SHA256SUMS SHA256SUMS.sig"
fi
# The list comes first, so that all else can be checked in one reading.
# shellcheck disable=SC2086 # two names
pack --no-recursion -cf "$work/bundle.tar" $first --files-from "$work/files"
cd "$OLDPWD"
mv "$work/bundle.tar" "$bundle"
say "$bundle: $(wc -c <"$bundle") bytes, sha256 $(sha256sum "$bundle" | cut -d ' ' -f 1)"
