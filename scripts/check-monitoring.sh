#!/bin/bash
# usage: scripts/check-monitoring.sh
# Alert rules, their tests, the metrics' format and a scrape by a real Prometheus. Needs the Debian package prometheus (with
# promtool), and the programs of this workspace: cargo build --workspace --bins.
set -euo pipefail
cd "$(dirname "$0")/.."
for program in promtool prometheus; do
	command -v $program >/dev/null || { echo "$program is missing; install it: apt-get install prometheus"; exit 1; }
done
target=$(realpath "${CARGO_TARGET_DIR:-target}/debug")
work=$(mktemp -d)
pids=()
finish() {
	kill "${pids[@]}" 2>/dev/null || true
	wait 2>/dev/null || true
	rm -rf "$work"
}
trap finish EXIT
promtool check rules config/prometheus/auxot-worker.rules.yml config/prometheus/auxot-router.rules.yml
(cd config/prometheus && promtool test rules auxot-worker.test.yml auxot-router.test.yml && promtool check config prometheus.yml)

# A worker without a router, with the fake engine, one model and one request, so that there is something to see.
free_port() { python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])'; }
metrics=$(free_port) gateway=$(free_port) server=$(free_port)
mkdir -p "$work/models" "$work/run"
chmod 700 "$work/run"
cp "$(scripts/make-tiny-models.py)/tiny-script-q8_0.gguf" "$work/models/tiny-q8_0.gguf"
env -i PATH="$PATH" HOME="$work" AUXOT_RUNTIME_DIR="$work/run" AUXOT_MODELS_DIR="$work/models" AUXOT_METRICS_PORT="$metrics" \
	AUXOT_LLAMA_BINARY="$target/fake-llama-server" AUXOT_GATEWAY_ADDR="127.0.0.1:$gateway" \
	"$target/auxot-worker" 2>"$work/log" &
pids+=($!)
ask() { curl --silent --fail --max-time 10 --retry 30 --retry-delay 1 --retry-all-errors "$@"; }
ask "http://127.0.0.1:$metrics/metrics" >/dev/null
ask -H 'content-type: application/json' -d '{"model":"tiny-q8_0","messages":[{"role":"user","content":"hello"}]}' \
	"http://127.0.0.1:$gateway/v1/chat/completions" >/dev/null
ask "http://127.0.0.1:$metrics/metrics" >/dev/null
ask "http://127.0.0.1:$metrics/metrics" >"$work/metrics"
promtool check metrics <"$work/metrics"
echo "series: $(grep -vc '^#' "$work/metrics")"

# A real Prometheus scrapes it, and every expression of the dashboard and the rules can be evaluated there.
sed "s/127.0.0.1:9090/127.0.0.1:$metrics/; s/15s/1s/" config/prometheus/prometheus.yml >"$work/prometheus.yml"
cp config/prometheus/auxot-worker.rules.yml "$work"
prometheus --config.file="$work/prometheus.yml" --storage.tsdb.path="$work/data" --web.listen-address="127.0.0.1:$server" 2>"$work/server" &
pids+=($!)
python3 - "http://127.0.0.1:$server" <<'PYTHON'
import json, re, sys, time, urllib.parse, urllib.request

def ask(path, **query):
    with urllib.request.urlopen(f"{sys.argv[1]}/api/v1/{path}?{urllib.parse.urlencode(query)}", timeout=10) as answer:
        return json.load(answer)["data"]

for _ in range(60):
    try:
        if ask("query", query='up{job="auxot-worker"} == 1')["result"]:
            break
    except OSError:
        pass
    time.sleep(0.5)
else:
    sys.exit("Prometheus does not scrape the worker")
dashboard = json.load(open("config/grafana/auxot-worker.json"))
known, empty = set(ask("label/__name__/values")), []
for panel in dashboard["panels"]:
    for target in panel["targets"]:
        query = target["expr"].replace("$__rate_interval", "1m").replace("$instance", ".*").replace("$model", ".*")
        ask("query", query=query)
        missing = [name for name in re.findall(r"auxot_worker_\w+", query) if name not in known]
        if missing:
            empty.append(f"{panel['title']}: {', '.join(missing)}")
rules = [rule for group in ask("rules")["groups"] for rule in group["rules"]]
unhealthy = [rule["name"] for rule in rules if rule["health"] not in ("ok", "unknown")]
print(f"panels: {len(dashboard['panels'])}, alerts: {len(rules)}; without a sample in this short run: {empty or 'none'}")
sys.exit(f"rules with errors: {unhealthy}" if unhealthy else 0)
PYTHON
