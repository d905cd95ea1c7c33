// Unmodified clients for Node against a running worker: `clients.mjs BASE LOG MODE WORD…`. Exits with the number of faults.
//
//   healthy                      a worker with the real engine and tiny models
//   vision MODEL PICTURE         a model that takes pictures
//   asks MODEL WHAT WANT…        an answer that is no stream, with each of three clients
//   streams MODEL WHAT WANT…     a stream
//   times_out MODEL WHAT WANT…   a client that waits for a second
import fs from 'node:fs';
import Anthropic from '@anthropic-ai/sdk';
import { createOpenAICompatible } from '@ai-sdk/openai-compatible';
import { embed, generateText, streamText } from 'ai';
import OpenAI from 'openai';

const apiKey = process.env.KEY;
const [base, log, mode, ...words] = process.argv.slice(2);
const [SCRIPT, TOOL, EMBED, LOOP] = ['script', 'tool', 'embed', 'loop'].map((name) => `tiny-${name}-f16`);
const SENTENCE = 'It always says exactly this';
const messages = [{ role: 'user', content: 'hello' }];
const schema = { type: 'object', properties: { city: { type: 'string' }, unit: { type: 'string' } } };
const tools = [{ type: 'function', function: { name: 'get_weather', parameters: schema } }];
const openai = new OpenAI({ baseURL: base + '/v1', apiKey });
const anthropic = new Anthropic({ baseURL: base, apiKey });
const ai = createOpenAICompatible({ name: 'local', baseURL: base + '/v1', apiKey });
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

const long = [{ role: 'user', content: 'a b c '.repeat(3000) }];
const byUrl = [{ role: 'user', content: [{ type: 'image_url', image_url: { url: 'http://h/x' } }] }];

const chat = (model, more = {}) => openai.chat.completions.create({ model, messages, ...more });
const message = (model, more = {}) => anthropic.messages.create({ model, max_tokens: 100_000, messages, ...more });

async function healthy() {
  await check('openai/node', 'chat', async () => (await chat(SCRIPT)).choices[0].message.content, SENTENCE);
  await check('openai/node', 'chat, a stream', async () => joined(await chat(SCRIPT, { stream: true }), (part) => part.choices[0]?.delta?.content), SENTENCE);
  await check('openai/node', 'tools', async () => (await chat(TOOL, { tools, temperature: 0 })).choices[0].message.tool_calls[0].function.name, 'get_weather');
  await check('openai/node', 'embeddings', async () => (await openai.embeddings.create({ model: EMBED, input: 'a' })).data[0].embedding.length > 0, 'true');
  await check('openai/node', 'responses', async () => (await openai.responses.create({ model: SCRIPT, input: 'x' })).output_text, SENTENCE);
  await check('openai/node', '404, no such model', () => chat('none'), 'NotFoundError');
  await check('openai/node', 'a prompt that is too long', () => chat(SCRIPT, { messages: long }), 'BadRequestError: 400');
  await check('openai/node', 'a picture by its URL', () => chat(SCRIPT, { messages: byUrl }), 'BadRequestError: 400');
  await check('openai/node', 'the engine lost between two events', async () => killed(await chat(LOOP, { stream: true })), 'APIError');

  await check('anthropic/node', 'a message', async () => (await message(SCRIPT, { max_tokens: 50 })).content[0].text, SENTENCE);
  await check('anthropic/node', 'a message, a stream', () => anthropic.messages.stream({ model: SCRIPT, max_tokens: 50, messages }).finalText(), SENTENCE);
  await check('anthropic/node', '404, no such model', () => message('none', { max_tokens: 5 }), 'NotFoundError');
  await check('anthropic/node', 'a prompt that is too long', () => message(SCRIPT, { max_tokens: 50, messages: long }), 'BadRequestError: 400');
  const source = { type: 'url', url: 'http://h/x' };
  await check('anthropic/node', 'a picture by its URL', () => message(SCRIPT, { max_tokens: 50, messages: [{ role: 'user', content: [{ type: 'image', source }] }] }), 'BadRequestError: 400');
  await check('anthropic/node', 'the engine lost between two events', async () => killed(await message(LOOP, { stream: true })), 'APIError');

  await check('ai', 'generateText', async () => (await generateText({ model: ai(SCRIPT), prompt: 'hi' })).text, SENTENCE);
  await check('ai', 'streamText', () => joined(streamText({ model: ai(SCRIPT), prompt: 'hi' }).textStream, (part) => part), SENTENCE);
  await check('ai', 'embed', async () => (await embed({ model: ai.textEmbeddingModel(EMBED), value: 'a' })).embedding.length > 0, 'true');
  await check('ai', '404, no such model', () => generateText({ model: ai('none'), prompt: 'hi' }), 'APICallError');
  await check('ai', 'a prompt that is too long', () => generateText({ model: ai(SCRIPT), messages: long }), 'APICallError');
  await check('ai', 'a picture by its URL', () => generateText({ model: ai(SCRIPT), messages: [{ role: 'user', content: [{ type: 'image', image: new URL('http://h/x.png') }] }] }), 'DownloadError');
  await check('ai', 'the engine lost between two events', async () => {
    let reported;
    const stream = streamText({ model: ai(LOOP), prompt: 'hi', onError: ({ error }) => { reported = error; } });
    await killed(stream.fullStream);
    return String(reported?.message ?? reported);
  }, process.env.LOST);
}

async function vision(model, picture) {
  const content = [{ type: 'text', text: 'hello' }, { type: 'image_url', image_url: { url: 'data:image/png;base64,' + picture } }];
  await check('openai/node', 'a picture', async () => (await chat(model, { messages: [{ role: 'user', content }] })).choices[0].message.content, SENTENCE);
  const source = { type: 'base64', media_type: 'image/png', data: picture };
  const blocks = [{ type: 'image', source }, { type: 'text', text: 'hello' }];
  await check('anthropic/node', 'a picture', async () => (await message(model, { max_tokens: 50, messages: [{ role: 'user', content: blocks }] })).content[0].text, SENTENCE);
  const parts = [{ type: 'text', text: 'hello' }, { type: 'image', image: Buffer.from(picture, 'base64') }];
  await check('ai', 'a picture', async () => (await generateText({ model: ai(model), messages: [{ role: 'user', content: parts }] })).text, SENTENCE);
}

async function asks(model, what, ofOpenai, ofAnthropic, ofAi) {
  await check('openai/node', what, () => chat(model), ofOpenai);
  await check('anthropic/node', what, () => message(model, { max_tokens: 5 }), ofAnthropic);
  await check('ai', what, () => generateText({ model: ai(model), prompt: 'hi' }), ofAi);
}

async function streams(model, what, ofOpenai, ofAnthropic, ofAi) {
  await check('openai/node', what, async () => joined(await chat(model, { stream: true }), (part) => part.choices[0]?.delta?.content), ofOpenai);
  // The fake engine streams the events of OpenAI only.
  if (!what.includes('engine') && !what.includes('cut')) {
    await check('anthropic/node', what, async () => joined(await message(model, { stream: true }), (part) => part.delta?.text), ofAnthropic);
  }
  await check('ai', what, async () => {
    let reported;
    const stream = streamText({ model: ai(model), prompt: 'hi', onError: ({ error }) => { reported = error; } });
    await joined(stream.textStream, (part) => part);
    return String(reported?.message ?? reported);
  }, ofAi);
}

async function times_out(model, what, ofOpenai, ofAnthropic, ofAi) {
  const short = { timeout: 1000, maxRetries: 0 };
  await check('openai/node', what, () => new OpenAI({ baseURL: base + '/v1', apiKey, ...short }).chat.completions.create({ model, messages }), ofOpenai);
  await check('anthropic/node', what, () => new Anthropic({ baseURL: base, apiKey, ...short }).messages.create({ model, max_tokens: 5, messages }), ofAnthropic);
  await check('ai', what, () => generateText({ model: ai(model), prompt: 'hi', maxRetries: 0, abortSignal: AbortSignal.timeout(1000) }), ofAi);
}

await { healthy, vision, asks, streams, times_out }[mode](...words);
process.exit(faults);
