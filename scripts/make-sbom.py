#!/usr/bin/env python3
"""usage: scripts/make-sbom.py

Prints the libraries that the programs are built from, with versions, digests and licences, as CycloneDX 1.5 JSON. The same
sources give the same bytes.
"""

import json
import pathlib
import subprocess
import sys
import tomllib

if len(sys.argv) != 1:
    sys.exit(__doc__.splitlines()[0])
root = pathlib.Path(__file__).parent.parent
command = ["cargo", "metadata", "--format-version", "1", "--locked", "--manifest-path", str(root / "Cargo.toml")]
metadata = json.loads(subprocess.run(command, capture_output=True, check=True).stdout)
lock = tomllib.loads((root / "Cargo.lock").read_text(encoding="utf-8"))
digests = {(package["name"], package["version"]): package.get("checksum") for package in lock["package"]}

# What the programs are built from, and not what only their tests are.
packages = {package["id"]: package for package in metadata["packages"]}
nodes = {node["id"]: node for node in metadata["resolve"]["nodes"]}
wanted = [package["id"] for package in metadata["packages"] if package["name"] in ("auxot-worker", "auxot-router")]
seen = set()
while wanted:
    current = wanted.pop()
    if current in seen:
        continue
    seen.add(current)
    for dependency in nodes[current]["deps"]:
        if any(kind["kind"] in (None, "build") for kind in dependency["dep_kinds"]):
            wanted.append(dependency["pkg"])


def component(package):
    name, version, digest = package["name"], package["version"], digests.get((package["name"], package["version"]))
    entry = {"type": "library", "name": name, "version": version, "purl": f"pkg:cargo/{name}@{version}"}
    if package.get("license"):
        entry["licenses"] = [{"expression": package["license"].replace("/", " OR ")}]
    if digest:
        entry["hashes"] = [{"alg": "SHA-256", "content": digest}]
    return entry


components = sorted((component(packages[id]) for id in seen), key=lambda entry: (entry["name"], entry["version"]))
print(json.dumps({"bomFormat": "CycloneDX", "specVersion": "1.5", "version": 1, "components": components}, indent=1))
