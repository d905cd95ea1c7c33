// Devices: who holds their memory, now and over time.

import { areas } from "./plots.js";
import { bytes, byId, colour, make, show } from "./text.js";

const KEPT = 900;
const KEY = "memory";
// Samples of this browser tab, by device: the worker keeps none, so that an idle one costs nothing.
let samples = {};
try {
  samples = JSON.parse(sessionStorage.getItem(KEY) ?? "{}");
} catch {
  samples = {};
}

function partsOf(device, models) {
  const parts = models.flatMap((model) =>
    model.memory.filter(([id]) => id === device.id).map(([, held]) => [model.name, held]));
  const held = parts.reduce((sum, [, part]) => sum + part, 0);
  if (device.used_bytes !== null) parts.push(["others", Math.max(device.used_bytes - held, 0)]);
  return parts;
}

function makeDevice() {
  return make("div", { class: "device" }, make("h3"), make("p"), make("div", { class: "bar", "aria-hidden": "true" }),
    make("div", { class: "over-time" }), make("ul", { class: "key" }));
}

function fillDevice(element, device, parts) {
  const [title, line] = [element.querySelector("h3"), element.querySelector("p")];
  const id = device.id === device.name ? null : make("small", {}, device.id);
  title.replaceChildren(device.name, ...(id ? [id] : []));
  const known = device.total_bytes !== null && device.used_bytes !== null;
  line.textContent = known ? `${bytes(device.used_bytes)} of ${bytes(device.total_bytes)} used` : "Memory unknown";
  if (!device.usable) line.textContent += "; the engine cannot use this device";
  const bar = element.querySelector(".bar");
  bar.replaceChildren(...parts.map(([name, held]) => {
    const part = make("i", { class: name === "others" ? "others" : colour(name) });
    part.style.width = `${(100 * held) / (device.total_bytes || 1)}%`;
    return part;
  }));
  const kept = samples[device.id] ?? [];
  const names = [...new Set(kept.flatMap((sample) => sample.parts.map(([name]) => name)))];
  names.sort((one, other) => (one === "others") - (other === "others") || one.localeCompare(other));
  const label = `Memory of ${device.name} over time: now ${line.textContent}`;
  const place = element.querySelector(".over-time");
  place.replaceChildren(areas(place, label, kept, names, device.total_bytes, (value) => bytes(value)));
  element.querySelector(".key").replaceChildren(...parts.map(([name, held]) =>
    make("li", {}, make("i", { class: name === "others" ? "others" : colour(name) }),
      `${name === "others" ? "other processes" : name} ${bytes(held)}`)));
}

export function showDevices(devices, models) {
  const now = Date.now();
  const items = devices.map((device) => {
    const parts = partsOf(device, models);
    const kept = (samples[device.id] ??= []);
    kept.push({ at: now, parts });
    if (kept.length > KEPT) kept.shift();
    return { id: device.id, make: makeDevice, fill: (element) => fillDevice(element, device, parts) };
  });
  try {
    sessionStorage.setItem(KEY, JSON.stringify(samples));
  } catch {
    // A full or forbidden storage costs only what a reload of the page would show.
  }
  show(byId("devices"), items, (item) => item.id);
}
