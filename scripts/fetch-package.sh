#!/bin/sh
# usage: scripts/fetch-package.sh NAME VERSION SHA256 [source]
#
# Fetches one wheel (or, with "source", one source archive) with pip into the cache and prints its path. The file is
# checked against SHA256 before its path is printed, also when it lay there already; one that does not fit is thrown
# away and fetched again.
#
# Resuming: a file that is whole is never fetched twice. A broken transfer is continued by pip itself where it can
# (pip >= 25.1); an older pip starts that one file again.
set -eu

[ $# -eq 3 ] || [ $# -eq 4 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }
name=$1 version=$2 sha256=$3 form=${4:-wheel}

say() { printf '%s\n' "$*" >&2; }
die() { say "fetch-package: $*"; exit 1; }

cache=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/downloads
mkdir -p "$cache"
case $form in
  wheel) file=$cache/$name-$version.whl choose=--only-binary=:all: ;;
  source) file=$cache/$name-$version.tar.gz choose=--no-binary=$name ;;
  *) die "cannot fetch a $form: only wheel and source are known" ;;
esac

# One process at a time for each file: a second one waits, then finds it. Without flock the rename below still keeps
# half a file from being seen; only the work may be done twice.
if command -v flock >/dev/null 2>&1; then
  exec 9>"$file.lock"
  flock -n 9 || { say "waiting for another process that fetches $name"; flock 9; }
fi

fits() {
  if command -v sha256sum >/dev/null 2>&1; then sum=$(sha256sum "$1"); else sum=$(shasum -a 256 "$1"); fi
  [ "${sum%% *}" = "$sha256" ]
}

if [ -f "$file" ]; then
  if fits "$file"; then
    printf '%s\n' "$file"
    exit 0
  fi
  say "$file is damaged: fetching it again"
  rm -f "$file"
fi

# Debian's pip installs nothing system-wide, but it downloads. Where there is no pip at all, a private one is made.
command -v python3 >/dev/null 2>&1 || die "cannot fetch $name: python3 is missing; install it: apt-get install python3-pip"
pip() { python3 -m pip "$@"; }
if ! pip --version >/dev/null 2>&1; then
  venv=$cache/pip
  if [ ! -x "$venv/bin/pip" ] && ! python3 -m venv "$venv" >/dev/null 2>&1; then
    rm -rf "$venv"
    die "cannot fetch $name: python3 has no pip; install it: apt-get install python3-pip"
  fi
  pip() { "$venv/bin/python" -m pip "$@"; }
fi

part=$(mktemp -d "$cache/.$name.XXXXXX")
trap 'rm -rf "$part"' EXIT
trap 'exit 130' INT
trap 'exit 143' TERM
printf '%s==%s --hash=sha256:%s\n' "$name" "$version" "$sha256" >"$part/requirements.txt"

set -- --no-deps "$choose" --require-hashes --no-cache-dir --disable-pip-version-check \
  --retries 5 --timeout 60 --dest "$part" -r "$part/requirements.txt"
if pip download --help | grep -q -e --resume-retries; then set -- --resume-retries 10 "$@"; fi
# pip draws its bar, with speed and what is left, on a terminal; a log gets two lines of ours instead.
[ -t 2 ] || set -- --quiet --progress-bar off "$@"
start=$(date +%s)
say "fetching $name $version"
# Its warnings of each attempt go to a file: the last one says why.
if ! pip download "$@" >&2 2>"$part/said"; then
  free=$(df -Pm "$cache" | awk 'NR == 2 { print $4 }')
  if [ "$free" -lt 20 ]; then
    die "cannot fetch $name $version: the disk of $cache is full ($free MB are free)"
  elif grep -qiE 'NewConnectionError|NameResolutionError|timed out|unreachable|ProxyError|no matching distribution' "$part/said"; then
    die "cannot fetch $name $version: the package registry is not reached; is this machine offline? (a copy at $file is taken as well)"
  fi
  tail -n 3 "$part/said" >&2
  die "cannot fetch $name $version with pip: see above (a copy at $file is taken as well)"
fi

set -- "$part"/*.whl "$part"/*.tar.gz
[ -f "$1" ] || shift
fits "$1" || die "$name $version does not have the sha256 it should have: $sha256"
mv "$1" "$file"
say "fetched $(wc -c <"$file") bytes in $(($(date +%s) - start)) s"
printf '%s\n' "$file"
