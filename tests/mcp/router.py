"""usage: router.py PROGRAM RUNTIME_DIR URL TOKEN

The tools of a running router with one worker by the official Python client, 1.x or 2.x: over standard input and output, and
over HTTP.
"""

import asyncio
import sys
from importlib.metadata import version

from mcp import StdioServerParameters
from session import connect, content

program, runtime_dir, url, token = sys.argv[1:]
stdio = StdioServerParameters(command=program, args=["mcp"], env={"AUXOT_ROUTER_RUNTIME_DIR": runtime_dir})
headers = {"Authorization": f"Bearer {token}"}


async def check(over):
    async with connect(over, stdio, url, headers) as (session, info):
        assert info is None or info.name == "auxot-router", info
        tools = {tool.name: tool for tool in (await session.list_tools()).tools}
        assert {"gpu_worker_status", "create_gpu_worker_key", "list_keys", "revoke_key"} <= set(tools), tools

        async def call(tool, **arguments):
            return content(await session.call_tool(tool, arguments))

        status, failed = await call("gpu_worker_status")
        assert not failed and status["workers"][0]["health"] == "alive", status
        assert status["workers"][0]["models"], status
        name = f"of-{over}"
        made, failed = await call("create_gpu_worker_key", name=name)
        assert not failed and made["key"].startswith("adm_"), failed
        keys, failed = await call("list_keys")
        assert not failed and name in [key["name"] for key in keys["keys"]] and made["key"] not in str(keys), keys
        text, failed = await call("create_gpu_worker_key", name=name)
        assert failed and name in text, text
        text, failed = await call("create_api_key")
        assert failed and "without a name" in text, text
        done, failed = await call("revoke_key", name=name)
        assert not failed and done["keys"] == 1, done
        text, failed = await call("revoke_key", name=name)
        assert failed and name in text, text
        print(f"ok   Python client {version('mcp')} over {over}: {len(tools)} tools of the router")


async def main():
    for over in ["stdio", "http"]:
        await asyncio.wait_for(check(over), 120)


asyncio.run(main())
