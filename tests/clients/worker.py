"""A worker for the clients, by its gateway or behind a router, and the table of what they did."""

import json
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time
import urllib.request

DEADLINE = 120


class Log:
    """The log of a running worker."""

    def __init__(self, path):
        self.path = path

    def lines(self, pattern):
        with open(self.path) as log:
            return re.findall(pattern, log.read())

    def line(self, pattern, count=1):
        """The newest of `count` matches."""
        end = time.monotonic() + DEADLINE
        while time.monotonic() < end:
            found = self.lines(pattern)
            if len(found) >= count:
                return found[-1]
            time.sleep(0.02)
        raise AssertionError(f"{pattern} is not in the log:\n{open(self.path).read()}")

    def killed(self, model, events):
        """Kills the engine of a model after some events of a stream, reads on, and waits until the model is loaded again."""
        loaded = rf"model is loaded model=\"?({re.escape(model)})"
        before = len(self.lines(loaded))
        try:
            for number, _ in enumerate(events()):
                if number == 5:
                    pid = self.line(rf"engine process started.*model=\"?{re.escape(model)}.* pid=(\d+)")
                    os.kill(int(pid), signal.SIGKILL)
            return "the stream ended as if it were whole"
        finally:
            self.line(loaded, before + 1)


class Worker:
    """A worker of its own, with these settings. `base` is its gateway, which takes any key."""

    key = "x"
    # What it says in the middle of an answer when the engine is lost.
    lost = "went away"

    def __init__(self, programs, engine, **settings):
        self.folder = tempfile.mkdtemp(prefix="auxot-clients-")
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": self.folder,
            "XDG_STATE_HOME": self.folder,
            "NO_COLOR": "1",
            "AUXOT_RUNTIME_DIR": self.folder + "/run",
            "AUXOT_LLAMA_BINARY": engine,
            "AUXOT_METRICS_PORT": "0",
            "AUXOT_CTX_SIZE": "2048",
            "AUXOT_THREADS": "1",
            "AUXOT_GATEWAY_ADDR": "127.0.0.1:0",
            **settings,
        }
        self.log = self.folder + "/log"
        with open(self.log, "w") as log:
            self.process = subprocess.Popen([programs + "/auxot-worker"], env=environment, stdout=log, stderr=log)
        self.base = self.line(r"url=\"?(http://127\.0\.0\.1:\d+)/v1")
        self.metrics = self.line(r"url=\"?(http://127\.0\.0\.1:\d+/metrics)")
        for model in settings["AUXOT_GPU_AUTOLOAD_MODELS"].split(","):
            self.line(rf"model is loaded model=\"?({re.escape(model)})")

    def line(self, pattern):
        return Log(self.log).line(pattern)

    def metric(self, name, label):
        """The sum of a metric over all lines with this label."""
        text = urllib.request.urlopen(self.metrics).read().decode()
        lines = [line for line in text.splitlines() if line.startswith(name + "{")]
        return sum(float(line.split()[-1]) for line in lines if f'"{label}"' in line)

    def refused(self):
        """How many requests were refused."""
        return self.metric("auxot_worker_jobs_total", "refused")

    def stop(self):
        self.process.terminate()
        self.process.wait(DEADLINE)
        shutil.rmtree(self.folder, ignore_errors=True)


class Routed(Worker):
    """A worker behind a router of its own. `base` is the router."""

    lost = "stopped in the middle of the answer"

    def __init__(self, programs, engine, **settings):
        self.router_folder = tempfile.mkdtemp(prefix="auxot-clients-router-")
        keys = self.router_folder + "/keys.toml"
        made = subprocess.run([programs + "/auxot-router", "keys", "create", "--json", "--file", keys], env={}, check=True, stdout=subprocess.PIPE)
        pair = json.loads(made.stdout)
        self.key, log = pair["api_key"], self.router_folder + "/log"
        with open(log, "w") as out:
            serve = [programs + "/auxot-router", "serve", "--port", "0", "--keys-file", keys, "--metrics-addr", "127.0.0.1:0"]
            self.router = subprocess.Popen(serve, env={"NO_COLOR": "1"}, stdout=out, stderr=out)
        base = "http://" + Log(log).line(r"router listens addr=(\S+)")
        self.router_metrics = "http://" + Log(log).line(r"metrics endpoint listens address=(\S+)") + "/metrics"
        super().__init__(programs, engine, AUXOT_ROUTER_URL=base, AUXOT_GPU_KEY=pair["worker_key"], **settings)
        self.base = base
        Log(log).line("worker joined")

    def refused(self):
        text = urllib.request.urlopen(self.router_metrics).read().decode()
        return sum(float(line.split()[-1]) for line in text.splitlines() if line.startswith("auxot_router_requests_turned_away_total{"))

    def stop(self):
        super().stop()
        self.router.terminate()
        self.router.wait(DEADLINE)
        shutil.rmtree(self.router_folder, ignore_errors=True)


class Table:
    """What each client did, beside what it is known to do."""

    def __init__(self):
        self.faults = 0

    def check(self, client, what, run, want):
        """`want` is in the answer, or in the name and the text of the error."""
        try:
            seen = repr(run())
        except Exception as error:
            seen = f"{type(error).__name__}: {error}"
        self.note(client, what, want in seen, seen, want)

    def note(self, client, what, holds, seen, want):
        self.faults += not holds
        print(f"{'ok  ' if holds else 'FAIL'} {client:<12} {what:<42} {seen[:110]}", flush=True)
        if not holds:
            print(f"     expected: {want}", flush=True)
