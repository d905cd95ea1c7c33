// Plots as SVG: memory over time, points of jobs, the states of a model.

import { clock, colour, draw, make, words } from "./text.js";

// A plot is drawn in the pixels of its place, so that its text and its points are not stretched.
const NARROWEST = 240;
// Text and points grow with the text of the page.
const rem = () => parseFloat(getComputedStyle(document.documentElement).fontSize);

function frame(place, label, from, to, top, unit) {
  const [width, unitSize] = [Math.max(place.clientWidth, NARROWEST), rem()];
  const [left, bottom] = [unitSize * 4.2, unitSize * 1.5];
  const height = Math.round(Math.min(Math.max(width * 0.28, unitSize * 9), unitSize * 18));
  const size = { viewBox: `0 0 ${width} ${height}`, width, height };
  const svg = draw("svg", { class: "plot", role: "img", "aria-label": label, ...size });
  for (const part of [0, 0.5, 1]) {
    const y = (height - bottom) * (1 - part) + 8 * part;
    svg.append(draw("line", { class: "grid", x1: left, x2: width, y1: y, y2: y }));
    const text = draw("text", { x: left - 8, y: y + 4, "text-anchor": "end" });
    text.textContent = unit(top * part);
    svg.append(text);
  }
  for (const [at, x, anchor] of [[from, left, "start"], [to, width, "end"]]) {
    const text = draw("text", { x, y: height - 4, "text-anchor": anchor });
    text.textContent = clock(at);
    svg.append(text);
  }
  const x = (at) => left + ((at - from) / Math.max(to - from, 1)) * (width - left);
  const y = (value) => height - bottom - (value / top) * (height - bottom - 8);
  return { svg, x, y };
}

// Areas on top of each other. Each sample is {at, parts: [[name, value], …]}.
export function areas(place, label, samples, names, top, unit) {
  if (samples.length < 2 || !top) return make("p", { class: "empty" }, "Memory over time appears here.");
  const { svg, x, y } = frame(place, label, samples[0].at, samples.at(-1).at, top, unit);
  let below = samples.map(() => 0);
  for (const name of names) {
    const above = samples.map((sample, at) => below[at] + (sample.parts.find(([part]) => part === name)?.[1] ?? 0));
    const line = (values) => values.map((value, at) => `${x(samples[at].at).toFixed(1)},${y(Math.min(value, top)).toFixed(1)}`);
    const points = [...line(above), ...line(below).reverse()].join(" ");
    svg.append(draw("polygon", { class: `area ${name === "others" ? "others" : colour(name)}`, points }));
    below = above;
  }
  return svg;
}

// A point for each job. Each is {at, value, model, text}.
export function points(place, label, jobs, unit) {
  if (!jobs.length) return make("p", { class: "empty" }, "Finished jobs appear here.");
  const top = nice(Math.max(...jobs.map((job) => job.value)));
  const times = jobs.map((job) => job.at);
  const { svg, x, y } = frame(place, label, Math.min(...times), Math.max(...times), top, unit);
  for (const job of jobs) {
    const title = draw("title");
    title.textContent = job.text;
    svg.append(draw("circle", { class: colour(job.model), cx: x(job.at).toFixed(1), cy: y(job.value).toFixed(1), r: rem() * 0.29 }, title));
  }
  return svg;
}

function nice(value) {
  const step = 10 ** Math.floor(Math.log10(value || 1));
  return [1, 2, 5, 10].map((times) => times * step).find((top) => top >= value) ?? value;
}

// The states of a model as a strip. Each is {at, state}.
export function strip(model, states, from, to) {
  const inside = states.filter((state, at) => (states[at + 1]?.at ?? to) > from);
  const svg = draw("svg", { viewBox: "0 0 1000 10", preserveAspectRatio: "none", role: "img" });
  inside.forEach((state, at) => {
    const begin = Math.max(state.at, from);
    const end = inside[at + 1]?.at ?? to;
    const [x, next] = [begin, end].map((time) => ((time - from) / (to - from)) * 1000);
    const title = draw("title");
    title.textContent = `${words(state.state)} since ${clock(state.at)}${state.cause ? `: ${state.cause}` : ""}`;
    svg.append(draw("rect", { class: `t-${state.state}`, x, width: Math.max(next - x, 1), y: 0, height: 10 }, title));
  });
  const spoken = inside.map((state) => `${words(state.state)} from ${clock(state.at)}`).join(", ");
  svg.setAttribute("aria-label", `States of ${model}: ${spoken || "unknown"}`);
  return svg;
}
