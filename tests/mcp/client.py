"""usage: client.py PROGRAM RUNTIME_DIR URL TOKEN MODEL

The tools of a running worker by the official Python client, 1.x or 2.x: over standard input and output, and over HTTP.
"""

import asyncio
import sys
from importlib.metadata import version

from mcp import StdioServerParameters
from session import connect, content

program, runtime_dir, url, token, model = sys.argv[1:]
stdio = StdioServerParameters(command=program, args=["mcp"], env={"AUXOT_RUNTIME_DIR": runtime_dir, "HOME": "/nonexistent"})
headers = {"Authorization": f"Bearer {token}"}


async def check(over):
    async with connect(over, stdio, url, headers) as (session, info):
        assert info is None or info.name == "auxot-worker", info
        tools = (await session.list_tools()).tools
        names = {tool.name for tool in tools}
        assert {"worker_status", "load_model", "model_log", "drain_worker"} <= names, names
        status, failed = content(await session.call_tool("worker_status", {}))
        assert not failed and status["worker"]["pid"] > 0, status
        done, failed = content(await session.call_tool("load_model", {"model": model}))
        assert not failed and done["models"] == [model], done
        for _ in range(300):
            details, _ = content(await session.call_tool("model_details", {"model": model}))
            if details["status"]["state"] == "ready":
                break
            await asyncio.sleep(0.1)
        assert details["status"]["state"] == "ready", details
        lines, failed = content(await session.call_tool("model_log", {"model": model, "lines": 5}))
        assert not failed and 1 <= len(lines["lines"]) <= 5, lines
        text, failed = content(await session.call_tool("load_model", {"model": "none-such"}))
        assert failed and "none-such" in text, text
        text, failed = content(await session.call_tool("load_model", {}))
        assert failed and "without a model" in text, text
        done, failed = content(await session.call_tool("unload_model", {"model": model}))
        assert not failed, done
        print(f"ok   Python client {version('mcp')} over {over}: {len(tools)} tools")


async def main():
    for over in ["stdio", "http"]:
        await asyncio.wait_for(check(over), 120)


asyncio.run(main())
