#!/bin/sh
# usage: scripts/check-fake-hub.sh
#
# Shows that the hub of the tests is a faithful one: the hub's own client (huggingface_hub, from the package registry)
# downloads from it, into a cache that has the usual layout. Not a part of CI, because it fetches a package.
set -eu

version=${HUB_CLIENT:-2.4.0}
say() { printf '%s\n' "$*" >&2; }
die() { say "check-fake-hub: $*"; exit 1; }

cd "$(dirname "$0")/.."
target=${CARGO_TARGET_DIR:-${XDG_CACHE_HOME:-$HOME/.cache}/auxot/target}
[ -x "$target/debug/fake-hub" ] || die "cannot find $target/debug/fake-hub; run: cargo build --package auxot-tests --bins"

work=$(mktemp -d)
hub=
trap 'kill "$hub" 2>/dev/null || true; rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" --quiet --disable-pip-version-check install "huggingface_hub==$version" || die "cannot install huggingface_hub $version"

mkdir -p "$work/hub/owner/m-GGUF/Q8_0"
for file in m-Q4_K_M.gguf Q8_0/m-Q8_0-00001-of-00002.gguf Q8_0/m-Q8_0-00002-of-00002.gguf README.md; do
  { printf GGUF; head -c 3000000 /dev/urandom; } >"$work/hub/owner/m-GGUF/$file"
done
: >"$work/addresses"
"$target/debug/fake-hub" "$work/hub" >"$work/addresses" &
hub=$!
until read -r _ endpoint _ <"$work/addresses" 2>/dev/null; do kill -0 "$hub" || die "the hub does not start"; done

HF_ENDPOINT=$endpoint HF_HOME=$work/home HF_HUB_DISABLE_XET=1 HF_HUB_DISABLE_TELEMETRY=1 "$work/venv/bin/python" - "$work" <<'END'
import filecmp, pathlib, sys
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_download, hf_hub_url, snapshot_download
from huggingface_hub.errors import EntryNotFoundError, GatedRepoError, RepositoryNotFoundError, RevisionNotFoundError

work = pathlib.Path(sys.argv[1])
source, name = work / "hub/owner/m-GGUF", "owner/m-GGUF"
one = pathlib.Path(hf_hub_download(name, "m-Q4_K_M.gguf"))
assert filecmp.cmp(one, source / "m-Q4_K_M.gguf", shallow=False), one
everything = pathlib.Path(snapshot_download(name))
files = [path.relative_to(source) for path in source.rglob("*") if path.is_file()]
assert all(filecmp.cmp(everything / path, source / path, shallow=False) for path in files), everything
tree = {entry.path: entry for entry in HfApi().list_repo_tree(name, recursive=True)}
assert {str(path) for path in files} <= tree.keys() and tree["m-Q4_K_M.gguf"].lfs.size == one.stat().st_size

def refuses(error, switches, call):
    (work / "hub/switches").write_text(switches)
    try:
        call()
    except error:
        return
    raise SystemExit(f"no {error.__name__} with {switches!r}")

facts = lambda file, **more: (lambda: get_hf_file_metadata(hf_hub_url(name, file, **more)))
stated = facts("m-Q4_K_M.gguf")()
assert (stated.etag, stated.size) == (tree["m-Q4_K_M.gguf"].lfs.sha256, one.stat().st_size), stated
refuses(GatedRepoError, "gated", facts("m-Q4_K_M.gguf"))
refuses(RepositoryNotFoundError, "private hf_x", facts("m-Q4_K_M.gguf"))
refuses(RepositoryNotFoundError, "", lambda: HfApi().model_info("owner/other"))
refuses(RevisionNotFoundError, "", facts("m-Q4_K_M.gguf", revision="v7"))
refuses(EntryNotFoundError, "", facts("other.gguf"))
(work / "hub/switches").write_text("cut 1 700000")
again = pathlib.Path(hf_hub_download(name, "m-Q4_K_M.gguf", local_dir=work / "local"))
assert filecmp.cmp(again, source / "m-Q4_K_M.gguf", shallow=False), again
END
say "huggingface_hub $version and the hub of the tests agree"
