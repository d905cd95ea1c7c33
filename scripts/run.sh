#!/usr/bin/env bash
# usage: scripts/run.sh
#
# Builds the programs, gets a real engine and a small real model, starts the embedded router and the worker, streams one
# answer through the whole chain, and goes on until Ctrl-C, which leaves neither a process nor a file behind.
#
# DEMO_MODEL=FILE.gguf takes another model, AUXOT_LLAMA_BINARY another engine, PORT a fixed port for the router,
# GATEWAY_PORT one for the worker's local clients.
# The build is the one the tests use: half the time of an optimised one, and no slower to look at.
set -euo pipefail
# Each program in a process group of its own, so that Ctrl-C reaches this script alone and the order of the end is ours.
set -m

cd "$(dirname "$0")/.."
export CARGO_TARGET_DIR=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}

say() { printf '\033[1m%s\033[0m\n' "$*"; }

scripts/preflight.sh run

say "1/4 building auxot-worker and auxot-router"
scripts/build.sh --package auxot-worker --package auxot-router
bin=$CARGO_TARGET_DIR/debug

say "2/4 an engine and a model"
engine=$(scripts/get-engine.sh)
model=$(scripts/get-model.sh "${DEMO_MODEL:-}")
name=$(basename "$model" .gguf | tr '[:upper:]' '[:lower:]')

# Keys lie in it, so only this user may read it.
umask 077
run=$(mktemp -d /tmp/auxot-run.XXXXXX)
worker='' router='' asking=''

# Once: TERM, and the time the programs themselves allow for it; they end their own children.
finish() {
  trap '' INT TERM
  trap - EXIT
  for pid in $asking $worker $router; do
    kill -TERM "$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  rm -rf "$run"
}
trap finish EXIT
trap 'printf "\n"; say "stopping"; exit 0' INT TERM

# Nothing of the caller's environment: a setting for a real worker must not change the demonstration.
# (An array and not a function: a function in the background would be a shell between us and the program.)
clean=(env -i "PATH=$PATH" "HOME=$HOME" "XDG_CONFIG_HOME=$run" "XDG_STATE_HOME=$run")

broke() {
  printf 'The %s did not do what it should. The end of its log:\n' "$1" >&2
  tail -n 20 "$run/$1.log" >&2
  exit 1
}

say "3/4 starting the router and the worker"
"${clean[@]}" "$bin/auxot-router" keys create --json --file "$run/keys.toml" >"$run/keys.json"
sed -n 's/.*"worker_key":"\([^"]*\)".*/\1/p' "$run/keys.json" >"$run/worker.key"
sed -n 's/.*"api_key":"\([^"]*\)".*/\1/p' "$run/keys.json" >"$run/api.key"
"${clean[@]}" "$bin/auxot-router" serve --port "${PORT:-0}" --keys-file "$run/keys.toml" >"$run/router.log" 2>&1 &
router=$!

# The value of a field in the log line that has a text, once it is there.
logged() {
  local log=$run/$1.log pid=$2 text=$3 field=$4 value
  for _ in $(seq 300); do
    value=$(sed 's/\x1b\[[0-9;]*m//g' "$log" | sed -n "s/.*$text.*$field=\([^ ]*\).*/\1/p" | head -n 1)
    if [ -n "$value" ]; then printf '%s\n' "$value"; return; fi
    kill -0 "$pid" 2>/dev/null || return 1
    sleep 0.1
  done
  return 1
}
address=$(logged router "$router" 'router listens' addr) || broke router

# The small model is one that continues a text, not one that was taught to answer: it is given the bare words.
extra='[]'
if [ -z "${DEMO_MODEL:-}" ]; then
  printf '{%%- for message in messages -%%}{{ message.content }}{%%- endfor -%%}' >"$run/continue.jinja"
  extra="[\"--chat-template-file\", \"$run/continue.jinja\"]"
fi
"${clean[@]}" AUXOT_ENGINE__EXTRA_ARGS="$extra" AUXOT_ROUTER_URL="http://$address" AUXOT_GPU_KEY_FILE="$run/worker.key" AUXOT_METRICS_PORT=0 \
  AUXOT_GATEWAY_ADDR="127.0.0.1:${GATEWAY_PORT:-0}" AUXOT_RUNTIME_DIR="$run/engines" XDG_STATE_HOME="$run/state" \
  AUXOT_LLAMA_BINARY="$engine" AUXOT_MODELS_DIR="$(dirname "$model")" AUXOT_GPU_AUTOLOAD_MODELS="$name" \
  "$bin/auxot-worker" >"$run/worker.log" 2>&1 &
worker=$!

question='Once upon a time, in a small house by the sea,'
say "4/4 asking $name: $question"
scripts/ask.py "http://$address" "$run/api.key" "$name" "$question" &
asking=$!
if wait -n "$asking" "$worker" "$router"; then answered=yes; else answered=no; fi
kill -0 "$router" 2>/dev/null || broke router
kill -0 "$worker" 2>/dev/null && [ $answered = yes ] || broke worker
asking=''
metrics=$(logged worker "$worker" 'metrics endpoint listens' url) || broke worker

gateway=$(logged worker "$worker" 'gateway listens' address) || broke worker

cat <<END

The router listens on   http://$address
The worker's metrics    $metrics
Local clients           http://$gateway/v1 (no key)
The worker's log        $run/worker.log
Ask it yourself:

  curl -N http://$address/v1/chat/completions -H "Authorization: Bearer $(cat "$run/api.key")" \\
    -H 'Content-Type: application/json' \\
    -d '{"model":"$name","stream":true,"max_tokens":64,"messages":[{"role":"user","content":"A good router"}]}'

Ctrl-C ends it.
END
# Until one of them ends, which is a fault, or Ctrl-C.
wait -n "$worker" "$router" || true
kill -0 "$router" 2>/dev/null || broke router
broke worker
