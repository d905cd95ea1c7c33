#!/bin/sh
# usage: scripts/dist.sh FOLDER [x86_64|aarch64…]
#
# Builds the worker and the router of a release for Linux with glibc 2.28 or newer, by default for this host's architecture:
# stripped, with their sizes, the installer, licences, a list of all libraries (SBOM) and SHA256SUMS, which SIGNING_KEY (a key
# of ssh-keygen) signs. cargo-zigbuild does it; where it is missing it and its compiler come as Python packages into the cache.
# Another architecture needs its standard library: `rustup target add`, or RUSTC of a compiler that has it. On macOS the
# host's own linker builds for macOS. The worker must stay below 14 MB.
set -eu

say() { printf '%s\n' "$*" >&2; }
die() { say "dist: $*"; exit 1; }
[ $# -ge 1 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
folder=$1
shift

scripts=$(cd "$(dirname "$0")" && pwd)
root=$scripts/..
cache=${XDG_CACHE_HOME:-$HOME/.cache}/auxot
target=${CARGO_TARGET_DIR:-$cache/target}
glibc=2.28
most_bytes=14000000
profile=${PROFILE:-release}
machine=$(uname -m)
[ "$machine" != arm64 ] || machine=aarch64
[ $# -gt 0 ] || set -- "$machine"
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)

zigbuild() {
  if ! command -v cargo-zigbuild >/dev/null 2>&1; then
    tools=$cache/zigbuild
    if [ ! -x "$tools/bin/cargo-zigbuild" ]; then
      say "installing cargo-zigbuild into $tools"
      python3 -m venv "$tools" && "$tools/bin/pip" install --quiet cargo-zigbuild==0.24.1 ziglang==0.17.1 ||
        die "cannot install cargo-zigbuild: the package registry is not reached"
    fi
    PATH=$tools/bin:$PATH
    export PATH
  fi
  cargo zigbuild "$@"
}

# The newest version of glibc that a program asks for.
needs() { readelf --wide --version-info "$1" | sed -n 's/.* Name: GLIBC_\([0-9.]*\) .*/\1/p' | sort -uV | tail -n 1; }

cd "$root"
for architecture in "$@"; do
  case $(uname -s) in
    Linux)
      triple=$architecture-unknown-linux-gnu system=linux
      # The linker strips: this host's `strip` may not know the architecture.
      zigbuild --config "profile.$profile.strip = 'symbols'" --profile "$profile" --target "$triple.$glibc" --package auxot-worker --package auxot-router --bins ;;
    Darwin)
      triple=$architecture-apple-darwin system=macos
      cargo build --config "profile.$profile.strip = 'symbols'" --profile "$profile" --target "$triple" --package auxot-worker --package auxot-router --bins ;;
    *) die "cannot build a release on $(uname -s)" ;;
  esac
  for program in auxot-worker auxot-router; do
    result=$folder/$program-$system-$architecture
    cp "$target/$triple/$profile/$program" "$result"
    bytes=$(wc -c <"$result" | tr -d ' ')
    say "$program for $system on $architecture: $bytes bytes$([ "$system" != linux ] || printf ', needs glibc %s' "$(needs "$result")")"
    if [ "$program" = auxot-worker ] && [ "$bytes" -gt $most_bytes ]; then say "dist: the worker is larger than $most_bytes bytes"; fi
    if [ "$system" = linux ] && [ -z "$(needs "$result")" ]; then die "cannot read which glibc $result needs: install readelf (binutils)"; fi
    if [ "$system" = linux ] && [ "$(printf '%s\n%s\n' "$(needs "$result")" "$glibc" | sort -V | tail -n 1)" != "$glibc" ]; then
      die "$result needs a newer glibc than $glibc"
    fi
  done
done

signer=
[ -z "${SIGNING_KEY:-}" ] || signer="auxot $(ssh-keygen -y -f "$SIGNING_KEY" | cut -d ' ' -f 1,2)" || die "cannot read the key $SIGNING_KEY"
sed "s|^release_signers=''\$|release_signers='$signer'|" "$scripts/install.sh" >"$folder/install.sh"
"$scripts/make-sbom.py" >"$folder/sbom.json"
mkdir -p "$folder/licences"
cp "$root"/LICENSE-* "$folder/licences/"
if cargo deny --version >/dev/null 2>&1; then
  cargo deny --all-features --config config/lint/deny.toml check licenses bans sources || die "a library has a licence or a version that is not allowed"
else
  say "cargo-deny is not installed: licences and bans are not checked"
fi

cd "$folder"
sums() { if command -v sha256sum >/dev/null 2>&1; then sha256sum "$@"; else shasum -a 256 "$@"; fi; }
find . -type f ! -name 'SHA256SUMS*' | sed 's|^\./||' | LC_ALL=C sort >"$target/dist-files"
while read -r file; do sums "$file"; done <"$target/dist-files" >SHA256SUMS
rm -f SHA256SUMS.sig
if [ -n "${SIGNING_KEY:-}" ]; then
  ssh-keygen -Y sign -q -f "$SIGNING_KEY" -n auxot-release <SHA256SUMS >SHA256SUMS.sig || die "cannot sign with $SIGNING_KEY"
fi
say "the release is in $folder"
