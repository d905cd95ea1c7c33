#!/bin/sh
# usage: scripts/check-install.sh
#
# Runs scripts/install.sh for a user, from a release whose worker only notes what it is called with: which signatures are
# accepted, where the worker key comes from, that it is in no argument, and that a router is beside the worker. Without ssh-keygen or python3 those parts are left out.
set -eu

cd "$(dirname "$0")/.."
die() { printf 'check-install: %s\n' "$*" >&2; exit 1; }
has() { command -v "$1" >/dev/null 2>&1; }
case $(uname -s) in Linux) system=linux ;; Darwin) system=macos ;; *) exit 0 ;; esac
case $(uname -m) in x86_64 | amd64) machine=x86_64 ;; *) machine=aarch64 ;; esac

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
release=$work/release
mkdir -p "$release" "$work/engine"
printf '#!/bin/sh\necho version 1\n' >"$work/engine/llama-server"
cat >"$release/auxot-worker-$system-$machine" <<'END'
#!/bin/sh
case $1 in
  version) echo 1 ;;
  install)
    mkdir -p "$HOME/.config/auxot"
    ! env | grep -q '^AUXOT_\(SIGNERS\|RELEASE\)=' || { echo "unknown variable"; exit 1; }
    echo "$*" >"$HOME/arguments"
    cat "$(dirname "$0")/auxot-router" >"$HOME/router" 2>/dev/null
    echo "${AUXOT_GPU_KEY:-}" >"$HOME/key"
    [ -z "${AUXOT_GPU_KEY_FILE:-}" ] || cat "$AUXOT_GPU_KEY_FILE" >"$HOME/key" ;;
esac
END
chmod +x "$work/engine/llama-server" "$release/auxot-worker-$system-$machine"
tar -czf "$release/engine-cpu-$system-$machine.tar.gz" -C "$work/engine" llama-server
cp scripts/install.sh "$release/"
sums() { (cd "$release" && if has sha256sum; then sha256sum auxot-* engine-*; else shasum -a 256 auxot-* engine-*; fi >SHA256SUMS); }
sums

# Installs into a new home; all else is the installer's.
install() {
  rm -rf "${work:?}/home"
  mkdir "$work/home"
  again "$@"
}
again() { env -u AUXOT_GPU_KEY_FILE HOME="$work/home" sh "$release/install.sh" --user --router r.example.com "$@" >"$work/said" 2>&1; }
key_is() { [ "$(cat "$work/home/key" 2>/dev/null)" = "$1" ] || die "$2: the key is $(cat "$work/home/key"): $(cat "$work/said")"; }
says() { grep -q -- "$1" "$work/said" || die "it does not say '$1': $(cat "$work/said")"; }

printf 'gpu_file\n' >"$work/key"
install --key-file "$work/key" || die "a key file is not taken: $(cat "$work/said")"
key_is gpu_file "a key file"
[ "$(cat "$work/home/arguments")" = "install --user" ] || die "the arguments are $(cat "$work/home/arguments")"
says "is not checked: no key is trusted"
printf 'gpu_input\n' | install --key-file - || die "standard input is not taken: $(cat "$work/said")"
key_is gpu_input "standard input"
AUXOT_GPU_KEY=gpu_variable install || die "the variable is not taken: $(cat "$work/said")"
key_is gpu_variable "the variable"
if : | install --key-file -; then die "an empty key is taken"; fi
if install --with-router 127.0.0.1:8080; then die "a router that the release does not have is installed"; fi
says "cannot find auxot-router-$system-$machine in"
echo router >"$release/auxot-router-$system-$machine"
sums
install --with-router 127.0.0.1:8080 || die "a router is not installed: $(cat "$work/said")"
[ "$(cat "$work/home/arguments" "$work/home/router")" = "install --user --with-router 127.0.0.1:8080
router" ] || die "a router is installed with $(cat "$work/home/arguments")"
if has setsid; then
  if setsid -w env HOME="$work/home" sh "$release/install.sh" --user --router r </dev/null >"$work/said" 2>&1; then die "no key is a key"; fi
  says "without a terminal"
fi

# The key from a terminal, which must not show it.
if has python3; then
  rm -rf "${work:?}/home"
  mkdir "$work/home"
  HOME="$work/home" python3 - "$release/install.sh" >"$work/said" 2>&1 <<'END' || die "the terminal: $(cat "$work/said")"
import os, pty, sys
pid, terminal = pty.fork()
if pid == 0:
    os.execvp("sh", ["sh", sys.argv[1], "--user", "--router", "r.example.com"])
said, typed = b"", False
while True:
    try:
        part = os.read(terminal, 4096)
    except OSError:
        break
    if not part:
        break
    said += part
    if b"Worker key: " in said and not typed:
        import termios
        while termios.tcgetattr(terminal)[3] & termios.ECHO:
            pass
        os.write(terminal, b"gpu_typed\n")
        typed = True
print(said.decode())
assert b"gpu_typed" not in said, "the terminal shows the key"
sys.exit(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]))
END
  key_is gpu_typed "the terminal"
fi

if has ssh-keygen; then
  for name in ours other; do
    ssh-keygen -q -t ed25519 -N '' -C '' -f "$work/$name"
    printf 'auxot %s\n' "$(cut -d ' ' -f 1,2 "$work/$name.pub")" >"$work/$name.signers"
  done
  sign() { rm -f "$release/SHA256SUMS.sig"; ssh-keygen -Y sign -q -f "$1" -n auxot-release <"$release/SHA256SUMS" >"$release/SHA256SUMS.sig"; }
  trusting() { AUXOT_SIGNERS=$1 install --key-file "$work/key"; }
  if trusting "$work/ours.signers"; then die "a release without a signature is installed"; fi
  says "must have a signature of a key in"
  sign "$work/other"
  if trusting "$work/ours.signers"; then die "a release with the signature of another key is installed"; fi
  says "is not one of a key in"
  sign "$work/ours"
  trusting "$work/ours.signers" || die "a signed release is not installed: $(cat "$work/said")"
  says "signed with ED25519 key SHA256:"
  # The keys of the first installation count for the next.
  sign "$work/other"
  if again --key-file "$work/key"; then die "an upgrade with the signature of another key is installed"; fi
  sign "$work/ours"
  again --key-file "$work/key" || die "a signed upgrade is not installed: $(cat "$work/said")"
  # A changed file is refused although the list is signed.
  echo >>"$release/auxot-worker-$system-$machine"
  if again --key-file "$work/key"; then die "a changed worker is installed"; fi
  says "and SHA256SUMS says"
fi
