#!/usr/bin/env python3
"""usage: scripts/engine-works.py LLAMA-SERVER MODEL

Exits 0 when that engine loads that model and has computed with it; else says why in one line. `llama-server --version`
would say nothing about the library that computes, which may be made for another CPU.
"""
import os
import subprocess
import sys
import tempfile
import threading

# A tiny model is there in 50 ms; this is for a machine that is busy with other things.
PATIENCE_S = 60


def main(words):
    if len(words) != 2:
        print(__doc__.split("\n\n")[0], file=sys.stderr)
        return 64
    with tempfile.TemporaryDirectory(prefix="auxot-engine-", dir="/tmp") as folder, open(f"{folder}/log", "w+b") as log:
        # In child mode the engine says on stdout when it is ready, and ends when its stdin does.
        environment = {"PATH": os.environ.get("PATH", ""), "XDG_CONFIG_HOME": folder, "LLAMA_SERVER_ROUTER_PORT": "1",
                       "GGML_NO_BACKTRACE": "1"}
        arguments = ["-m", words[1], "--alias", "a", "--host", f"{folder}/a.sock", "-t", "1", "-c", "256", "-np", "1",
                     "--cache-ram", "0"]
        try:
            engine = subprocess.Popen([words[0], *arguments], env=environment, stdin=subprocess.PIPE,
                                      stdout=subprocess.PIPE, stderr=log)
        except OSError as error:
            print(error, file=sys.stderr)
            return 1
        timer = threading.Timer(PATIENCE_S, engine.kill)
        timer.start()
        ready = any(b'"state":"ready"' in line for line in engine.stdout)
        engine.stdin.close()
        engine.wait()
        timer.cancel()
        if not ready:
            log.seek(0)
            last = (log.read().decode(errors="replace").strip().splitlines() or ["it says nothing"])[-1]
            how = f"signal {-engine.returncode}" if engine.returncode < 0 else f"exit {engine.returncode}"
            print(f"{how}: {last}", file=sys.stderr)
        return 0 if ready else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
