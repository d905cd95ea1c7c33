#!/usr/bin/env python3
"""usage: scripts/engine-manifest.py FOLDER COMMIT BACKEND COMPILER SECONDS OPTION...

Writes FOLDER/manifest.json: how the engine in FOLDER was built, the sha256 of each of its files, and what it can do, read
from its own --help and --list-devices.
"""

import hashlib
import json
import pathlib
import re
import subprocess
import sys

if len(sys.argv) < 6:
    sys.exit(__doc__.splitlines()[0])
folder, commit, backend, compiler, seconds, *options = sys.argv[1:]
folder = pathlib.Path(folder)
server = folder / "llama-server"


def output(flag):
    ended = subprocess.run([server, flag], capture_output=True, text=True, timeout=60, check=False)
    return ended.stdout + ended.stderr


def digest(path):
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


files = sorted(path for path in folder.iterdir() if path.name != "manifest.json")
manifest = {
    "commit": commit,
    "backend": backend,
    "options": options,
    "compiler": compiler,
    "build_seconds": int(seconds),
    "files": {
        path.name: {"link": str(path.readlink())}
        if path.is_symlink()
        else {"bytes": path.stat().st_size, "sha256": digest(path)}
        for path in files
    },
    "devices": [line.strip() for line in output("--list-devices").splitlines() if re.match(r"^ +\w+: ", line)],
    "flags": sorted(set(re.findall(r"(?m)(?<![\w-])--[a-z][a-z0-9-]+", output("--help")))),
}
(folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
