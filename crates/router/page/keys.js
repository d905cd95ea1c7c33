// The keys: made, shown once, listed and revoked.

import { send } from "./api.js";
import { byId, clock, make, show } from "./text.js";

const USES = { worker: "GPU workers", api: "clients" };
const HOW = {
  worker: "Give it to auxot-worker as AUXOT_GPU_KEY.",
  api: "Clients send it as Authorization: Bearer.",
};

function day(time) {
  return new Date(time).toLocaleDateString([], { year: "numeric", month: "short", day: "numeric" });
}

// When a key was last used: the time of today, the day of before.
function lastUse(key) {
  if (!key.last_used) return "–";
  const at = new Date(key.last_used);
  return at.toDateString() === new Date().toDateString() ? clock(at.getTime()) : day(key.last_used);
}

// What a client's key may use, and how much of it.
function terms(key) {
  if (key.kind === "worker") return "";
  const providers = !key.providers ? "all providers" : key.providers.map((name) => (name === "gpu" ? "workers" : name)).join(", ");
  return [providers, key.models && `models ${key.models.join(", ")}`, key.requests_per_minute && `${key.requests_per_minute} a minute`,
    key.tokens_per_minute && `${key.tokens_per_minute} tokens a minute`, key.max_parallel && `${key.max_parallel} at once`].filter(Boolean).join("; ");
}

function revoker(key, act) {
  const button = make("button", { type: "button", class: "danger", "aria-label": `Revoke ${key.name}, ${USES[key.kind]}` }, "Revoke");
  button.addEventListener("click", () => {
    const all = `Revoke all keys called ${key.name}? What is connected with them ends within a second.`;
    if (confirm(all)) act(() => send(`v1/keys/${encodeURIComponent(key.name)}/revoke`), `${key.name} is revoked.`);
  });
  return button;
}

export function showKeys(keys, others, act) {
  const items = keys.toReversed().map((key) => ({
    id: `${key.kind} ${key.id}`,
    make: () => make("tr", {}, ...Array.from({ length: 8 }, () => make("td")), make("td", {}, revoker(key, act))),
    fill: (row) => {
      const tone = key.expired ? "bad" : "good";
      const text = key.expired ? "expired" : key.expires ? `until ${day(key.expires)}` : "good";
      const cells = [key.name, USES[key.kind], make("code", {}, key.id), day(key.created), lastUse(key),
        make("span", { class: `state ${tone}` }, text), terms(key), key.kind === "worker" ? String(key.workers) : ""];
      cells.forEach((cell, at) => row.children[at].replaceChildren(cell));
    },
  }));
  show(byId("keys"), items, (item) => item.id);
  byId("other-keys").textContent = others ? `${others} older keys: auxot-router keys list shows them.` : "";
}

function hide() {
  byId("made").hidden = true;
  byId("made-key").textContent = "";
}

export function beginKeys(act) {
  byId("new-key").addEventListener("submit", (event) => {
    event.preventDefault();
    hide();
    const [name, kind] = [byId("key-name").value.trim(), byId("key-kind").value];
    act(async () => {
      const made = await (await send("v1/keys", { name, kind })).json();
      byId("made-title").textContent = `The key ${made.name}.`;
      byId("made-use").textContent = HOW[made.kind];
      byId("made-key").textContent = made.key;
      byId("made").hidden = false;
      byId("key-name").value = "";
    }, `The key ${name} is created.`);
  });
  byId("copy").addEventListener("click", () =>
    act(() => navigator.clipboard.writeText(byId("made-key").textContent), "The key is in the clipboard."));
  byId("hide").addEventListener("click", hide);
}
