"""A session with a program's tools by the official Python client, 1.x or 2.x."""

import contextlib
import json
from importlib.metadata import version


@contextlib.asynccontextmanager
async def connect(over, stdio, url, headers):
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
