// usage: node router.test.mjs LOGIN_URL FOLDER
// The page of a running router with one worker in a real browser: what is wrong, the worker with its devices and models, a key
// that is created, shown once and revoked; accessibility by axe; the keyboard; widths from 320 px to 4K, light and dark; what
// the browser loads and says. Screenshots go to FOLDER.

import { check, faults, open, reached, sizes } from "./browser.mjs";

const [link, folder] = process.argv.slice(2);
const WAIT = 60_000;
const MOST_BYTES = 100 * 1024;

let answers = true;
const { browser, context, page, said, loaded } = await open((dialog) => (answers ? dialog.accept() : dialog.dismiss()));

await page.goto(link, { waitUntil: "load" });
const worker = page.locator(".worker").first();
await worker.waitFor({ timeout: WAIT });
const bytes = [...loaded.values()].reduce((sum, size) => sum + size, 0);
check(bytes > 0 && bytes <= MOST_BYTES, `${loaded.size} files of ${bytes} bytes`);
check([...loaded.keys()].every((url) => new URL(url).origin === new URL(link).origin), "nothing is loaded from elsewhere");
await worker.locator(".pill", { hasText: "alive" }).waitFor({ timeout: WAIT });
await worker.locator(".facts", { hasText: /heartbeat .* ago/ }).waitFor({ timeout: WAIT });
await worker.locator(".models .good", { hasText: "qwen3-14b-q4_0: ready" }).waitFor({ timeout: WAIT });
check((await worker.locator(".devices .bar").count()) >= 2, "the worker is shown with heartbeat, devices and models");
await page.locator("#faults li").filter({ hasText: "phi-4-mini-q4_0 has failed" }).waitFor({ timeout: WAIT });
check(true, "a model that has failed is shown first, with what to do");
await page.locator("#providers tr", { hasText: "tool" }).waitFor({ timeout: WAIT });
check(true, "the provider beside the workers is shown");

const row = page.locator("#keys tr", { hasText: "new-box" });
await page.locator("#key-name").fill("new-box");
await page.locator("#new-key button").click();
await row.waitFor({ timeout: WAIT });
const key = await page.locator("#made-key").textContent();
check((await row.locator("td").nth(4).textContent()) === "–", "a new key was never used");
await page.locator("#keys tr", { hasText: "default" }).filter({ hasText: /\d:\d\d/ }).waitFor({ timeout: WAIT });
check(true, "the last use of the worker's key is shown");
check(/^adm_\S{20,}$/.test(key), `a worker key is created and shown (${key.length} characters)`);
await page.locator("#hide").click();
check(!(await page.content()).includes(key), "it is gone when it is hidden");
await page.reload();
await row.waitFor({ timeout: WAIT });
check(!(await page.content()).includes(key), "it is not shown again");
answers = false;
await row.getByRole("button").click();
check((await row.count()) === 1, "a revocation that is not confirmed revokes nothing");

await sizes(page, folder, { light: "providers-light.png", dark: "providers-dark.png", phone: "providers-phone.png" });
const names = await reached(page);
for (const name of ["theme", "key-name", "key-kind", "Revoke new-box, GPU workers"]) {
  check(names.has(name), `the keyboard reaches ${name}`);
}
await page.locator("#key-name").fill("new-box");
await page.locator("#new-key button").click();
await page.locator("#notice", { hasText: "cannot add the key" }).waitFor({ timeout: WAIT });
check(true, "a name that is taken is refused with its reason");
answers = true;
await row.getByRole("button").focus();
await page.keyboard.press("Enter");
await row.waitFor({ state: "detached", timeout: WAIT });
check(true, "a key is revoked by the keyboard");
// The refusal of the taken name is reported by the browser, and nothing else.
const odd = said.filter((text) => !text.includes("409"));
check(!odd.length, `the browser says nothing: ${odd.slice(0, 3).join("; ")}`);
const other = await browser.newPage();
check((await other.goto(link)).status() === 403, "the link is good once");
await browser.close();
if (faults.length) {
  console.error(`faults: ${faults.length}`);
  process.exit(1);
}
