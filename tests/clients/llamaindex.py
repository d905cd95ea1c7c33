"""LlamaIndex against a running worker: `llamaindex.py BASE LOG`. Exits with the number of faults."""

import os
import sys

from llama_index.llms.openai_like import OpenAILike

from worker import Log, Table

base, log = sys.argv[1:]
SCRIPT, LOOP = "tiny-script-f16", "tiny-loop-f16"
SENTENCE = "It always says exactly this"
table = Table()


def index(model, is_chat=True):
    return OpenAILike(model=model, api_base=base + "/v1", api_key=os.environ["KEY"], is_chat_model=is_chat)


table.check("llamaindex", "complete, by /v1/completions", lambda: index(SCRIPT, False).complete("hi").text, SENTENCE)
table.check("llamaindex", "complete, by chat", lambda: index(SCRIPT).complete("hi").text, SENTENCE)
table.check("llamaindex", "a stream", lambda: [part.text for part in index(SCRIPT).stream_complete("hi")][-1], SENTENCE)
table.check("llamaindex", "404, no such model", lambda: index("none").complete("hi"), "NotFoundError")
table.check(
    "llamaindex",
    "the engine lost between two events",
    lambda: Log(log).killed(LOOP, lambda: index(LOOP).stream_complete("hi")),
    "APIError",
)
sys.exit(table.faults)
