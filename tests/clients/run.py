"""Runs unmodified clients against a worker: `run.py PROGRAMS ENGINE TINY_MODELS FOLDER`.

FOLDER has the packages for Node, a coding agent among them, and a second Python in `llamaindex`: LlamaIndex needs an older
package of OpenAI's.

The first worker has the real engine and tiny models, each with a known answer. The others have the fake engine, for answers
that a healthy engine does not give. Each line says what a client made of an answer; docs/clients.md is made from them.
"""

import json
import os
import shutil
import subprocess
import sys
import tempfile
import threading
import time

# litellm would ask a host of the internet for its prices.
os.environ["LITELLM_LOCAL_MODEL_COST_MAP"] = "True"

import anthropic
import litellm
import openai
from langchain_openai import ChatOpenAI, OpenAIEmbeddings

from worker import Log, Routed, Table, Worker

HERE = os.path.dirname(os.path.abspath(__file__))
PROGRAMS, ENGINE, TINY, FOLDER = sys.argv[1:]
SCRIPT, TOOL, THINK, EMBED, LOOP = (f"tiny-{name}-f16" for name in ["script", "tool", "think", "embed", "loop"])
SENTENCE = "It always says exactly this"
MESSAGES = [{"role": "user", "content": "hello"}]
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}, "unit": {"type": "string"}}}
TOOLS = [{"type": "function", "function": {"name": "get_weather", "parameters": SCHEMA}}]
PICTURE = "iVBORw0KGgoAAAANSUhEUgAAAAgAAAAICAIAAABLbSncAAAAEklEQVR4nGP4z8CAFWEXHbQSACj/P8Fu7N9hAAAAAElFTkSuQmCC"
LONG = [{"role": "user", "content": "a b c " * 3000}]

litellm.suppress_debug_info = True
table = Table()


def of_openai(worker, **more):
    return openai.OpenAI(base_url=worker.base + "/v1", api_key=worker.key, **more)


def of_anthropic(worker, **more):
    return anthropic.Anthropic(base_url=worker.base, api_key=worker.key, **more)


def streamed(client, model, **more):
    """The text of a stream."""
    chunks = client.chat.completions.create(model=model, messages=MESSAGES, stream=True, **more)
    return "".join(chunk.choices[0].delta.content or "" for chunk in chunks if chunk.choices)


def streamed_message(client, model):
    with client.messages.stream(model=model, max_tokens=100_000, messages=MESSAGES) as stream:
        return "".join(stream.text_stream)


def healthy(worker):
    o, a = of_openai(worker), of_anthropic(worker)
    create, check = o.chat.completions.create, table.check
    check("openai", "chat", lambda: create(model=SCRIPT, messages=MESSAGES).choices[0].message.content, SENTENCE)
    check("openai", "chat, a stream", lambda: streamed(o, SCRIPT), SENTENCE)
    tool = lambda: create(model=TOOL, messages=MESSAGES, tools=TOOLS, temperature=0).choices[0]
    check("openai", "tools", lambda: tool().message.tool_calls[0].function.name, "get_weather")
    check("openai", "tools: why it ended", lambda: tool().finish_reason, "tool_calls")
    check("openai", "reasoning", lambda: len(create(model=THINK, messages=MESSAGES).choices[0].message.reasoning_content) > 0, "True")
    form = {"type": "json_schema", "json_schema": {"name": "x", "schema": {"type": "object", "properties": {"a": {"type": "boolean"}}, "required": ["a"]}}}
    check("openai", "structured output", lambda: create(model=SCRIPT, messages=MESSAGES, response_format=form, max_tokens=50, temperature=0).choices[0].message.content, '{')
    check("openai", "embeddings", lambda: len(o.embeddings.create(model=EMBED, input=["a", "b"]).data), "2")
    check("openai", "completions", lambda: o.completions.create(model=SCRIPT, prompt="x").choices[0].text, SENTENCE)
    check("openai", "responses", lambda: o.responses.create(model=SCRIPT, input="x").output_text, SENTENCE)
    check("openai", "responses, a stream", lambda: [event.type for event in o.responses.create(model=SCRIPT, input="x", stream=True)][-1], "response.completed")
    check("openai", "the list of models", lambda: [model.id for model in o.models.list()], SCRIPT)
    check("openai", "a prompt that is too long", lambda: create(model=SCRIPT, messages=LONG), "BadRequestError: Error code: 400")
    url = [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": "http://h/x"}}]}]
    check("openai", "a picture by its URL", lambda: create(model=SCRIPT, messages=url), "BadRequestError")
    check("anthropic", "a message", lambda: a.messages.create(model=SCRIPT, max_tokens=50, messages=MESSAGES).content[0].text, SENTENCE)
    check("anthropic", "a message, a stream", lambda: streamed_message(a, SCRIPT), SENTENCE)
    tools = [{"name": "get_weather", "input_schema": SCHEMA}]
    check("anthropic", "tools", lambda: a.messages.create(model=TOOL, max_tokens=200, messages=MESSAGES, tools=tools, extra_body={"temperature": 0}).content[-1].name, "get_weather")
    check("anthropic", "a prompt that is too long", lambda: a.messages.create(model=SCRIPT, max_tokens=50, messages=LONG), "BadRequestError: Error code: 400")
    source = [{"role": "user", "content": [{"type": "image", "source": {"type": "url", "url": "http://h/x"}}]}]
    check("anthropic", "a picture by its URL", lambda: a.messages.create(model=SCRIPT, max_tokens=50, messages=source), "BadRequestError")
    check("anthropic", "count_tokens", lambda: a.messages.count_tokens(model=SCRIPT, messages=MESSAGES).input_tokens > 0, "True")
    chat = dict(api_base=worker.base + "/v1", api_key=worker.key, messages=MESSAGES)
    check("litellm", "chat", lambda: litellm.completion(model="openai/" + SCRIPT, **chat).choices[0].message.content, SENTENCE)
    check("litellm", "messages", lambda: litellm.completion(model="anthropic/" + SCRIPT, api_base=worker.base, api_key=worker.key, messages=MESSAGES, max_tokens=50).choices[0].message.content, SENTENCE)
    check("litellm", "a prompt that is too long", lambda: litellm.completion(model="openai/" + SCRIPT, **{**chat, "messages": LONG}), "ContextWindowExceededError")
    lang = lambda model: ChatOpenAI(base_url=worker.base + "/v1", api_key=worker.key, model=model)
    check("langchain", "chat", lambda: lang(SCRIPT).invoke("hi").content, SENTENCE)
    check("langchain", "chat, a stream", lambda: "".join(chunk.content for chunk in lang(SCRIPT).stream("hi")), SENTENCE)
    check("langchain", "tools", lambda: lang(TOOL).bind_tools(TOOLS).invoke("hi").tool_calls[0]["name"], "get_weather")
    embeddings = lambda: OpenAIEmbeddings(base_url=worker.base + "/v1", api_key=worker.key, model=EMBED, check_embedding_ctx_length=False)
    check("langchain", "embeddings", lambda: len(embeddings().embed_query("a")) > 0, "True")
    for client, ask, want in [
        ("openai", lambda: create(model="none", messages=MESSAGES), "NotFoundError"),
        ("anthropic", lambda: a.messages.create(model="none", max_tokens=5, messages=MESSAGES), "NotFoundError"),
        ("litellm", lambda: litellm.completion(model="openai/none", **chat), "NotFoundError"),
        ("langchain", lambda: lang("none").invoke("hi"), "NotFoundError"),
    ]:
        before = worker.refused()
        check(client, "404, no such model", ask, want)
        attempts = worker.refused() - before
        table.note(client, "404: attempts", attempts == 1, str(attempts), "1")


def node(mode, worker, *words):
    """The same with the clients for Node."""
    program = ["node", FOLDER + "/clients.mjs", worker.base, worker.log, mode, *words]
    table.faults += subprocess.run(program, timeout=600, env={**os.environ, "KEY": worker.key, "LOST": worker.lost}).returncode


def vision(start):
    """Pictures, with a model that takes them and says its sentence."""
    folder = tempfile.mkdtemp(prefix="auxot-clients-models-")
    subprocess.run([sys.executable, HERE + "/../../scripts/make-tiny-models.py", "--vision", folder], check=True, stdout=subprocess.DEVNULL)
    model = "tiny-vision-f16"
    worker = start(PROGRAMS, ENGINE, AUXOT_GPU_AUTOLOAD_MODELS=model, AUXOT_MODELS_DIR=folder)
    o, a = of_openai(worker), of_anthropic(worker)
    url = "data:image/png;base64," + PICTURE
    content = [{"type": "text", "text": "hello"}, {"type": "image_url", "image_url": {"url": url}}]
    picture = [{"role": "user", "content": content}]
    chat = lambda messages: o.chat.completions.create(model=model, messages=messages)
    table.check("openai", "a picture", lambda: chat(picture).choices[0].message.content, SENTENCE)
    more = chat(picture).usage.prompt_tokens - chat(MESSAGES).usage.prompt_tokens
    table.note("openai", "a picture: tokens of its own", more >= 4, str(more), "4 or more")
    parts = [{"type": "input_text", "text": "hello"}, {"type": "input_image", "image_url": url}]
    table.check("openai", "responses, a picture", lambda: o.responses.create(model=model, input=[{"role": "user", "content": parts}]).output_text, SENTENCE)
    source = {"type": "base64", "media_type": "image/png", "data": PICTURE}
    message = [{"role": "user", "content": [{"type": "image", "source": source}, {"type": "text", "text": "hello"}]}]
    table.check("anthropic", "a picture", lambda: a.messages.create(model=model, max_tokens=50, messages=message).content[0].text, SENTENCE)
    table.check("litellm", "a picture", lambda: litellm.completion(model="openai/" + model, api_base=worker.base + "/v1", api_key=worker.key, messages=picture).choices[0].message.content, SENTENCE)
    table.check("langchain", "a picture", lambda: ChatOpenAI(base_url=worker.base + "/v1", api_key=worker.key, model=model).invoke([("user", content)]).content, SENTENCE)
    node("vision", worker, model, PICTURE)
    worker.stop()


def agent(start):
    """A coding agent: what the model says is its answer, and a call of a tool that writes a file is done."""
    folder = tempfile.mkdtemp(prefix="auxot-clients-models-")
    says, writes = "tiny-says-f16", "tiny-writes-f16"
    call = {"name": "write", "arguments": {"content": "made by a tiny model", "filePath": "made.txt"}}
    for model, text in [(says, "The agent is answered."), (writes, f"<tool_call>\n{json.dumps(call)}\n</tool_call>")]:
        subprocess.run([sys.executable, HERE + "/../../scripts/make-tiny-models.py", "--text", text, f"{folder}/{model}.gguf"], check=True, stdout=subprocess.DEVNULL)
    # Its first prompt has some fifty thousand bytes, and a tiny model has a token for each.
    worker = start(PROGRAMS, ENGINE, AUXOT_GPU_AUTOLOAD_MODELS=f"{says},{writes}", AUXOT_MODELS_DIR=folder, AUXOT_CTX_SIZE="131072", AUXOT_MAX_PARALLEL="1")
    table.check("opencode", "an answer", lambda: opencode(worker, says), "The agent is answered.")
    table.check("opencode", "a file that the model writes", lambda: opencode(worker, writes, "made.txt"), "made by a tiny model")
    worker.stop()


def opencode(worker, model, file=None):
    """What it prints in a folder of its own, or the file that it makes there."""
    folder = tempfile.mkdtemp(prefix="auxot-clients-agent-")
    models = {name: {"name": name, "tool_call": True, "limit": {"context": 131072, "output": 4096}} for name in [model]}
    local = {"npm": "@ai-sdk/openai-compatible", "name": "local", "options": {"baseURL": worker.base + "/v1", "apiKey": worker.key}, "models": models}
    settings = {"autoupdate": False, "share": "disabled", "provider": {"local": local}, "permission": {"edit": "allow"}, "agent": {"build": {"temperature": 0}}}
    settings["model"] = settings["small_model"] = f"local/{model}"
    os.mkdir(folder + "/project")
    with open(folder + "/project/opencode.json", "w") as out:
        json.dump(settings, out)
    environment = {"PATH": os.environ["PATH"], "HOME": folder, "OPENCODE_DISABLE_AUTOUPDATE": "1"}
    program = [FOLDER + "/node_modules/.bin/opencode", "run", "do it"]
    with open(folder + "/out", "w") as out, subprocess.Popen(program, cwd=folder + "/project", env=environment, stdin=subprocess.DEVNULL, stdout=out, stderr=subprocess.STDOUT) as process:
        end = time.monotonic() + 300
        made = f"{folder}/project/{file}"
        # A model that calls its tool in every turn does so until somebody stops it.
        while process.poll() is None and time.monotonic() < end and not (file and os.path.exists(made)):
            time.sleep(0.1)
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
    return open(made if file else folder + "/out").read()


def lost(worker):
    o, a = of_openai(worker), of_anthropic(worker)
    chat = dict(model=LOOP, messages=MESSAGES, stream=True)
    for client, events, want in [
        ("openai", lambda: o.chat.completions.create(**chat), "APIError"),
        ("anthropic", lambda: a.messages.create(max_tokens=100_000, **chat), "APIStatusError"),
        ("litellm", lambda: litellm.completion(**{**chat, "model": "openai/" + LOOP}, api_base=worker.base + "/v1", api_key=worker.key), "MidStreamFallbackError"),
        ("langchain", lambda: ChatOpenAI(base_url=worker.base + "/v1", api_key=worker.key, model=LOOP).stream("hi"), "APIError"),
    ]:
        table.check(client, "the engine lost between two events", lambda: Log(worker.log).killed(LOOP, events), want)


def fake(switches, others={}, **settings):
    """A worker with the fake engine and one slot; `others` are switches of further models, which are not loaded."""
    folder = tempfile.mkdtemp(prefix="auxot-clients-models-")
    for model, switches in {LOOP: switches, **others}.items():
        file = f"{folder}/{model}.gguf"
        shutil.copy(f"{TINY}/{SCRIPT}.gguf", file)
        with open(file + ".fake", "w") as beside:
            beside.write(switches)
    settings = {"AUXOT_GPU_AUTOLOAD_MODELS": LOOP, "AUXOT_MODELS_DIR": folder, "AUXOT_MAX_PARALLEL": "1", **settings}
    return Worker(PROGRAMS, PROGRAMS + "/fake-llama-server", **settings)


def busy(worker):
    """A stream that keeps the only slot."""
    stream = of_openai(worker).chat.completions.create(model=LOOP, messages=MESSAGES, stream=True)
    next(iter(stream))
    return stream


def overloaded():
    endless = "--tokens 1000000000 --token-us 1000"
    worker = fake(endless, AUXOT_FLEET__MAX_WAIT="1s", AUXOT_GATEWAY__EARLY_HEAD="30s")
    held = busy(worker)
    o, a = of_openai(worker), of_anthropic(worker)
    for client, ask, want in [
        ("openai", lambda: o.chat.completions.create(model=LOOP, messages=MESSAGES), "InternalServerError"),
        ("anthropic", lambda: a.messages.create(model=LOOP, max_tokens=5, messages=MESSAGES), "ServiceUnavailableError"),
    ]:
        before = worker.refused()
        table.check(client, "503, no slot in time (Retry-After: 5)", ask, want)
        attempts = worker.refused() - before
        table.note(client, "503: attempts", attempts == 3, str(attempts), "3")
    node("asks", worker, LOOP, "503, no slot in time (Retry-After: 5)", "InternalServerError", "ServiceUnavailableError", "RetryError")
    held.close()
    worker.stop()
    worker = fake(endless, AUXOT_FLEET__MAX_WAIT="80s", AUXOT_FLEET__MAX_WAITING="1")
    held = busy(worker)
    one = of_openai(worker, max_retries=0)
    waiting = threading.Thread(target=lambda: table.check("openai", "503 at once without retries", lambda: one.chat.completions.create(model=LOOP, messages=MESSAGES), "InternalServerError"))
    waiting.start()
    while worker.metric("auxot_worker_jobs_waiting", LOOP) < 1:
        pass
    before = worker.refused()
    table.check("openai", "429, the queue is full (Retry-After: 5)", lambda: of_openai(worker).chat.completions.create(model=LOOP, messages=MESSAGES), "RateLimitError")
    attempts = worker.refused() - before
    table.note("openai", "429: attempts", attempts == 3, str(attempts), "3")
    table.check("anthropic", "429, the queue is full (Retry-After: 5)", lambda: of_anthropic(worker).messages.create(model=LOOP, max_tokens=5, messages=MESSAGES), "RateLimitError")
    node("asks", worker, LOOP, "429, the queue is full (Retry-After: 5)", "RateLimitError", "RateLimitError", "RetryError")
    waiting.join()
    held.close()
    worker.stop()
    worker = fake(endless, AUXOT_FLEET__MAX_WAIT="2s", AUXOT_GATEWAY__EARLY_HEAD="200ms")
    held = busy(worker)
    table.check("openai", "an error after the early head", lambda: streamed(of_openai(worker), LOOP), "APIError")
    table.check("anthropic", "an error after the early head", lambda: streamed_message(of_anthropic(worker), LOOP), "APIStatusError")
    node("streams", worker, LOOP, "an error after the early head", "APIError", "APIError", "no slot")
    short = of_anthropic(worker, timeout=1, max_retries=0)
    table.check("anthropic", "its own time-out", lambda: short.messages.create(model=LOOP, max_tokens=5, messages=MESSAGES), "APITimeoutError")
    node("times_out", worker, LOOP, "its own time-out", "APIConnectionTimeoutError", "APIConnectionTimeoutError", "aborted due to timeout")
    held.close()
    worker.stop()


def failed():
    bad = "tiny-bad-f16"
    load = {bad: "--exit-at-load '1:error loading model: bad tensor'"}
    worker = fake("", load, AUXOT_FLEET__FAILED_RETRY="1h")
    what = "503, the model has failed"
    o, a = of_openai(worker), of_anthropic(worker)
    for client, ask, want in [
        ("openai", lambda: o.chat.completions.create(model=bad, messages=MESSAGES), "InternalServerError"),
        ("anthropic", lambda: a.messages.create(model=bad, max_tokens=5, messages=MESSAGES), "ServiceUnavailableError"),
    ]:
        before = worker.refused()
        table.check(client, what, ask, want)
        attempts = worker.refused() - before
        table.note(client, what + ": attempts", attempts <= 1, str(attempts), "1 at most")
    before = worker.refused()
    node("asks", worker, bad, what, "InternalServerError", "ServiceUnavailableError", "RetryError")
    attempts = worker.refused() - before
    # `ai` tries three times whatever `x-should-retry` says.
    table.note("node", what + ": attempts", attempts == 5, str(attempts), "5: one, one and three")
    worker.stop()


def broken():
    for switch, what, want, of_node in [
        ("--cut-stream-at 20", "a stream cut in an event", "APIConnectionError", ["terminated", "", "Failed to process"]),
        ("--error-event-at 20", "the engine's own error event", "APIError", ["APIError", "", "Context size"]),
    ]:
        worker = fake("--tokens 100 --token-us 1000 " + switch)
        table.check("openai", what, lambda: streamed(of_openai(worker), LOOP), want)
        table.check("litellm", what, lambda: [chunk for chunk in litellm.completion(model="openai/" + LOOP, api_base=worker.base + "/v1", api_key=worker.key, messages=MESSAGES, stream=True)], "MidStreamFallbackError")
        table.check("langchain", what, lambda: list(ChatOpenAI(base_url=worker.base + "/v1", api_key=worker.key, model=LOOP).stream("hi")), want.replace("API", "OpenAI") if "Connection" in want else want)
        node("streams", worker, LOOP, what, *of_node)
        worker.stop()
    worker = fake("--prompt-ms 3600000")
    short = of_openai(worker, timeout=1, max_retries=0)
    table.check("openai", "its own time-out", lambda: short.chat.completions.create(model=LOOP, messages=MESSAGES), "APITimeoutError")
    worker.stop()


def all_healthy(start):
    models = ",".join([SCRIPT, TOOL, THINK, EMBED, LOOP])
    # One engine is killed more often than a model that fails would be started again.
    often = {"AUXOT_ENGINE__RESTART_BUDGET": "100", "AUXOT_ENGINE__RESTART_MAX_DELAY": "1s"}
    settings = {"AUXOT_GPU_AUTOLOAD_MODELS": models, "AUXOT_MODELS_DIR": TINY, "AUXOT_MAX_PARALLEL": "2", **often}
    worker = start(PROGRAMS, ENGINE, **settings)
    healthy(worker)
    lost(worker)
    node("healthy", worker)
    program = [FOLDER + "/llamaindex/bin/python", HERE + "/llamaindex.py", worker.base, worker.log]
    table.faults += subprocess.run(program, timeout=600, env={**os.environ, "KEY": worker.key, "LOST": worker.lost}).returncode
    worker.stop()
    vision(start)
    agent(start)


def main():
    all_healthy(Worker)
    overloaded()
    failed()
    broken()
    print("behind a router:", flush=True)
    all_healthy(Routed)
    print(f"{table.faults} of the lines above are not as expected" if table.faults else "every client does what is known of it")
    return 1 if table.faults else 0


if __name__ == "__main__":
    sys.exit(main())
