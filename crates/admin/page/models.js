// The list of models: their state, their figures, their states over time, and what can be done with them.

import { strip } from "./plots.js";
import { bytes, byId, clock, make, seconds, show, words } from "./text.js";

const WINDOW = 30 * 60 * 1000;

export const ofModel = (model, verb) => `v1/models/${encodeURIComponent(model)}${verb ? `/${verb}` : ""}`;

function tone(state) {
  if (state === "ready") return "good";
  if (state === "failed" || state === "backoff") return "bad";
  return state === "on_disk" ? "idle" : "work";
}

function facts(model) {
  const figures = model.figures;
  const list = [
    ["jobs", `${model.slots_busy}/${model.slots}`],
    ["waiting", model.waiting || ""],
    ["tokens/s", figures.tokens_per_second?.toFixed(1)],
    ["first token", seconds(figures.first_token_seconds)],
    ["memory", model.memory_bytes ? bytes(model.memory_bytes) : ""],
    ["context", model.ctx_size ? model.ctx_size.toLocaleString() : ""],
    ["restarts", model.restarts || ""],
  ];
  return list.filter(([, value]) => value).map(([name, value]) => make("span", {}, `${name} `, make("b", {}, String(value))));
}

function button(name, text, act) {
  const made = make("button", { type: "button", "aria-label": `${text} ${name}` }, text);
  made.addEventListener("click", () => act(made));
  return made;
}

function makeModel(name, act) {
  const buttons = make("div", { class: "buttons" });
  for (const [verb, text] of [["load", "Load"], ["unload", "Unload"], ["pin", "Pin"], ["reset", "Reset"], ["log", "Log"]]) {
    const made = button(name, text, () => act(made.dataset.verb, name));
    made.dataset.verb = verb;
    buttons.append(made);
  }
  return make("li", { class: "model" },
    make("div", {}, make("h3", {}, name), make("span", { class: "state" })),
    make("div", { class: "facts" }),
    buttons,
    make("progress", { max: 1, "aria-label": `Load of ${name}` }),
    make("p", { class: "cause" }),
    make("div", { class: "strip" }));
}

function fillModel(element, model, states) {
  const state = element.querySelector(".state");
  state.className = `state ${tone(model.state)}`;
  state.textContent = words(model.state) + (model.pinned ? ", pinned" : "");
  element.querySelector(".facts").replaceChildren(...facts(model));
  const loaded = ["ready", "draining"].includes(model.state);
  const busy = !loaded && !["on_disk", "failed"].includes(model.state);
  const [load, unload, pin, reset] = element.querySelectorAll("button");
  load.hidden = loaded || busy;
  unload.hidden = model.state === "on_disk" || model.state === "failed";
  pin.dataset.verb = model.pinned ? "unpin" : "pin";
  pin.textContent = model.pinned ? "Unpin" : "Pin";
  pin.setAttribute("aria-label", `${pin.textContent} ${model.name}`);
  reset.hidden = model.state !== "failed";
  const progress = element.querySelector("progress");
  progress.hidden = model.load_progress === null;
  progress.value = model.load_progress ?? 0;
  const cause = element.querySelector(".cause");
  cause.hidden = model.state !== "failed" || !model.last_error;
  cause.textContent = model.last_error ?? "";
  const now = Date.now();
  const from = Math.max(now - WINDOW, states[0]?.at ?? now - WINDOW);
  const ends = make("p", { "aria-hidden": "true" }, make("span", {}, clock(from)), make("span", {}, "now"));
  element.querySelector(".strip").replaceChildren(strip(model.name, states, from, now + 1), ends);
}

export function showModels(models, history, act) {
  byId("no-models").hidden = models.length > 0;
  const items = models.map((model) => ({
    name: model.name,
    make: () => makeModel(model.name, act),
    fill: (element) => fillModel(element, model, history.get(model.name) ?? []),
  }));
  show(byId("model-list"), items, (item) => item.name);
}

// Lets a list of names follow the models, and keeps what is chosen.
export function showNames(select, names) {
  const items = names.map((name) => ({ name, make: () => make("option", { value: name }, name) }));
  show(select, items, (item) => item.name);
}
