// Unmodified clients for Node against a running worker: `clients.mjs BASE LOG`. Exits with the number of faults.
import fs from 'node:fs';
import Anthropic from '@anthropic-ai/sdk';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateText, streamText } from 'ai';
import OpenAI from 'openai';

const [base, log] = process.argv.slice(2);
const [SCRIPT, TOOL, EMBED, LOOP] = ['script', 'tool', 'embed', 'loop'].map((name) => `tiny-${name}-f16`);
const SENTENCE = 'It always says exactly this';
const messages = [{ role: 'user', content: 'hello' }];
const schema = { type: 'object', properties: { city: { type: 'string' }, unit: { type: 'string' } } };
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: schema } }];
const openai = new OpenAI({ baseURL: base + '/v1', apiKey: 'x' });
const anthropic = new Anthropic({ baseURL: base, apiKey: 'x' });
const ai = createOpenAICompatible({ name: 'local', baseURL: base + '/v1' });
let faults = 0;

async function check(client, what, run, want) {
  let seen;
  try {
    seen = JSON.stringify(await run());
  } catch (error) {
    seen = `${error.constructor.name}: ${error.message}`;
  }
  const holds = seen.includes(want);
  faults += holds ? 0 : 1;
  console.log(`${holds ? 'ok  ' : 'FAIL'} ${client.padEnd(12)} ${what.padEnd(42)} ${seen.slice(0, 110)}`);
  if (!holds) console.log(`     expected: ${want}`);
}

const matches = (pattern) => [...fs.readFileSync(log, 'utf8').matchAll(pattern)];
const loads = () => matches(new RegExp(`model is loaded model="?${LOOP}`, 'g')).length;

// Kills the engine after some events of a stream, reads on, and waits until the model is loaded again.
async function killed(events) {
  const before = loads();
  try {
    let number = 0;
    for await (const event of events) {
      if (++number === 5) {
        const [, pid] = matches(new RegExp(`engine process started.*model="?${LOOP}.* pid=(\\d+)`, 'g')).pop();
        process.kill(Number(pid), 'SIGKILL');
      }
    }
    return 'the stream ended as if it were whole';
  } finally {
    while (loads() === before) await new Promise((done) => setTimeout(done, 20));
  }
}

async function joined(stream, text) {
  let all = '';
  for await (const part of stream) all += text(part) ?? '';
  return all;
}

const chat = (model, more = {}) => openai.chat.completions.create({ model, messages, ...more });
await check('openai/node', 'chat', async () => (await chat(SCRIPT)).choices[0].message.content, SENTENCE);
await check('openai/node', 'chat, a stream', async () => joined(await chat(SCRIPT, { stream: true }), (part) => part.choices[0]?.delta?.content), SENTENCE);
await check('openai/node', 'tools', async () => (await chat(TOOL, { tools, temperature: 0 })).choices[0].message.tool_calls[0].function.name, 'get_weather');
await check('openai/node', 'embeddings', async () => (await openai.embeddings.create({ model: EMBED, input: 'a' })).data[0].embedding.length > 0, 'true');
await check('openai/node', 'responses', async () => (await openai.responses.create({ model: SCRIPT, input: 'x' })).output_text, SENTENCE);
await check('openai/node', '404, no such model', () => chat('none'), 'NotFoundError');
await check('openai/node', 'the engine lost between two events', async () => killed(await chat(LOOP, { stream: true })), 'APIError');

const message = (model, more = {}) => anthropic.messages.create({ model, max_tokens: 100_000, messages, ...more });
await check('anthropic/node', 'a message', async () => (await message(SCRIPT, { max_tokens: 50 })).content[0].text, SENTENCE);
await check('anthropic/node', 'a message, a stream', () => anthropic.messages.stream({ model: SCRIPT, max_tokens: 50, messages }).finalText(), SENTENCE);
await check('anthropic/node', '404, no such model', () => message('none', { max_tokens: 5 }), 'NotFoundError');
await check('anthropic/node', 'the engine lost between two events', async () => killed(await message(LOOP, { stream: true })), 'APIError');

await check('ai', 'generateText', async () => (await generateText({ model: ai(SCRIPT), prompt: 'hi' })).text, SENTENCE);
await check('ai', 'streamText', () => joined(streamText({ model: ai(SCRIPT), prompt: 'hi' }).textStream, (part) => part), SENTENCE);
await check('ai', 'embed', async () => (await embed({ model: ai.textEmbeddingModel(EMBED), value: 'a' })).embedding.length > 0, 'true');
await check('ai', '404, no such model', () => generateText({ model: ai('none'), prompt: 'hi' }), 'APICallError');
await check('ai', 'the engine lost between two events', async () => {
  let reported;
  const stream = streamText({ model: ai(LOOP), prompt: 'hi', onError: ({ error }) => { reported = error; } });
  await killed(stream.fullStream);
  return String(reported?.message ?? reported);
}, 'went away');
process.exit(faults);
