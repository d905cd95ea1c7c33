// usage: node client.mjs PROGRAM RUNTIME_DIR URL TOKEN MODEL
// The tools of a running worker by the official TypeScript client: over standard input and output, and over HTTP.

import assert from "node:assert/strict";
import { Client } from "@modelcontextprotocol/sdk/client/index.js";
import { StdioClientTransport } from "@modelcontextprotocol/sdk/client/stdio.js";
import { StreamableHTTPClientTransport } from "@modelcontextprotocol/sdk/client/streamableHttp.js";

const [program, runtimeDir, url, token, model] = process.argv.slice(2);
const env = { AUXOT_RUNTIME_DIR: runtimeDir, HOME: "/nonexistent" };
const transports = {
  stdio: () => new StdioClientTransport({ command: program, args: ["mcp"], env }),
  http: () => new StreamableHTTPClientTransport(new URL(url), { requestInit: { headers: { Authorization: `Bearer ${token}` } } }),
};
for (const [over, transport] of Object.entries(transports)) {
  const client = new Client({ name: "test", version: "1" });
  await client.connect(transport());
  assert.equal(client.getServerVersion().name, "auxot-worker");
  const { tools } = await client.listTools();
  const call = async (name, args = {}) => {
    const result = await client.callTool({ name, arguments: args });
    return { failed: Boolean(result.isError), text: result.content[0].text };
  };
  assert.ok(JSON.parse((await call("worker_status")).text).worker.pid > 0);
  assert.equal((await call("load_model", { model })).failed, false);
  let state;
  for (let look = 0; look < 300 && state !== "ready"; look += 1) {
    state = JSON.parse((await call("model_details", { model })).text).status.state;
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
  assert.equal(state, "ready");
  const refused = await call("load_model", { model: "none-such" });
  assert.ok(refused.failed && refused.text.includes("none-such"));
  assert.equal((await call("unload_model", { model })).failed, false);
  await client.close();
  console.log(`ok   TypeScript client over ${over}: ${tools.length} tools`);
}
const wrong = new Client({ name: "test", version: "1" });
await assert.rejects(wrong.connect(new StreamableHTTPClientTransport(new URL(url))));
console.log("ok   no token, no tools");
process.exit(0);
