#!/usr/bin/env python3
"""usage: scripts/check-model-table.py REGISTRY.json [WORKER]

Checks that each name of a router's registry of models means that registry's file: a hub of the tests gets every file of the
registry, empty but for a header, and `auxot-worker pull ID --dry-run` must choose the file that the registry names.
Not a part of CI: the registry is not in this repository.
"""

import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

if len(sys.argv) not in (2, 3):
    sys.exit(__doc__.splitlines()[0])
home = pathlib.Path.home()
target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", home / ".cache/auxot/target")) / "debug"
worker = sys.argv[2] if len(sys.argv) == 3 else str(target / "auxot-worker")
models = json.load(open(sys.argv[1], encoding="utf-8"))["models"]
SHARD = re.compile(r"-00001-of-(\d{5})\.gguf$")


def shards(path):
    found = SHARD.search(path)
    count = int(found[1]) if found else 1
    return [path] if count == 1 else [SHARD.sub(f"-{part:05}-of-{count:05}.gguf", path) for part in range(1, count + 1)]


with tempfile.TemporaryDirectory() as work:
    for model in models:
        projector = [model["mmproj_file_name"]] if "mmproj_file_name" in model else []
        for path in shards(model["file_name"]) + projector:
            place = pathlib.Path(work, "hub", model["huggingface_id"], path)
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 0))
    hub = subprocess.Popen([str(target / "fake-hub"), f"{work}/hub"], stdout=subprocess.PIPE, text=True)
    faults = []
    try:
        endpoint = hub.stdout.readline().split()[1]
        environment = {"HOME": work, "HF_ENDPOINT": endpoint, "AUXOT_MODELS_DIR": work}
        for model in models:
            command = [worker, "pull", model["id"], "--dry-run", "--json"]
            ended = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
            chosen = json.loads(ended.stdout.splitlines()[0]) if ended.returncode == 0 else {}
            expected = (model["huggingface_id"], shards(model["file_name"]), model.get("mmproj_file_name"))
            found = (chosen.get("repository"), chosen.get("files"), chosen.get("projector"))
            # A projector may come without being in the registry, and never the other way round.
            if found[:2] != expected[:2] or (expected[2] and found[2] != expected[2]):
                faults.append(f"{model['id']}: {found} instead of {expected} {ended.stderr.strip()}")
    finally:
        hub.kill()
        hub.wait()
print(f"{len(models) - len(faults)} of {len(models)} names mean their file")
sys.exit("\n".join(faults[:20]) if faults else 0)
