#!/bin/sh
# usage: scripts/check-airgap.sh [ROOT]
#
# Shows that a bundle of `make airgap` is all that a site without a network needs: in a Debian root whose only network interface
# is its own loopback it is checked, unpacked and installed, starts under a real systemd, and answers with a real engine and a
# real model; a bundle that was changed on its way is not taken. Needs root, debootstrap, systemd-nspawn, ssh-keygen and python3, and takes
# a Debian root with ssh-keygen in ROOT, which it makes when it is not there. PROFILE=release is for figures; MODEL=FILE.gguf is another model.
# Not a part of CI.
set -eu

cd "$(dirname "$0")/.."
say() { printf '%s\n' "$*" >&2; }
die() { say "check-airgap: $*"; exit 1; }

[ "$(id -u)" = 0 ] || die "needs root"
for tool in debootstrap systemd-nspawn curl ssh-keygen python3; do command -v "$tool" >/dev/null || die "needs $tool"; done
work=$(mktemp -d)
. scripts/container.sh
trap 'halt; rm -rf "$work"' EXIT

# --- The bundle, where there is a network ----------------------------------------------------------------

model=${MODEL:-$(scripts/get-model.sh)}
name=$(basename "$model" .gguf)
engine=$(scripts/get-engine.sh)
ENGINE_FOLDER=${ENGINE_FOLDER:-$(dirname "$engine")}
SIGNING_KEY=$work/key
PROFILE=${PROFILE:-debug}
export ENGINE_FOLDER SIGNING_KEY PROFILE
ssh-keygen -q -t ed25519 -N '' -C '' -f "$SIGNING_KEY"
printf 'auxot %s\n' "$(cut -d ' ' -f 1,2 "$SIGNING_KEY.pub")" >"$work/signers"
bundle=$work/bundle.tar
scripts/make-airgap.sh "$bundle" "$model"

# --- The site --------------------------------------------------------------------------------------------

debian_root "${1:-$work/base}" openssh-client
site=$root/media
mkdir -p "$site"
mv "$bundle" "$site/bundle.tar"
cp "$work/signers" "$site/release-signers"
began=$(date +%s%N)
boot
interfaces=$(inside ls /sys/class/net)
[ "$interfaces" = lo ] || die "the container has network interfaces: $interfaces"
say "site: systemd runs after $((($(date +%s%N) - began) / 1000000)) ms; the only network interface is lo"

# As docs/air-gapped.md says it, for a host that has no worker yet.
inside mkdir -p /opt/auxot
inside tar -xf /media/bundle.tar -C /opt/auxot
inside sh -c 'cd /opt/auxot && sha256sum --check --quiet SHA256SUMS' || die "sha256sum does not take the bundle"
inside sh -c 'cd /opt/auxot && ssh-keygen -Y verify -f /media/release-signers -I auxot -n auxot-release -s SHA256SUMS.sig <SHA256SUMS' >/dev/null ||
  die "ssh-keygen does not take the signature"
# As it says it for a host that has one.
worker=/opt/auxot/auxot-worker-linux-$(uname -m)
inside "$worker" bundle verify /media/bundle.tar --signers /media/release-signers >"$work/said" || die "bundle verify: $(cat "$work/said")"
inside "$worker" doctor --bundle /media/bundle.tar --signers /media/release-signers >"$work/said" 2>&1 || die "doctor --bundle: $(cat "$work/said")"
say "checked: by sha256sum and ssh-keygen, by bundle verify, by doctor --bundle"

# One byte in the middle of the bundle, which is one of the model.
cp "$site/bundle.tar" "$site/changed.tar"
python3 - "$site/changed.tar" <<'END'
import sys
with open(sys.argv[1], "r+b") as file:
    middle = file.seek(0, 2) // 2
    file.seek(middle)
    byte = file.read(1)[0]
    file.seek(middle)
    file.write(bytes([byte ^ 1]))
END
if inside "$worker" bundle verify /media/changed.tar --signers /media/release-signers >"$work/said" 2>&1; then die "a changed bundle is taken"; fi
rm "$site/changed.tar"
ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/other"
printf 'auxot %s\n' "$(cut -d ' ' -f 1,2 "$work/other.pub")" >"$site/other-signers"
if inside env AUXOT_SIGNERS=/media/other-signers sh /opt/auxot/install.sh --gateway 127.0.0.1:8081 >"$work/said" 2>&1; then
  die "a bundle with the signature of another is installed"
fi
say "refused: a bundle with a changed byte, and one with the signature of another"

inside env AUXOT_SIGNERS=/media/release-signers sh /opt/auxot/install.sh --with-router 127.0.0.1:8080 --gateway 127.0.0.1:8081 >"$work/said" 2>&1 ||
  die "the installation fails: $(cat "$work/said")"
api_key=$(sed -n 's/^API key for clients of the router, shown this once: //p' "$work/said")
[ -n "$api_key" ] || die "the installation shows no API key: $(cat "$work/said")"
for service in auxot-worker auxot-router; do
  [ "$(inside systemctl is-active $service)" = active ] || die "$service does not run: $(inside journalctl -u $service --no-pager -n 20)"
done

body=$(printf '{"model":"%s","stream":true,"max_tokens":16,"messages":[{"role":"user","content":"The capital of France is"}]}' "$name")
for port in 8080 8081; do
  outside curl --silent --show-error --max-time 300 "http://127.0.0.1:$port/v1/chat/completions" -H "authorization: Bearer $api_key" -d "$body" >"$work/answer" ||
    die "no answer of port $port"
  python3 - "$work/answer" >"$work/text" <<'END' || { inside journalctl -u auxot-worker --no-pager -n 20 >&2; die "no whole answer of port $port: $(cat "$work/answer")"; }
import json, sys
events = [line[6:] for line in open(sys.argv[1], encoding="utf-8").read().splitlines() if line.startswith("data: ")]
text = "".join((choice["delta"].get("content") or "") for event in events[:-1] for choice in json.loads(event).get("choices", []))
sys.exit("not whole") if not events or events[-1] != "[DONE]" or not text.strip() else print(json.dumps(text))
END
  say "port $port answers: $(cat "$work/text")"
done
say "installed: router, worker and gateway run under systemd and answer, without a network"
