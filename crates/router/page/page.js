// The page of a router.

import { read } from "./api.js";
import { beginKeys, showKeys } from "./keys.js";
import { poll } from "./poll.js";
import { byId, duration, make, seconds } from "./text.js";
import { beginTheme } from "./theme.js";
import { showProviders, showWorkers } from "./workers.js";

const note = (text) => (byId("notice").textContent = text);

async function act(action, done) {
  try {
    await action();
    note(done);
  } catch (error) {
    note(error.message);
  }
  await refresh().catch(() => {});
}

function showHead(status) {
  byId("version").textContent = `v${status.router.version}`;
  byId("uptime").textContent = `up ${duration(status.router.uptime_seconds)}`;
  byId("link").className = `pill ${status.router.stopping ? "work" : "good"}`;
  byId("link").textContent = status.router.stopping ? "finishes its jobs and ends" : `listens on ${status.router.address}`;
  byId("faults").hidden = !status.faults.length;
  byId("faults").firstElementChild.replaceChildren(...status.faults.map((fault) => make("li", {}, fault)));
}

function showNumbers({ workers, queue, providers }) {
  const alive = workers.filter((worker) => worker.health === "alive").length;
  const ready = new Set(workers.flatMap((worker) =>
    worker.models.filter((model) => (model.state ?? "ready") === "ready").map((model) => model.name)));
  const numbers = [
    ["Workers alive", alive, `of ${workers.length}`],
    ["Models ready", ready.size, ""],
    ["Jobs running", queue.running, `of ${queue.slots} slots`],
    ["Jobs waiting", queue.waiting, queue.oldest_seconds === null ? "" : `oldest ${seconds(queue.oldest_seconds)}`],
    ["At other providers", queue.provided, providers.length ? "" : "none configured"],
  ];
  byId("numbers").replaceChildren(...numbers.map(([name, value, unit]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, String(value), unit ? make("small", {}, unit) : null))));
}

async function refresh() {
  const status = await read("v1/status");
  showHead(status);
  showNumbers(status);
  showWorkers(status.workers);
  showProviders(status.providers);
  showKeys(status.keys, status.other_keys, act);
  document.querySelector("main").classList.remove("waiting");
}

beginTheme();
beginKeys(act);
poll({ noun: "router", program: "auxot-router", refresh });
