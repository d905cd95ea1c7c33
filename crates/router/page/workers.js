// The workers and the providers beside them.

import { bytes, byId, duration, make, seconds, show, words } from "./text.js";

const HEALTH = { alive: "good", draining: "work", dead: "bad" };
const STATE = { ready: "good", failed: "bad", backing_off: "bad", stopped: "idle" };
const BREAKER = { closed: ["good", "gets requests"], half_open: ["work", "gets a trial"], open: ["bad", "gets none"] };

function pair(percentiles) {
  return percentiles.p50 === null ? "" : `${seconds(percentiles.p50)} / ${seconds(percentiles.p95)}`;
}

function facts(worker) {
  const beat = worker.heartbeat_seconds === null ? "none yet" : `${seconds(worker.heartbeat_seconds)} ago`;
  const list = [
    ["heartbeat", beat],
    ["address", worker.address],
    ["program", worker.program],
    ["key", worker.key],
    ["connected", duration(worker.connected_seconds)],
    ["slots", `${worker.slots_used} of ${worker.slots}`],
    ["first byte p50 / p95", pair(worker.times.first_byte)],
    ["whole answer p50 / p95", pair(worker.times.total)],
  ];
  return list.filter(([, value]) => value).map(([name, value]) => make("span", {}, `${name} `, make("b", {}, value)));
}

function device(one) {
  const known = one.total_bytes !== null && one.used_bytes !== null;
  const bar = make("div", { class: "bar", "aria-hidden": "true" }, make("i", { class: "s0" }));
  bar.firstElementChild.style.width = known ? `${(100 * one.used_bytes) / (one.total_bytes || 1)}%` : "0";
  const memory = known ? `${bytes(one.used_bytes)} of ${bytes(one.total_bytes)} used` : "memory unknown";
  return make("div", {}, make("p", {}, `${one.name}: ${memory}`), bar);
}

function model(one) {
  const state = one.state ?? "ready";
  const slots = one.slots === null ? "" : `${one.slots_used}/${one.slots}`;
  const details = [slots, one.memory_bytes === null ? "" : bytes(one.memory_bytes), one.queued ? `${one.queued} wait` : ""];
  return make("li", {}, make("span", { class: `state ${STATE[state] ?? "work"}` }, `${one.name}: ${one.state ? words(state) : "served"}`),
    make("small", {}, details.filter((detail) => detail).join(", ")));
}

function fillWorker(element, worker) {
  const health = element.querySelector(".pill");
  health.className = `pill ${HEALTH[worker.health]}`;
  health.textContent = worker.health;
  element.querySelector(".facts").replaceChildren(...facts(worker));
  element.querySelector(".devices").replaceChildren(...worker.devices.map(device));
  element.querySelector(".models").replaceChildren(...worker.models.map(model));
}

export function showWorkers(workers) {
  byId("no-workers").hidden = workers.length > 0;
  const items = workers.map((worker) => ({
    id: worker.id,
    make: () => make("li", { class: "worker" },
      make("div", { class: "head" }, make("h3", {}, worker.id), make("span", { class: "pill" })),
      make("div", { class: "facts" }), make("div", { class: "devices" }),
      make("ul", { class: "models", "aria-label": `Models of ${worker.id}` })),
    fill: (element) => fillWorker(element, worker),
  }));
  show(byId("worker-list"), items, (item) => item.id);
}

export function showProviders(providers) {
  byId("no-providers").hidden = providers.length > 0;
  byId("providers").closest(".scroll").hidden = !providers.length;
  const items = providers.map((provider) => ({
    name: provider.name,
    make: () => make("tr"),
    fill: (row) => {
      const [tone, text] = BREAKER[provider.breaker];
      const reopens = provider.reopens_seconds === null ? "" : ` for ${seconds(provider.reopens_seconds)}`;
      const cells = [provider.name, provider.kind, make("span", { class: `state ${tone}` }, text + reopens),
        provider.last_refusal ? words(provider.last_refusal) : "", String(provider.jobs), seconds(provider.times.first_byte.p50),
        provider.models.join(", ")];
      row.replaceChildren(...cells.map((cell) => make("td", {}, cell)));
    },
  }));
  show(byId("providers"), items, (item) => item.name);
}
