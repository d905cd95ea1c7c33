"""usage: client.py PROGRAM RUNTIME_DIR URL TOKEN MODEL

The tools of a running worker by the official Python client, 1.x or 2.x: over standard input and output, and over HTTP.
"""

import asyncio
import contextlib
import json
import sys
from importlib.metadata import version

from mcp import StdioServerParameters

program, runtime_dir, url, token, model = sys.argv[1:]
stdio = StdioServerParameters(command=program, args=["mcp"], env={"AUXOT_RUNTIME_DIR": runtime_dir, "HOME": "/nonexistent"})
headers = {"Authorization": f"Bearer {token}"}


@contextlib.asynccontextmanager
async def connect(over):
    """A session with `info`, `tools` and `call`, whatever the version of the client."""
    if version("mcp").startswith("1."):
        from mcp import ClientSession
        from mcp.client.stdio import stdio_client
        from mcp.client.streamable_http import streamablehttp_client

        transport = stdio_client(stdio) if over == "stdio" else streamablehttp_client(url, headers=headers)
        async with transport as streams, ClientSession(streams[0], streams[1]) as session:
            info = await session.initialize()
            yield session, info.serverInfo
    else:
        from mcp import Client
        from mcp.client.streamable_http import create_mcp_http_client, streamable_http_client

        if over == "stdio":
            async with Client(stdio) as client:
                yield client, client.server_info
        else:
            async with create_mcp_http_client(headers=headers) as http:
                async with Client(streamable_http_client(url, http_client=http)) as client:
                    yield client, client.server_info


def content(result):
    """The result of a tool as JSON; a refusal as text."""
    is_error = getattr(result, "isError", None) or getattr(result, "is_error", None)
    text = result.content[0].text
    return (text if is_error else json.loads(text)), bool(is_error)


async def check(over):
    async with connect(over) as (session, info):
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
