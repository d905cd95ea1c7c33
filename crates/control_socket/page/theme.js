// The theme of a page: the system's, or the one that its button has chosen in this browser.

import { byId } from "./text.js";

export function beginTheme() {
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const theme = () => localStorage.getItem("theme") ?? (dark.matches ? "dark" : "light");
  const dress = () => {
    document.documentElement.className = localStorage.getItem("theme") ?? "";
    byId("theme").setAttribute("aria-pressed", String(theme() === "dark"));
  };
  byId("theme").addEventListener("click", () => {
    localStorage.setItem("theme", theme() === "dark" ? "light" : "dark");
    dress();
  });
  dark.addEventListener("change", dress);
  dress();
}
