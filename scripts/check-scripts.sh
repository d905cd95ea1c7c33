#!/bin/sh
# usage: scripts/check-scripts.sh
#
# Checks the scripts themselves: syntax, usage lines, execute bits, the pin of the engine, no host names of registries.
# Where shellcheck is installed it is used too.
set -eu

cd "$(dirname "$0")/.."
faults=0
fault() { printf '%s\n' "$*" >&2; faults=$((faults + 1)); }

for script in scripts/*.sh; do
  [ -x "$script" ] || fault "$script: not executable"
  sed -n 2p "$script" | grep -q "^# usage: $script" || fault "$script: the second line is not its usage line"
  case $(head -n 1 "$script") in
    *bash*) bash -n "$script" || fault "$script: syntax" ;;
    *) sh -n "$script" || fault "$script: syntax" ;;
  esac
done
if command -v shellcheck >/dev/null 2>&1; then shellcheck --severity=warning scripts/*.sh .ci/run || fault "shellcheck: see above"; fi

if command -v python3 >/dev/null 2>&1; then
  for script in scripts/*.py; do
    [ -x "$script" ] || fault "$script: not executable"
    sed -n 2p "$script" | grep -q "^\"\"\"usage: $script" || fault "$script: the second line is not its usage line"
    python3 -c 'import ast, sys; ast.parse(open(sys.argv[1]).read())' "$script" || fault "$script: syntax"
  done
fi

scripts/check-build-llama.sh || fault "scripts/build-llama.sh: see above"
scripts/check-install.sh || fault "scripts/install.sh: see above"

# One pin, said in three places: the submodule and the scripts that know what is built of it.
if git rev-parse --git-dir >/dev/null 2>&1; then
  pin=$(git ls-files --stage vendor/llama.cpp | cut -d ' ' -f 2)
  for script in scripts/get-engine.sh scripts/build-llama.sh; do
    grep -q "^commit=$pin\$" "$script" || fault "$script: its commit is not the submodule's, $pin"
  done
fi

# Packages come by name through pip, so that a mirror can be configured.
# (Written in pieces, so that this line does not find itself.)
hosts="pypi\.""org\|python""hosted\|registry\.""npmjs"
if grep -rln "$hosts" scripts Makefile .ci; then fault "a script names the host of a registry"; fi

[ "$faults" -eq 0 ] || { printf '%s faults in the scripts\n' "$faults" >&2; exit 1; }
