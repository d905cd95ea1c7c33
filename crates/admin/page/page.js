// The page of a worker: shows its state, and follows its events.

import { read, send } from "./api.js";
import * as chat from "./chat.js";
import { showDevices } from "./devices.js";
import { ofModel, showModels, showNames } from "./models.js";
import { points } from "./plots.js";
import { poll } from "./poll.js";
import { byId, clock, duration, make, seconds, show, words } from "./text.js";
import { beginTheme } from "./theme.js";

const SHOWN_EVENTS = 200;
const SHOWN_JOBS = 60;
const SHOWN_LINES = 1000;

// The states of each model, oldest first.
const history = new Map();
let lines = null;
let other = [];

const note = (text) => (byId("notice").textContent = text);

async function tell(action, done) {
  try {
    await action();
    note(done);
  } catch (error) {
    note(error.message);
  }
  await refresh();
}

function wrongs(status) {
  const list = [];
  if (status.router?.trouble) list.push(`${status.router.trouble}; check AUXOT_ROUTER_URL and AUXOT_GPU_KEY, and that the router runs`);
  if (status.metrics.trouble) list.push(`${status.metrics.trouble}; set another one in AUXOT_METRICS_PORT`);
  for (const model of status.models.filter((model) => model.state === "failed")) {
    list.push(`${model.name} has failed: ${model.last_error ?? "no cause is known"}; Reset tries again`);
  }
  return list.concat(status.unmet.filter((unmet) => !list.some((wrong) => unmet.startsWith(wrong.split(" has failed")[0]))));
}

function showHead(status) {
  byId("version").textContent = `v${status.worker.version}`;
  byId("uptime").textContent = `up ${duration(status.worker.uptime_seconds)}`;
  const link = byId("link");
  const trouble = status.router?.trouble;
  link.className = `pill ${!status.router ? "idle" : trouble ? "bad" : "good"}`;
  link.textContent = !status.router ? "no router" : trouble ? "router sends no jobs" : "router sends jobs";
  link.title = status.router?.url ?? "";
  byId("drain").disabled = status.worker.draining;
  if (status.worker.draining) note("The worker finishes its jobs and ends.");
  const faults = wrongs(status);
  byId("faults").hidden = !faults.length;
  byId("faults").firstElementChild.replaceChildren(...faults.map((fault) => make("li", {}, fault)));
}

function showNumbers(status, jobs) {
  const ready = status.models.filter((model) => model.state === "ready").length;
  const sum = (of) => status.models.reduce((total, model) => total + of(model), 0);
  const speeds = status.models.map((model) => model.figures.tokens_per_second).filter((speed) => speed);
  const firsts = status.models.map((model) => model.figures.first_token_seconds).filter((first) => first !== null);
  const numbers = [
    ["Models ready", ready, `of ${status.models.length}`],
    ["Jobs running", sum((model) => model.slots_busy), `of ${sum((model) => model.slots)}`],
    ["Jobs waiting", sum((model) => model.waiting), ""],
    ["Finished", jobs.ended.length >= 256 ? "256+" : jobs.ended.length, "lately"],
    ["Fastest model", speeds.length ? Math.max(...speeds).toFixed(1) : "–", "tokens/s"],
    ["First token", firsts.length ? seconds(Math.min(...firsts)) : "–", ""],
  ];
  byId("numbers").replaceChildren(...numbers.map(([name, value, unit]) =>
    make("div", {}, make("dt", {}, name), make("dd", {}, String(value), unit ? make("small", {}, unit) : null))));
}

function showJobs(jobs) {
  const rows = [...jobs.running, ...jobs.ended.slice(0, SHOWN_JOBS)];
  const cells = (job) => [job.number, job.front_end, job.model ?? "", clock(job.arrived_ms), seconds(job.waited_seconds),
    seconds(job.first_token_seconds), seconds(job.took_seconds), job.tokens ?? "", words(job.ending ?? (job.model ? "runs" : "waits"))];
  show(byId("jobs"), rows.map((job) => ({
    id: job.number,
    make: () => make("tr"),
    fill: (row) => row.replaceChildren(...cells(job).map((text) => make("td", {}, String(text)))),
  })), (item) => item.id);
  const completed = jobs.ended.filter((job) => job.ending === "completed" && job.model);
  const end = (job) => job.arrived_ms + job.took_seconds * 1000;
  const speed = (job) => (job.tokens > 1 && job.first_token_seconds !== null && job.took_seconds > job.first_token_seconds
    ? job.tokens / (job.took_seconds - job.first_token_seconds) : null);
  const plot = (id, label, value, unit) => {
    const shown = completed.filter((job) => value(job) !== null).map((job) => ({
      at: end(job), value: value(job), model: job.model, text: `${job.model}: ${unit(value(job))} at ${clock(end(job))}`,
    }));
    byId(id).replaceChildren(points(byId(id), `${label} of ${shown.length} jobs`, shown, unit));
  };
  plot("latency", "Latency", (job) => job.took_seconds, seconds);
  plot("speed", "Tokens per second", speed, (value) => value.toFixed(value < 10 ? 1 : 0));
}

async function refresh() {
  const [status, jobs] = await Promise.all([read("v1/status"), read("v1/jobs")]);
  showHead(status);
  showNumbers(status, jobs);
  showDevices(status.devices, status.models);
  showModels(status.models, history, act);
  showJobs(jobs);
  document.querySelector("main").classList.remove("waiting");
  const chats = status.models.filter((model) => model.task === "chat").map((model) => model.name);
  showNames(byId("chat-model"), chats.concat(other));
  showNames(byId("log-model"), status.models.map((model) => model.name));
  if (!lines && status.models.length) followLog();
}

async function readOthers() {
  other = (await read("v1/models")).others;
  showNames(byId("other-names"), other);
  byId("other").hidden = !other.length;
}

function act(verb, model) {
  if (verb === "log") {
    byId("log-model").value = model;
    followLog();
    byId("log").focus();
    return;
  }
  tell(() => send(ofModel(model, verb)), `${verb}: ${model}`);
}

function eventText(event) {
  const cause = event.cause ?? event.trouble;
  const texts = {
    model: () => `${event.model}: ${event.from ? `${words(event.from)} → ` : ""}${words(event.to)}`,
    model_gone: () => `${event.model} is gone`,
    engine_started: () => `${event.model}: process ${event.pid} started`,
    engine_ended: () => `${event.model}: process ${event.pid} ended`,
    router: () => (event.trouble ? "the router sends no jobs" : "the router sends jobs"),
    command: () => `command ${event.command}${event.model ? ` ${event.model}` : ""}`,
    missed: () => "earlier events were dropped",
  };
  return make("li", {}, make("time", {}, clock(event.at_ms)), (texts[event.kind] ?? (() => event.kind))(),
    cause ? make("span", { class: "cause" }, `: ${cause}`) : null);
}

function takeEvent(event) {
  if (event.kind === "model") {
    const states = history.get(event.model) ?? [];
    states.push({ at: event.at_ms, state: event.to, cause: event.cause });
    history.set(event.model, states.slice(-64));
  }
  const list = byId("events");
  list.prepend(eventText(event));
  while (list.children.length > SHOWN_EVENTS) list.lastElementChild.remove();
}

function followEvents() {
  const stream = new EventSource("v1/events/stream");
  let asked = false;
  stream.onmessage = (message) => {
    const event = JSON.parse(message.data);
    takeEvent(event);
    // Many events come at once: one question answers them all.
    if (!asked && event.kind !== "command") {
      asked = true;
      setTimeout(() => {
        asked = false;
        refresh().catch(() => {});
      }, 150);
    }
  };
}

function followLog() {
  lines?.close();
  const log = byId("log");
  log.replaceChildren();
  lines = new EventSource(`${ofModel(byId("log-model").value, "log/stream")}?lines=400`);
  lines.onmessage = (message) => {
    const line = JSON.parse(message.data);
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 40;
    log.append(make("div", {}, make("span", {}, clock(line.at_ms)), line.text));
    while (log.children.length > SHOWN_LINES) log.firstElementChild.remove();
    if (atEnd) log.scrollTop = log.scrollHeight;
  };
}

function begin() {
  byId("reload").addEventListener("click", () => tell(() => send("v1/reload"), "The settings were read again."));
  byId("drain").addEventListener("click", () => {
    if (confirm("Finish the running jobs and end the worker?")) tell(() => send("v1/drain"), "The worker finishes its jobs and ends.");
  });
  byId("other").addEventListener("submit", (event) => {
    event.preventDefault();
    const name = byId("other-name").value.trim();
    byId("other-name").value = "";
    tell(() => send(ofModel(name, "load")), `load: ${name}`).then(readOthers);
  });
  byId("log-model").addEventListener("change", followLog);
  beginTheme();
  chat.begin();
}

begin();
poll({
  noun: "worker",
  program: "auxot-worker",
  refresh,
  begin: () => {
    followEvents();
    readOthers().catch((error) => note(error.message));
  },
});
