#!/bin/bash
# usage: scripts/mcp-test.sh
#
# The tools of worker and router for agents by the official Python clients (1.x, 2.x) and the TypeScript client, and their APIs by a fuzzer.
# Needs the Debian packages python3-venv, npm and curl, and the programs of this workspace: cargo build --workspace --bins.
set -euo pipefail

cd "$(dirname "$0")/.."
for program in python3 npm node curl; do
	command -v $program >/dev/null || { echo "$program is missing; install it: apt-get install python3-venv npm curl"; exit 1; }
done
target=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/auxot/mcp-test
mkdir -p "$cache"
for release in 1.30.0 2.3.0; do
	[ -x "$cache/$release/bin/python" ] || { python3 -m venv "$cache/$release" && "$cache/$release/bin/pip" install --quiet "mcp==$release"; }
done
[ -x "$cache/fuzz/bin/schemathesis" ] || { python3 -m venv "$cache/fuzz" && "$cache/fuzz/bin/pip" install --quiet "schemathesis==4.32.5"; }
[ -d "$cache/node_modules" ] || (cd "$cache" && npm install --silent --no-audit --no-fund --ignore-scripts @modelcontextprotocol/sdk@1.32.2)
work=$(mktemp -d)
worker=
router=
finish() {
	for program in $worker $router; do kill "$program" 2>/dev/null || true; done
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
mkdir -p "$work/models" "$work/run"
chmod 700 "$work/run"
cp "$(scripts/get-model.sh)" "$work/models/tiny-q4_k_m.gguf"
runtime="AUXOT_RUNTIME_DIR=$work/run"
in_router=(env -i AUXOT_ROUTER_RUNTIME_DIR="$work/router" AUXOT_ROUTER_KEYS_FILE="$work/keys" "$target/auxot-router")
pair=$("${in_router[@]}" keys create --json)
"${in_router[@]}" serve --port 0 2>"$work/router.log" &
router=$!
for _ in $(seq 120); do
	of_router=$("${in_router[@]}" page --token --json 2>/dev/null) && break
	kill -0 "$router" || { cat "$work/router.log"; exit 1; }
	sleep 0.5
done
field_of() { python3 -c "import json, sys; print(json.loads(sys.argv[1])$1)" "$2"; }
address=$(field_of '["router"]["address"]' "$("${in_router[@]}" status --json)")
env -i PATH="$PATH" HOME="$work" "$runtime" AUXOT_MODELS_DIR="$work/models" AUXOT_METRICS_PORT=0 \
	AUXOT_ROUTER_URL="http://$address" AUXOT_GPU_KEY="$(field_of '["worker_key"]' "$pair")" AUXOT_GPU_AUTOLOAD_MODELS=tiny-q4_k_m \
	AUXOT_LLAMA_BINARY="$target/fake-llama-server" AUXOT_GATEWAY_ADDR="$work/gateway.sock" "$target/auxot-worker" 2>"$work/log" &
worker=$!
for _ in $(seq 120); do
	given=$(env -i "$runtime" HOME="$work" "$target/auxot-worker" page --token --json 2>/dev/null) && break
	kill -0 "$worker" || { cat "$work/log"; exit 1; }
	sleep 0.5
done
[ -n "${given:-}" ] || { cat "$work/log"; exit 1; }
field() { field_of "['$1']" "$given"; }
arguments=("$target/auxot-worker" "$work/run" "$(field mcp_url)" "$(field token)" tiny-q4_k_m)
for _ in $(seq 120); do
	"${in_router[@]}" status --json | python3 -c 'import json, sys; sys.exit(not any(one["models"] for one in json.load(sys.stdin)["workers"]))' && break
	sleep 0.5
done
for release in 1.30.0 2.3.0; do
	"$cache/$release/bin/python" tests/mcp/router.py "$target/auxot-router" "$work/router" "$(field_of '["mcp_url"]' "$of_router")" "$(field_of '["token"]' "$of_router")"
	"$cache/$release/bin/python" tests/mcp/client.py "${arguments[@]}"
done
cp tests/mcp/client.mjs "$cache"
(cd "$cache" && node client.mjs "${arguments[@]}")
fuzz() { # URL TOKEN ARGUMENTS
	(cd "$work" && "$cache/fuzz/bin/schemathesis" run "$1/openapi.json" --header "Authorization: Bearer $2" "${@:3}" --max-examples 30 \
		--checks not_a_server_error,status_code_conformance,content_type_conformance,response_schema_conformance --request-timeout 10)
}
# Without the operations that end the worker, and without streams, which never end by themselves.
fuzz "$(field url)" "$(field token)" --exclude-path /v1/drain --exclude-path-regex 'stream$|/chat$|^/v1/(page|token)$'
fuzz "$(field_of '["url"]' "$of_router")" "$(field_of '["token"]' "$of_router")" --exclude-path-regex '^/v1/(page|token)$'
