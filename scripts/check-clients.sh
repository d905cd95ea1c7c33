#!/bin/bash
# usage: scripts/check-clients.sh
#
# Runs unmodified clients (openai, anthropic, litellm, LangChain, LlamaIndex for Python; openai, anthropic, ai and the agent
# opencode for Node) against workers with the real engine and the fake one, and prints what each does with every answer.
# Installs the pinned versions of tests/clients into a temporary folder, half a gigabyte. Needs Python 3 with venv, Node 18 or
# newer with npm, and the programs to be built.
set -euo pipefail

[ $# -eq 0 ] || { sed -n 's/^# usage: /usage: /p' "$0" >&2; exit 64; }

cd "$(dirname "$0")/.."
for program in python3 node npm; do
  command -v "$program" >/dev/null || { echo "$program is missing; make clients needs Python 3 and Node" >&2; exit 1; }
done
programs=${CARGO_TARGET_DIR:-target}/debug
engine=$(scripts/get-engine.sh)
models=$(scripts/make-tiny-models.py)
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT

python3 -m venv "$folder/python"
"$folder/python/bin/pip" install --quiet --disable-pip-version-check --requirement tests/clients/requirements.txt
python3 -m venv "$folder/llamaindex"
"$folder/llamaindex/bin/pip" install --quiet --disable-pip-version-check --requirement tests/clients/requirements-llamaindex.txt
cp tests/clients/package.json tests/clients/clients.mjs "$folder/"
npm install --prefix "$folder" --silent --no-audit --no-fund
"$folder/python/bin/python" tests/clients/run.py "$(realpath "$programs")" "$engine" "$models" "$folder"
