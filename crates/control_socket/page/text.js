// Numbers and times for people, and the making of elements.

export function bytes(count) {
  if (count === null || count === undefined) return "unknown";
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  while (count >= 1024 && at < units.length - 1) {
    count /= 1024;
    at += 1;
  }
  return `${at > 1 && count < 100 ? count.toFixed(1) : Math.round(count)} ${units[at]}`;
}

export function seconds(time) {
  if (time === null || time === undefined) return "";
  if (time < 1) return `${Math.round(time * 1000)} ms`;
  if (time < 100) return `${time.toFixed(1)} s`;
  return duration(time);
}

export function duration(time) {
  const [days, hours, minutes] = [time / 86400, (time / 3600) % 24, (time / 60) % 60].map(Math.floor);
  if (days) return `${days} d ${hours} h`;
  if (hours) return `${hours} h ${minutes} min`;
  return minutes ? `${minutes} min` : `${Math.floor(time)} s`;
}

export const clock = (ms) => new Date(ms).toLocaleTimeString([], { hour12: false });

export const words = (state) => state.replaceAll("_", " ");

export const byId = (id) => document.getElementById(id);

// An element with properties and children; classes are given as `class`.
export function make(tag, properties = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(properties)) {
    if (name === "class") element.className = value;
    else if (name.includes("-") || name === "role") element.setAttribute(name, value);
    else element[name] = value;
  }
  element.append(...children.filter((child) => child !== null && child !== undefined));
  return element;
}

export function draw(tag, attributes = {}, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
}

// The colour of a model: the same everywhere, and as long as the page is open.
const colours = new Map();
export function colour(model) {
  if (!colours.has(model)) colours.set(model, `s${colours.size % 8}`);
  return colours.get(model);
}

// Replaces the children only where they differ, so that focus and selection stay.
export function show(parent, children, key) {
  const known = new Map([...parent.children].map((child) => [child.dataset.key, child]));
  let place = parent.firstElementChild;
  for (const item of children) {
    const id = String(key(item));
    let child = known.get(id);
    known.delete(id);
    if (!child) {
      child = item.make();
      child.dataset.key = id;
      parent.insertBefore(child, place);
    } else if (child === place) {
      place = place.nextElementSibling;
    } else {
      parent.insertBefore(child, place);
    }
    item.fill?.(child);
  }
  for (const gone of known.values()) gone.remove();
}
