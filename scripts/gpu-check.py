#!/usr/bin/env python3
"""usage: scripts/gpu-check.py WORKER ENGINE MODEL.gguf OTHER.gguf BUILD_SECONDS

The steps of scripts/gpu-check.sh after the build; prints the evidence as JSON.
"""

import json
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.request

if len(sys.argv) != 6:
    sys.exit(__doc__.splitlines()[0])
worker, engine = (str(pathlib.Path(path).resolve()) for path in sys.argv[1:3])
models = [pathlib.Path(path).resolve() for path in sys.argv[3:5]]
LIMIT_S = 300
evidence = {"build_seconds": json.loads(sys.argv[5]), "steps": {}}
work = pathlib.Path(tempfile.mkdtemp(prefix="gpu-check-", dir="/tmp"))


def step(name, **facts):
    evidence["steps"][name] = facts
    print(f"{name}: {json.dumps(facts)}", file=sys.stderr)


def cards():
    """The card's own figures: name, driver, MiB in use."""
    fields = "--query-gpu=name,driver_version,memory.used,memory.total"
    try:
        text = subprocess.run(["nvidia-smi", fields, "--format=csv,noheader,nounits"], capture_output=True, text=True, timeout=30)
    except FileNotFoundError:
        return []
    rows = [line.split(", ") for line in text.stdout.splitlines() if text.returncode == 0]
    return [{"name": name, "driver": driver, "used_mib": int(used), "total_mib": int(total)} for name, driver, used, total in rows]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


folder = work / "models"
folder.mkdir()
for model in models:
    (folder / model.name).symlink_to(model)
port = free_port()
environment = {
    "PATH": os.environ["PATH"], "HOME": str(work), "AUXOT_RUNTIME_DIR": str(work / "run"), "XDG_STATE_HOME": str(work / "state"),
    "AUXOT_MODELS_DIR": str(folder), "AUXOT_LLAMA_BINARY": engine, "AUXOT_GATEWAY_ADDR": f"127.0.0.1:{port}",
    "AUXOT_METRICS_PORT": str(free_port()), "AUXOT_CTX_SIZE": "4096", "AUXOT_MAX_PARALLEL": "2",
    "AUXOT_ENGINE__RESTART_DELAY": "100ms", "AUXOT_FLEET__MIN_LOADED_TIME": "0s",
}
if "LD_LIBRARY_PATH" in os.environ:
    environment["LD_LIBRARY_PATH"] = os.environ["LD_LIBRARY_PATH"]


def ask(*arguments):
    ended = subprocess.run([worker, *arguments, "--json"], env=environment, capture_output=True, text=True, timeout=LIMIT_S)
    return json.loads(ended.stdout) if ended.stdout.strip() else {}


def status_of(name):
    return next((view for view in ask("status").get("models", []) if view["name"] == name), None)


def chat(name):
    """A streamed answer: seconds to the first token, tokens a second, and the text's length."""
    body = {"model": name, "stream": True, "max_tokens": 64, "messages": [{"role": "user", "content": "Once upon a time"}]}
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/v1/chat/completions", json.dumps(body).encode(), {"Content-Type": "application/json"}
    )
    start, first, pieces, done = time.monotonic(), None, 0, False
    with urllib.request.urlopen(request, timeout=LIMIT_S) as answer:
        for line in answer:
            done |= line.startswith(b"data: [DONE]")
            if line.startswith(b"data: {") and (b'"content":"' in line or b'"reasoning_content":"' in line):
                first = first or time.monotonic()
                pieces += 1
    assert done and first, "the answer is not whole"
    seconds = time.monotonic() - first
    return {"first_token_s": round(first - start, 3), "tokens": pieces, "tokens_per_s": round(pieces / max(seconds, 1e-6), 1)}


def memory(name):
    """What the model holds, beside what was computed for it."""
    deadline = time.monotonic() + 30
    while True:
        view = status_of(name)
        if view["memory_bytes"] or time.monotonic() > deadline:
            break
    held, estimated = view["memory_bytes"], sum(size for _, size in view["place"])
    error = round((held - estimated) / held, 4) if held and estimated else None
    return {"held_bytes": held, "estimated_bytes": estimated, "error_ratio": error, "devices": [device for device, _ in view["memory"]]}


def until(what, holds):
    deadline = time.monotonic() + LIMIT_S
    while not holds():
        assert time.monotonic() < deadline, f"{what} does not happen"
    return True


def engines():
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*"):
        try:
            if str(work).encode() in (entry / "cmdline").read_bytes() and int(entry.name) != os.getpid():
                found.append(int(entry.name))
        except OSError:
            pass
    return found


start = time.monotonic()
evidence["cards_before"] = cards()
fits = {model["name"]: ask("fit", model["name"]) for model in ask("models")["models"]}
first, second = list(fits)[0], list(fits)[-1]
for name, fit in fits.items():
    takes = sum(device["takes"] for device in fit["devices"]) or fit["need"]["one_device"]
    step(f"fit {name}", fits=fit["fits"], need_bytes=takes)
# So little room that the two do not fit together: the second one must evict the first.
room = int(max(step["need_bytes"] for step in evidence["steps"].values()) * 1.6) + (64 << 20)
free = [device["free"] for device in fits[first]["devices"] if device["free"]]
if free:
    environment["AUXOT_PLACEMENT__RESERVE"] = str(max(max(free) - room, 0))
else:
    environment["AUXOT_PLACEMENT__HOST_LIMIT"] = str(room)
evidence["engine_devices"] = [
    line.strip() for line in subprocess.run([engine, "--list-devices"], capture_output=True, text=True).stdout.splitlines()[1:]
]
evidence["on"] = "card" if evidence["cards_before"] else "processor: no NVIDIA card is here"
log = open(work / "worker.log", "wb")
process = subprocess.Popen([worker], env=environment, stdout=log, stderr=log)
failed = None
try:
    until("the start", lambda: "models" in ask("status") or process.poll() is not None)
    step("load and answer", model=first, **chat(first))
    step("memory", model=first, **memory(first), cards=cards())
    step("swap", model=second, **chat(second), first_state=status_of(first)["state"])
    step("memory of the other", model=second, **memory(second), cards=cards())
    step("swap back", model=first, **chat(first))
    before = status_of(first)["pid"]
    os.kill(before, signal.SIGKILL)
    until("another process", lambda: (status_of(first) or {}).get("pid") not in (None, before))
    step("engine killed", model=first, **chat(first), restarts=status_of(first)["restarts"])
    process.kill()
    process.wait()
    until("the end of all engines", lambda: not engines())
    step("worker killed", engines_left=len(engines()), cards=cards())
except Exception as fault:
    failed = f"{type(fault).__name__}: {fault}"
finally:
    process.kill()
    process.wait()
evidence["seconds"] = round(time.monotonic() - start, 1)
evidence["failed"] = failed
if failed:
    evidence["log"] = (work / "worker.log").read_text(errors="replace").splitlines()[-20:]
print(json.dumps(evidence, indent=2))
shutil.rmtree(work, ignore_errors=True)
sys.exit(1 if failed else 0)
