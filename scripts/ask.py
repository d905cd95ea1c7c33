#!/usr/bin/env python3
"""usage: scripts/ask.py ROUTER-URL API-KEY-FILE MODEL QUESTION

Waits until the router offers the model, asks it one question and prints the answer as it comes. The key is read from a
file, because arguments can be read by every user of the host.
"""
import http.client
import json
import sys
import time
import urllib.parse

# A model that is not there by then will not come: the log of the worker says why.
PATIENCE_S = 120


def request(url, key, method, path, body=None):
    connection = http.client.HTTPConnection(url.hostname, url.port, timeout=PATIENCE_S)
    headers = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
    connection.request(method, path, body, headers)
    return connection.getresponse()


def offered(url, key):
    try:
        answer = request(url, key, "GET", "/v1/models")
        return [model["id"] for model in json.load(answer).get("data", [])] if answer.status == 200 else []
    except OSError:
        return []


def main(words):
    if len(words) != 4:
        print(__doc__.split("\n\n")[0], file=sys.stderr)
        return 64
    url, model, question = urllib.parse.urlsplit(words[0]), words[2], words[3]
    with open(words[1], encoding="ascii") as file:
        key = file.read().strip()
    deadline = time.monotonic() + PATIENCE_S
    while model not in (models := offered(url, key)):
        if time.monotonic() > deadline:
            print(f"the router does not offer {model}; it offers {models}", file=sys.stderr)
            return 1
        time.sleep(0.1)
    body = {"model": model, "stream": True, "max_tokens": 48, "temperature": 0,
            "messages": [{"role": "user", "content": question}]}
    answer = request(url, key, "POST", "/v1/chat/completions", json.dumps(body))
    if answer.status != 200:
        print(f"the router answered {answer.status}: {answer.read().decode(errors='replace')}", file=sys.stderr)
        return 1
    for line in answer:
        data = line.decode().strip().removeprefix("data: ")
        if data.startswith("{"):
            event = json.loads(data)
            if "error" in event:
                print(f"\nthe answer broke off: {event['error']}", file=sys.stderr)
                return 1
            for choice in event.get("choices", []):
                print(choice.get("delta", {}).get("content") or "", end="", flush=True)
    print()
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
