#!/bin/sh
# usage: scripts/check-service.sh [ROOT]
#
# Shows under a real systemd, in a container without a network, what tests without one cannot: the unit passes
# `systemd-analyze verify` and is exposed by 2.0 at most; the installer starts the service, which answers; an upgrade during
# an answer loses no byte of it; an uninstall leaves nothing but the models. Needs root, debootstrap and systemd-nspawn, and
# takes a Debian root in ROOT, which it makes when it is not there. Not a part of CI.
set -eu

cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
die() { say "check-service: $*"; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root"
for tool in debootstrap systemd-nspawn systemd-analyze curl; do command -v "$tool" >/dev/null || die "needs $tool"; done
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}
profile=${PROFILE:-debug}
worker=$target/$profile/auxot-worker engine=$target/debug/fake-llama-server
for program in "$worker" "$engine"; do [ -x "$program" ] || die "cannot find $program; run: cargo build --workspace --bins"; done

work=$(mktemp -d)
leader='' nspawn=''
finish() {
  if [ -n "$leader" ]; then inside kill -s RTMIN+4 1 2>/dev/null || true; wait "$nspawn" 2>/dev/null || true; fi
  rm -rf "$work"
}
trap finish EXIT

base=${1:-$work/base}
if [ ! -x "$base/usr/lib/systemd/systemd" ]; then
  say "making a Debian root in $base"
  debootstrap --variant=minbase --include=systemd,systemd-sysv,dbus,procps bookworm "$base" >"$work/debootstrap.log" 2>&1 ||
    { tail -n 5 "$work/debootstrap.log" >&2; die "cannot make a Debian root"; }
fi
root=$work/root
cp -a "$base" "$root"

# A release as the installer takes it, with the fake engine and one model.
release=$root/opt/release
mkdir -p "$release/models" "$work/engine"
cp "$worker" "$release/auxot-worker-linux-$(uname -m)"
cp "$engine" "$work/engine/llama-server"
tar -czf "$release/engine-cpu-linux-$(uname -m).tar.gz" -C "$work/engine" llama-server
cp scripts/install.sh "$release/"
model=$(scripts/make-tiny-models.py)/tiny-script-q8_0.gguf
cp "$model" "$release/models/slow-q8_0.gguf"
printf '%s' '--tokens 400 --token-us 20000' >"$release/models/slow-q8_0.gguf.fake"
(cd "$release" && sha256sum auxot-worker-* engine-* models/* >SHA256SUMS)

# --- The unit ------------------------------------------------------------------------------------------

"$worker" install --root "$work/image" 2>/dev/null >/dev/null || AUXOT_GATEWAY_ADDR=8080 "$worker" install --root "$work/image" >/dev/null
unit=$work/image/etc/systemd/system/auxot-worker.service
sed "s|/usr/local/bin/auxot-worker|$worker|" "$unit" >"$work/auxot-worker.service"
found=$(systemd-analyze verify --recursive-errors=yes "$work/auxot-worker.service" 2>&1) || true
[ -z "$found" ] || die "systemd-analyze verify says: $found"
exposure=$(systemd-analyze security --offline=true --threshold=20 "$work/auxot-worker.service" | sed -n 's/.*exposure level.*: \([0-9.]*\).*/\1/p') ||
  die "the unit is exposed by more than 2.0"
say "unit: verify is silent, exposure $exposure"

# --- The container ---------------------------------------------------------------------------------------

SYSTEMD_NSPAWN_UNIFIED_HIERARCHY=1 systemd-nspawn --quiet -b -D "$root" --register=no --keep-unit --private-network --console=pipe \
  --system-call-filter=bpf --capability=CAP_BPF,CAP_NET_ADMIN,CAP_SYS_RESOURCE,CAP_PERFMON >"$work/console" 2>&1 </dev/null &
nspawn=$!
inside() {
  nsenter --target "$leader" --mount --uts --ipc --net --pid --cgroup -- \
    env -i HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin "$@"
}
outside() { nsenter --target "$leader" --net -- "$@"; }
tries=0
until leader=$(pgrep --parent "$nspawn" --newest) && inside systemctl is-system-running 2>/dev/null | grep -qE 'running|degraded'; do
  tries=$((tries + 1))
  [ $tries -lt 300 ] || { tail -n 5 "$work/console" >&2; die "the container does not boot"; }
  sleep 0.1
done
outside ip link set lo up 2>/dev/null || inside ip link set lo up 2>/dev/null || true
say "container: systemd runs, without a network"

install() { inside sh /opt/release/install.sh --from /opt/release --gateway 127.0.0.1:8080; }
ask() { outside curl --silent --show-error --max-time 60 http://127.0.0.1:8080/v1/chat/completions -d "{\"model\":\"slow-q8_0\",\"stream\":true,\"messages\":[{\"role\":\"user\",\"content\":\"fake:--tokens $1 --token-us 20000\"}]}"; }

install
ask 8 >"$work/first"
grep -q '\[DONE\]' "$work/first" || { inside journalctl -u auxot-worker --no-pager -n 20 >&2; die "no whole answer: $(cat "$work/first")"; }
say "installed: the service answers"

ask 400 >"$work/during" &
answer=$!
until [ -s "$work/during" ]; do kill -0 "$answer" 2>/dev/null || break; done
before=$(inside systemctl show --property=MainPID --value auxot-worker)
install
after=$(inside systemctl show --property=MainPID --value auxot-worker)
wait "$answer" || die "the answer during the upgrade was cut"
grep -q '\[DONE\]' "$work/during" || die "the answer during the upgrade is not whole"
[ "$before" != "$after" ] || die "the upgrade started no new process"
say "upgraded during an answer: $(wc -c <"$work/during") bytes, whole"

inside sh /opt/release/install.sh --uninstall
for path in /etc/auxot /etc/systemd/system/auxot-worker.service /usr/local/bin/auxot-worker /usr/local/lib/auxot /run/auxot; do
  [ ! -e "$root$path" ] || die "$path is left after the uninstall"
done
left=$(inside find /var/lib/auxot /var/lib/private/auxot -type f 2>/dev/null | grep -v '/models/' || true)
[ -z "$left" ] || die "left after the uninstall: $left"
! inside pgrep -f llama-server >/dev/null || die "an engine is left after the uninstall"
say "uninstalled: nothing is left but the models"
