// A conversation with one model.

import { send } from "./api.js";
import { ofModel } from "./models.js";
import { byId, make } from "./text.js";

const conversation = [];
let running = null;

function say(role, text) {
  const line = make("p", { class: role }, text);
  byId("chat").append(line);
  line.scrollIntoView({ block: "nearest" });
  return line;
}

// Calls `each` with the data of every event of a stream.
async function events(answer, each) {
  const reader = answer.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (rest + value).split("\n\n");
    rest = blocks.pop();
    for (const block of blocks) {
      const data = block.split("\n").filter((line) => line.startsWith("data:")).map((line) => line.slice(5)).join("");
      if (data) each(JSON.parse(data));
    }
  }
}

async function ask(question) {
  const model = byId("chat-model").value;
  if (!model || running) return;
  running = new AbortController();
  byId("send").hidden = true;
  byId("stop").hidden = false;
  conversation.push({ role: "user", content: question });
  say("user", question);
  const waiting = say("assistant", "…");
  let [answer, thought, text] = [null, null, ""];
  try {
    const stream = await send(ofModel(model, "chat"), { messages: conversation }, running.signal);
    await events(stream, (event) => {
      if (event.reasoning) {
        thought ??= byId("chat").insertBefore(make("p", { class: "thought" }), waiting);
        thought.append(event.reasoning);
      }
      if (event.text) {
        if (!answer) waiting.textContent = "";
        answer = waiting;
        answer.append(event.text);
        text += event.text;
      }
      if (event.error) throw new Error(event.error);
      byId("chat").scrollTop = byId("chat").scrollHeight;
    });
  } catch (error) {
    if (error.name !== "AbortError") say("failure", error.message);
  }
  if (!answer) waiting.remove();
  if (text) conversation.push({ role: "assistant", content: text });
  else conversation.pop();
  running = null;
  byId("send").hidden = false;
  byId("stop").hidden = true;
  byId("question").focus();
}

export function begin() {
  const question = byId("question");
  byId("ask").addEventListener("submit", (event) => {
    event.preventDefault();
    const text = question.value.trim();
    if (!text || running) return;
    question.value = "";
    ask(text);
  });
  question.addEventListener("keydown", (event) => {
    if (event.key === "Enter" && !event.shiftKey && !event.isComposing) {
      event.preventDefault();
      byId("ask").requestSubmit();
    }
  });
  byId("stop").addEventListener("click", () => running?.abort());
  byId("chat-model").addEventListener("change", () => {
    conversation.length = 0;
    byId("chat").replaceChildren();
  });
}
