#!/bin/sh
# usage: findings/gated-error-hidden.sh
#
# The hub's Python client tells a gated repository apart by the field X-Error-Code of the refusal, and raises
# GatedRepoError for it. With force_download=True the same refusal comes as a plain ValueError whose text is about the
# force_download option; the real reason is only in its __cause__. A program that catches GatedRepoError to ask for a token, or prints the
# text, misleads the user who has asked to download again.
#
# Seen with huggingface_hub 2.4.0 against a local server that refuses as the hub does (401, X-Error-Code: GatedRepo):
#   hf_hub_download(...)                        ->  GatedRepoError
#   hf_hub_download(..., force_download=True)   ->  ValueError, with a GatedRepoError as its cause
# Exits with 0 while that is so, with 1 when it has changed, with 2 when the package cannot be had.
set -eu

folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv" && "$folder/venv/bin/pip" -q install huggingface_hub==2.4.0 ||
  { echo "cannot check: pip cannot install huggingface_hub" >&2; exit 2; }

HF_HOME=$folder/home HF_HUB_DISABLE_TELEMETRY=1 HF_HUB_DISABLE_XET=1 "$folder/venv/bin/python" - <<'PY'
import http.server
import os
import sys
import threading


class Gate(http.server.BaseHTTPRequestHandler):
    def refuse(self):
        self.send_response(401)
        self.send_header("X-Error-Code", "GatedRepo")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_HEAD = refuse

    def log_message(self, *_):
        pass


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Gate)
threading.Thread(target=server.serve_forever, daemon=True).start()
os.environ["HF_ENDPOINT"] = f"http://127.0.0.1:{server.server_port}"

import huggingface_hub


def refusal(**options):
    try:
        huggingface_hub.hf_hub_download("owner/model", "model.gguf", **options)
    except Exception as error:
        return type(error).__name__, type(error.__cause__).__name__
    return "nothing", "nothing"


plain, forced = refusal(), refusal(force_download=True)
print("huggingface_hub", huggingface_hub.__version__)
print("without force_download:", plain[0])
print("with force_download:   ", forced[0], "caused by", forced[1])
sys.exit(0 if (plain[0], *forced) == ("GatedRepoError", "ValueError", "GatedRepoError") else 1)
PY
