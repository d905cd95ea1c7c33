#!/usr/bin/env python3
"""usage: scripts/upgrade-load.py MODEL URL[=KEY]...

Asks over and over until standard input ends, with two clients of short answers and one of answers of eight seconds for each
address. Prints a line once the long answers run, and at the end one for each address: how many jobs there were, how many of
them were lost, and the longest gap: what an upgrade costs besides its drains. Standard input has the drains, each a line of the
two times, in seconds since 1970, at which a service was told to stop and ended. A gap is the time in which a job waited for its
first byte while no service drained, and after the answers that were running when it came.
"""

import http.client
import json
import sys
import threading
import time
from urllib.parse import urlsplit

# Tokens of the answers of each client; a token takes 20 ms.
CLIENTS = [8, 8, 400]
# A job that gets nothing for so long is lost.
TIMEOUT_S = 60.0


class Clients:
    """The clients of one address, and their jobs: when each came, got its first byte, and ended."""

    def __init__(self, url, key, model):
        self.url, self.key, self.model = urlsplit(url), key, model
        self.jobs, self.lost, self.lock = [], [], threading.Lock()
        self.has_begun = threading.Event()

    def run(self, tokens, is_over):
        while not is_over.is_set():
            came = time.time()
            try:
                first = self.ask(tokens)
            except (OSError, http.client.HTTPException, ValueError) as error:
                with self.lock:
                    self.lost.append(f"after {time.time() - came:.1f} s: {type(error).__name__}: {error}")
                is_over.wait(0.1)
                continue
            with self.lock:
                self.jobs.append((came, first, time.time()))

    def ask(self, tokens):
        """One job; when its first byte came."""
        messages = [{"role": "user", "content": f"fake:--tokens {tokens} --token-us 20000"}]
        body = {"model": self.model, "stream": True, "messages": messages}
        fields = {"content-type": "application/json"}
        if self.key:
            fields["authorization"] = f"Bearer {self.key}"
        connection = http.client.HTTPConnection(self.url.hostname, self.url.port, timeout=TIMEOUT_S)
        try:
            connection.request("POST", "/v1/chat/completions", json.dumps(body), fields)
            answer = connection.getresponse()
            first, text = None, b""
            while part := answer.read1(65536):
                # Comments are no part of the answer.
                text += part
                if first is None and b"data:" in text:
                    first = time.time()
                    if tokens == max(CLIENTS):
                        self.has_begun.set()
            if answer.status != 200 or b"[DONE]" not in text:
                raise ValueError(f"{answer.status} {text[-200:]!r}")
            return first
        finally:
            connection.close()

    def longest_gap(self, answers, drains):
        """The longest one, where these answers of all clients were running."""

        def gap(came, first):
            running = [(came, end) for _, began, end in answers if began <= came < end]
            waited, covered = 0.0, came
            for begin, end in sorted(running + drains):
                waited += max(0.0, min(begin, first) - covered)
                covered = max(covered, end)
            return waited + max(0.0, first - covered)

        return max((gap(came, first) for came, first, _ in self.jobs), default=0.0)


def main():
    model, *addresses = sys.argv[1:]
    is_over = threading.Event()
    all_clients = [Clients(*address.partition("=")[::2], model) for address in addresses]
    each = [(clients, tokens) for clients in all_clients for tokens in CLIENTS]
    threads = [threading.Thread(target=clients.run, args=(tokens, is_over)) for clients, tokens in each]
    for thread in threads:
        thread.start()
    for clients in all_clients:
        clients.has_begun.wait(TIMEOUT_S)
    print("the long answers run", flush=True)
    drains = [tuple(map(float, line.split())) for line in sys.stdin]
    is_over.set()
    for thread in threads:
        thread.join()
    answers = [job for clients in all_clients for job in clients.jobs]
    for clients in all_clients:
        jobs, lost, gap = len(clients.jobs), len(clients.lost), clients.longest_gap(answers, drains)
        print(f"{clients.url.geturl()}: jobs {jobs}, lost {lost}, longest gap {gap:.2f} s")
        for reason in clients.lost:
            print(f"  lost {reason}")
    print(f"drains {', '.join(f'{end - begin:.1f} s' for begin, end in drains)}")
    sys.exit(any(clients.lost for clients in all_clients))


main()
