#!/usr/bin/env python3
"""usage: scripts/link-order.py

Writes crates/worker/link-order.ld: the functions that a worker runs until it is idle with a model loaded, and then those that it
runs to serve jobs. The linker puts each of the two side by side. A page of the program is read with its neighbours, 64 KiB at a
time, so without an order a function of some bytes in the middle of others costs 64 KiB of memory.

Needs valgrind (Debian's package) and some minutes: it builds the release, runs a worker with a router, the real engine and a
tiny model under callgrind, and asks it for answers by both ways. To be run before a release, or when `make bench` shows that
an idle worker has grown. The list need not be complete: what it lacks lies elsewhere, and names that no longer exist are
ignored.
"""

import collections
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parent.parent
ORDER = ROOT / "crates/worker/link-order.ld"
TARGET = pathlib.Path(
    os.environ.get("CARGO_TARGET_DIR")
    or pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "auxot/target"
)
MODEL = "tiny-script-f16"
# A program under valgrind is slow, and so is a busy machine.
DEADLINE = 600
# Longer than a heartbeat's interval and every periodic check.
IDLE = 45
# Bytes of functions that are not run, for each one that is: where a name without its hash would put more of them beside it, the name
# has its hash, and holds for this compiler and these dependencies.
SPARED = 4096

HEAD = """/* The functions that a worker runs until it is idle, and then those that it runs to serve jobs, side by side: an idle worker has
   less of its program in memory. Made by scripts/link-order.py, which says when; not edited by hand. */
"""


def main():
    os.environ["CARGO_TARGET_DIR"] = str(TARGET)
    with tempfile.TemporaryDirectory(prefix="auxot-order.") as folder:
        folder = pathlib.Path(folder)
        sections = build(folder / "map")
        idle, serving = [patterns({sections[name] for name in names if name in sections}, sections) for names in run(folder)]
    if len(idle) < 1000:
        sys.exit(f"cannot make a list: only {len(idle)} functions of the worker were seen")
    ORDER.write_text(HEAD + section("idle", idle) + section("serving", serving - idle))
    print(f"{len(idle)} and {len(serving - idle)} functions in {ORDER.relative_to(ROOT)}")


def build(link_map):
    """Builds the release; returns the section of each function, with its length."""
    say("building")
    cargo = ["cargo", "build", "--quiet", "--release", "--workspace", "--bins"]
    subprocess.run(cargo, cwd=ROOT, check=True, env=os.environ | {"AUXOT_LINK_MAP": str(link_map)})
    sections, section = {}, None
    for line in link_map.read_text().splitlines():
        last = line.split()[-1] if line.strip() else ""
        of_file = re.search(r"^ *\S+ +\S+ +([0-9a-f]+) .*:\((\.text\.[^)]+)\)$", line)
        if of_file:
            section = (of_file[2], int(of_file[1], 16))
        elif section and re.fullmatch(r"_[A-Za-z0-9_.$]+", last):
            sections[last] = section
    return sections


def run(folder):
    """Runs a worker under callgrind; returns the names of the functions that it ran until it was idle, and after that."""
    say("running a worker under callgrind")
    script = lambda name: subprocess.run([ROOT / "scripts" / name], check=True, stdout=subprocess.PIPE, text=True).stdout
    engine, models = script("get-engine.sh").strip(), script("make-tiny-models.py").strip()
    router_program, worker_program = TARGET / "release/auxot-router", TARGET / "release/auxot-worker"
    clean = {"PATH": os.environ["PATH"], "HOME": str(folder), "XDG_STATE_HOME": str(folder), "XDG_RUNTIME_DIR": str(folder)}
    keys_file = folder / "keys.toml"
    made = subprocess.run(
        [router_program, "keys", "create", "--json", "--file", keys_file], check=True, stdout=subprocess.PIPE, env=clean
    )
    keys = json.loads(made.stdout)
    router_port, gateway_port, metrics_port = free_port(), free_port(), free_port()
    router = subprocess.Popen(
        [router_program, "serve", "--port", str(router_port), "--keys-file", keys_file],
        env=clean, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
    )
    settings = {
        "AUXOT_ROUTER_URL": f"http://127.0.0.1:{router_port}",
        "AUXOT_GPU_KEY": keys["worker_key"],
        "AUXOT_LLAMA_BINARY": engine,
        "AUXOT_MODELS_DIR": models,
        "AUXOT_GPU_AUTOLOAD_MODELS": MODEL,
        "AUXOT_GATEWAY_ADDR": f"127.0.0.1:{gateway_port}",
        "AUXOT_METRICS_PORT": str(metrics_port),
    }
    profile = folder / "profile"
    callgrind = ["valgrind", "--tool=callgrind", "--demangle=no", f"--callgrind-out-file={profile}"]
    with open(folder / "worker.log", "w") as log:
        worker = subprocess.Popen(
            [*callgrind, worker_program, "--type", "gpu"], env=clean | settings, stdout=log, stderr=log
        )
    try:
        routed = (f"http://127.0.0.1:{router_port}", keys["api_key"])
        local = (f"http://127.0.0.1:{gateway_port}", "unused")
        until(lambda: MODEL in get(*routed, "/v1/models"), worker, folder / "worker.log")
        time.sleep(IDLE)
        # Writes what was counted so far to a file of its own, with the number 1.
        subprocess.run(["callgrind_control", "--dump", str(worker.pid)], check=True, stdout=subprocess.DEVNULL)
        for server in (routed, local):
            for stream in (True, False, True):
                body = {"model": MODEL, "stream": stream, "messages": [{"role": "user", "content": "hello"}]}
                until(lambda: post(*server, "/v1/chat/completions", body), worker, folder / "worker.log")
            get(*server, "/v1/models")
        get(f"http://127.0.0.1:{metrics_port}", "", "/metrics")
    finally:
        for process in (worker, router):
            process.send_signal(signal.SIGTERM)
        for process in (worker, router):
            process.wait(timeout=DEADLINE)
    return functions(profile.with_suffix(".1")), functions(profile)


def functions(profile):
    """The functions of a profile."""
    names = re.findall(r"^c?fn=\(\d+\) (\S+)", profile.read_text(), re.MULTILINE)
    # A function that calls itself has a level behind its name.
    return {re.sub(r"'\d+$", "", name) for name in names}


def patterns(used, sections):
    """The names of these sections, where possible without the hashes that another build may have otherwise."""
    alike = collections.defaultdict(set)
    for section in sections.values():
        alike[without_hashes(section[0])].add(section)
    chosen = set()
    for name, _ in used:
        pattern = without_hashes(name)
        others = sum(length for _, length in alike[pattern] - used)
        chosen.add(pattern if others <= SPARED * len(alike[pattern] & used) else name)
    return chosen


def without_hashes(name):
    return re.sub(r"Cs[0-9A-Za-z]+_", "Cs*_", re.sub(r"17h[0-9a-f]{16}E.*$", "17h*", name))


def section(name, patterns):
    """A section of the program, before all others."""
    inputs = "".join(f"    *({pattern})\n" for pattern in sorted(patterns))
    return f"SECTIONS {{\n  .text.{name} : {{\n{inputs}  }}\n}}\nINSERT BEFORE .text;\n"


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def until(done, worker, log):
    end = time.monotonic() + DEADLINE
    while True:
        try:
            if done():
                return
        except (urllib.error.URLError, ConnectionError):
            pass
        if worker.poll() is not None or time.monotonic() > end:
            sys.exit(f"cannot make a list: the worker does not serve. The end of its log:\n{log.read_text()[-2000:]}")
        time.sleep(0.5)


def get(server, key, path):
    return ask(urllib.request.Request(server + path, headers={"Authorization": f"Bearer {key}"}))


def post(server, key, path, body):
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    return ask(urllib.request.Request(server + path, json.dumps(body).encode(), headers))


def ask(request):
    with urllib.request.build_opener(urllib.request.ProxyHandler({})).open(request, timeout=DEADLINE) as answer:
        return answer.read().decode()


def say(text):
    print(text, file=sys.stderr, flush=True)


main()
