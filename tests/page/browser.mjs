// What the tests of all pages do with a browser.

import { createRequire } from "node:module";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { chromium } from "playwright-core";

const axe = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");
const RULES = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "best-practice"];

export const faults = [];

export function check(holds, what) {
  console.log(`${holds ? "ok  " : "FAIL"} ${what}`);
  if (!holds) faults.push(what);
}

// A new browser with one tab: what the tab says as errors and warnings, and the bytes of each file that it loads. `answer` is
// what it does with a dialog.
export async function open(answer) {
  const browser = await chromium.launch({ executablePath: "/usr/bin/chromium", args: ["--no-sandbox"] });
  const context = await browser.newContext({ viewport: { width: 1440, height: 1000 }, colorScheme: "light", bypassCSP: false });
  const page = await context.newPage();
  const said = [];
  const loaded = new Map();
  page.on("console", (message) => ["error", "warning"].includes(message.type()) && said.push(message.text()));
  page.on("pageerror", (error) => said.push(String(error)));
  page.on("requestfinished", async (request) => {
    if (request.url().includes("/v1/") || request.url().includes("/session")) return;
    loaded.set(request.url(), (await request.sizes()).responseBodySize);
  });
  page.on("dialog", answer);
  return { browser, context, page, said, loaded };
}

async function accessible(page, what) {
  // The page's own policy forbids the script of axe as a text, so it is given by the debugger; the policy itself stays.
  await page.evaluate(axe);
  const { violations } = await page.evaluate((rules) => window.axe.run(document, { runOnly: rules }), RULES);
  const text = violations.map((one) => `${one.id}: ${one.nodes.map((node) => node.target).slice(0, 3).join(" ")}`).join("; ");
  check(!violations.length, `axe, ${what}: ${text || "no violation"}`);
}

// The page from 320 px to 4K, light and dark; screenshots go to the folder under these names.
export async function sizes(page, folder, files) {
  for (const [scheme, width, height, file] of [
    ["light", 1440, 1000, files.light],
    ["dark", 1440, 1000, files.dark],
    ["light", 320, 700, files.phone],
    ["dark", 3840, 2160, files.large],
  ]) {
    await page.emulateMedia({ colorScheme: scheme });
    await page.setViewportSize({ width, height });
    await page.evaluate(() => window.scrollTo(0, 0));
    await page.waitForFunction(() => new Promise((done) => setTimeout(() => done(true), 2500)));
    const wide = await page.evaluate(() => document.documentElement.scrollWidth - document.documentElement.clientWidth);
    check(wide <= 0, `${width} px, ${scheme}: nothing is wider than the window (${wide})`);
    await accessible(page, `${width} px, ${scheme}`);
    if (file) await page.screenshot({ path: join(folder, file), fullPage: width < 2000 });
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize({ width: 1440, height: 1000 });
}

// The ids and labels of what the keyboard reaches.
export async function reached(page) {
  const names = new Set();
  await page.evaluate(() => document.activeElement?.blur());
  for (let press = 0; press < 60; press += 1) {
    await page.keyboard.press("Tab");
    names.add(await page.evaluate(() => document.activeElement?.id || document.activeElement?.getAttribute("aria-label")));
  }
  return names;
}
