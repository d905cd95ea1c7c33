#!/bin/sh
# usage: scripts/check-service.sh [ROOT]
#
# Shows under a real systemd, in a container without a network, what tests without one cannot: the units pass
# `systemd-analyze verify` and are exposed by 2.0 at most; one command installs router, worker and gateway, and each answers; an
# upgrade under load loses no job and no byte of a running answer; keys change while the router runs, also on its page; an uninstall
# leaves nothing but the models. Needs root, debootstrap, systemd-nspawn and python3, and takes a Debian root in ROOT, which it makes when it is
# not there. PROFILE=release is for figures. Not a part of CI.
set -eu

cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
die() { say "check-service: $*"; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root"
for tool in debootstrap systemd-nspawn systemd-analyze curl python3; do command -v "$tool" >/dev/null || die "needs $tool"; done
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}
profile=${PROFILE:-debug}
worker=$target/$profile/auxot-worker router=$target/$profile/auxot-router engine=$target/$profile/fake-llama-server
for program in "$worker" "$router" "$engine"; do [ -x "$program" ] || die "cannot find $program; run: cargo build --workspace --bins"; done

work=$(mktemp -d)
. scripts/container.sh
trap 'halt; rm -rf "$work"' EXIT
debian_root "${1:-$work/base}"

# A release as the installer takes it, with the fake engine and one model.
release=$root/opt/release
mkdir -p "$release/models" "$work/engine"
cp "$worker" "$release/auxot-worker-linux-$(uname -m)"
cp "$router" "$release/auxot-router-linux-$(uname -m)"
cp "$engine" "$work/engine/llama-server"
tar -czf "$release/engine-cpu-linux-$(uname -m).tar.gz" -C "$work/engine" llama-server
cp scripts/install.sh "$release/"
model=$(scripts/make-tiny-models.py)/tiny-script-q8_0.gguf
cp "$model" "$release/models/slow-q8_0.gguf"
printf '%s' '--tokens 400 --token-us 20000' >"$release/models/slow-q8_0.gguf.fake"
(cd "$release" && sha256sum auxot-* engine-* models/* >SHA256SUMS)

# --- The units -----------------------------------------------------------------------------------------

"$worker" install --root "$work/image" --with-router 127.0.0.1:8080 >/dev/null
for service in auxot-worker auxot-router; do
  sed "s|/usr/local/bin/$service|$target/$profile/$service|" "$work/image/etc/systemd/system/$service.service" >"$work/$service.service"
  # The variables' file is in the image.
  sed -i "s|^EnvironmentFile=|&-|" "$work/$service.service"
  found=$(systemd-analyze verify --recursive-errors=yes "$work/$service.service" 2>&1) || true
  [ -z "$found" ] || die "systemd-analyze verify says: $found"
  exposure=$(systemd-analyze security --offline=true --threshold=20 "$work/$service.service" | sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p') ||
    die "$service.service is exposed by more than 2.0"
  say "$service.service: verify is silent, exposure $exposure"
done

# --- The container ---------------------------------------------------------------------------------------

boot
say "container: systemd runs, without a network"

install() { inside sh /opt/release/install.sh --from /opt/release "$@"; }
process() { inside systemctl show --property=MainPID --value "$1"; }
body() { printf '{"model":"slow-q8_0","stream":true,"messages":[{"role":"user","content":"fake:--tokens %s --token-us 20000"}]}' "$1"; }
ask() { outside curl --silent --show-error --max-time 60 "http://127.0.0.1:$1/v1/chat/completions" -H "authorization: Bearer $api_key" -d "$(body "$2")"; }
whole() { grep -q '\[DONE\]' "$1" || { inside journalctl -u auxot-worker -u auxot-router --no-pager -n 20 >&2; die "$2: $(cat "$1")"; }; }

install --with-router 127.0.0.1:8080 --gateway 127.0.0.1:8081 >"$work/said"
api_key=$(sed -n 's/^API key for clients of the router, shown this once: //p' "$work/said")
[ -n "$api_key" ] || die "the installation shows no API key: $(cat "$work/said")"
for port in 8080 8081; do
  ask $port 8 >"$work/first"
  whole "$work/first" "no whole answer of port $port"
done
say "installed: router and gateway answer"

# --- Keys of the running router ------------------------------------------------------------------------

keys() { inside auxot-router keys "$@" --file /var/lib/auxot-router/router-keys; }
status() { outside curl --silent --output /dev/null --write-out '%{http_code}' http://127.0.0.1:8080/v1/models -H "authorization: Bearer $1"; }
late=$(keys create --name late --kind api --json | python3 -c 'import json, sys; print(json.load(sys.stdin)["api_key"])')
[ "$(status "$late")" = 200 ] || die "a new key is not good at once"
keys revoke late >/dev/null
tries=0
until [ "$(status "$late")" = 401 ]; do
  tries=$((tries + 1))
  [ $tries -lt 50 ] || die "a revoked key is still good"
  sleep 0.1
done
say "keys: a new one is good at once, a revoked one is bad after $tries further looks, 0.1 s apart"

# --- The operator of the router ----------------------------------------------------------------------------

field() { python3 -c "import json, sys; print(json.load(sys.stdin)$1)"; }
health=$(inside auxot-router status --json | field '["workers"][0]["health"]')
[ "$health" = alive ] || die "the status of the router shows the worker as $health"
access=$(inside auxot-router page --token --json)
made=$(outside curl --silent --show-error --max-time 60 "$(echo "$access" | field '["url"]')/v1/keys" \
  -H "authorization: Bearer $(echo "$access" | field '["token"]')" -H 'content-type: application/json' -d '{"name":"of-page","kind":"api"}')
[ "$(status "$(echo "$made" | field '["key"]')")" = 200 ] || die "a key of the router's page is not good: $made"
say "operator: root sees the router's workers, and a key of its page is good at once"

# --- Upgrades under load -------------------------------------------------------------------------------

mkfifo "$work/stop"
# The last stops of the services that were upgraded: when each began and ended, in seconds since 1970.
drains() {
  for service in auxot-worker $([ "$1" = worker ] || echo auxot-router); do
    inside journalctl --unit "$service" --output short-unix --no-pager |
      awk '/systemd\[1\]: Stopping /{begin = $1} /systemd\[1\]: Stopped /{end = $1} END {print begin, end}'
  done
}

# Long and short answers by each way. First the worker alone is new, then the router too.
for new in worker router; do
  outside python3 scripts/upgrade-load.py slow-q8_0 "http://127.0.0.1:8080=$api_key" http://127.0.0.1:8081 <"$work/stop" >"$work/load" &
  load=$!
  exec 3>"$work/stop"
  until grep -q 'long answers run' "$work/load"; do kill -0 "$load" 2>/dev/null || die "no load: $(cat "$work/load")"; sleep 0.1; done
  before="$(process auxot-worker) $(process auxot-router)"
  if [ $new = router ]; then
    # Bytes behind the end are of no meaning to a program.
    printf new >>"$release/auxot-router-linux-$(uname -m)"
    (cd "$release" && sha256sum auxot-* engine-* models/* >SHA256SUMS)
  fi
  install >/dev/null
  after="$(process auxot-worker) $(process auxot-router)"
  [ "${before% *}" != "${after% *}" ] || die "the upgrade started no new worker"
  if [ $new = router ]; then [ "${before#* }" != "${after#* }" ] || die "the upgrade started no new router"
  else [ "${before#* }" = "${after#* }" ] || die "the upgrade of the worker restarted the router"; fi
  drains $new >&3
  exec 3>&-
  wait "$load" || die "the upgrade lost jobs: $(cat "$work/load")"
  say "a new $new under load:"
  tail -n +2 "$work/load" >&2
done

# --- The end -------------------------------------------------------------------------------------------

inside sh /opt/release/install.sh --uninstall
for path in /etc/auxot /etc/systemd/system/auxot-worker.service /etc/systemd/system/auxot-router.service /usr/local/bin/auxot-worker \
  /usr/local/bin/auxot-router /usr/local/lib/auxot /run/auxot; do
  [ ! -e "$root$path" ] || die "$path is left after the uninstall"
done
left=$(inside find /var/lib/auxot /var/lib/private/auxot /var/lib/auxot-router /var/lib/private/auxot-router -type f 2>/dev/null | grep -v '/models/' || true)
[ -z "$left" ] || die "left after the uninstall: $left"
! inside pgrep -f llama-server >/dev/null || die "an engine is left after the uninstall"
say "uninstalled: nothing is left but the models"
