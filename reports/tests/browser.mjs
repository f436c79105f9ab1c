// Drives the rendered report in headless Chromium over its debugging pipe.
// Called by tests/it/browser.rs:  node browser.mjs CHROMIUM PAGE [AXE]
// Prints one line a failed check and exits with 1 if there is any.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

const [chromium, page, axe] = process.argv.slice(2);
const home = mkdtempSync(join(tmpdir(), "report-"));
const browser = spawn(chromium, [
  "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
  "--disable-component-update", "--disable-sync", "--remote-debugging-pipe", `--user-data-dir=${home}`,
], { stdio: ["ignore", "ignore", "ignore", "pipe", "pipe"] });
const [, , , into, from] = browser.stdio;

let next = 0, buffer = "";
const waiting = new Map(), events = [];
from.on("data", (chunk) => {
  buffer += chunk;
  const parts = buffer.split("\0");
  buffer = parts.pop();
  for (const part of parts) {
    const message = JSON.parse(part);
    if (message.id) waiting.get(message.id)?.(message); else events.push(message);
  }
});
const send = (method, params = {}, sessionId) => new Promise((resolve, reject) => {
  const id = ++next;
  waiting.set(id, (message) => (message.error ? reject(new Error(`${method}: ${message.error.message}`)) : resolve(message.result)));
  into.write(JSON.stringify({ id, method, params, sessionId }) + "\0");
});
const failures = [];
const check = (name, good, seen) => { if (!good) failures.push(`${name}: ${JSON.stringify(seen)}`); };

const limit = setTimeout(() => { console.log("the browser took longer than 240 s"); browser.kill("SIGKILL"); process.exit(1); }, 240_000);
try {
  const { targetId } = await send("Target.createTarget", { url: "about:blank" });
  const { sessionId } = await send("Target.attachToTarget", { targetId, flatten: true });
  const tell = (method, params) => send(method, params, sessionId);
  for (const domain of ["Page", "Runtime", "Network", "Log", "DOM"]) await tell(domain + ".enable");
  const run = async (expression) => {
    const { result, exceptionDetails } = await tell("Runtime.evaluate", { expression, awaitPromise: true, returnByValue: true });
    if (exceptionDetails) throw new Error(exceptionDetails.exception?.description || exceptionDetails.text);
    return result.value;
  };
  const until = async (expression) => {
    for (let tries = 0; tries < 200; tries += 1) {
      if (await run(expression)) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  };
  const url = pathToFileURL(page).href;
  let visits = 0;
  const open = async (hash) => {
    await tell("Page.navigate", { url: "about:blank" });
    await until("location.href === 'about:blank'");
    await tell("Page.navigate", { url: url + hash });
    visits += 1;
    check("the script runs under the page's own policy", await until("location.protocol === 'file:' && document.readyState === 'complete' && document.documentElement.classList.contains('js')"), hash);
  };

  // Themes and their permalink.
  await open("#theme=dark");
  check("a dark permalink is dark", (await run("getComputedStyle(document.body).backgroundColor")) === "rgb(11, 14, 19)", await run("getComputedStyle(document.body).backgroundColor"));
  await run("document.querySelector('#theme').value = 'light'; document.querySelector('#theme').dispatchEvent(new Event('change'))");
  check("the theme is in the address", (await run("location.hash")) === "#theme=light", await run("location.hash"));
  check("light is light", (await run("getComputedStyle(document.body).backgroundColor")) === "rgb(246, 247, 249)", null);

  // Paper is white whatever the theme.
  await open("#theme=dark");
  await tell("Emulation.setEmulatedMedia", { media: "print" });
  check("a dark page prints in black on white", (await run("getComputedStyle(document.body).color")) === "rgb(0, 0, 0)", await run("getComputedStyle(document.body).color"));
  await tell("Emulation.setEmulatedMedia", { media: "" });

  // Filters and their permalink.
  await open("#hide=thread&find=sleep");
  check("a hidden lane is hidden", await run("[...document.querySelectorAll('[data-lane=thread]')].every((part) => part.hidden)"), null);
  check("a search shows what it finds", await run("!document.getElementById('q-io.sleepers').hidden && document.getElementById('q-cpu.primes').hidden"), null);
  await run("document.querySelector('#reset').click()");
  check("reset shows all", await run("!document.querySelector('[data-lane=thread]').hidden && !document.getElementById('q-cpu.primes').hidden && location.hash === ''"), await run("location.hash"));
  await open("#%E0%A4%A");
  check("a mangled link is a link to nowhere", await run("document.querySelectorAll('[data-copy]').length > 0 && document.querySelector('#theme').value === 'auto'"), null);
  await open("#q-memory.parked");
  check("a permalink to a question opens it", await until("document.getElementById('q-memory.parked').open"), null);
  check("a permalink to a question scrolls to it", await until("Math.abs(document.getElementById('q-memory.parked').getBoundingClientRect().top) < 200"), null);

  // Keys.
  await run("dispatchEvent(new KeyboardEvent('keydown', { key: 't', bubbles: true }))").catch((error) => failures.push(String(error)));
  await run("document.body.dispatchEvent(new KeyboardEvent('keydown', { key: 't', bubbles: true }))");
  check("t changes the theme", (await run("document.documentElement.dataset.theme || 'auto'")) !== "auto", null);

  // The planner.
  await open("");
  const before = await run("document.querySelector('#plan tbody').textContent");
  await run("document.querySelector('#plan-tasks').value = 500000; document.querySelector('#plan-tasks').dispatchEvent(new Event('input'))");
  check("the planner follows its fields", before !== (await run("document.querySelector('#plan tbody').textContent")), before);

  // Copy as CSV.
  await run("document.execCommand = (what) => { window.copied = document.querySelector('body > textarea').value; return what === 'copy'; }; Object.defineProperty(navigator, 'clipboard', { value: undefined })");
  await run("document.querySelector('#q-spawn\\\\.one [data-copy]').click()");
  check("a table is copied as CSV", await until("(window.copied || '').startsWith('Lane,Figure')"), await run("window.copied"));

  // Before anything is opened the page is short, and opens with the answers.
  await tell("Emulation.setDeviceMetricsOverride", { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false });
  await open("");
  const height = await run("document.documentElement.scrollHeight");
  check("the page has at most ten screens before anything is opened", height <= 8000, height);
  const last = await run("[...document.querySelectorAll('.answer')].slice(0, 5).map((each) => each.getBoundingClientRect().bottom).reduce((a, b) => Math.max(a, b))");
  check("the five answers are on the first screen", last <= 800, last);
  await run("document.querySelector('#trust summary').focus()");
  check("a part can be reached and opened by the keyboard", await run("document.activeElement.tagName === 'SUMMARY'"), null);
  await tell("Emulation.clearDeviceMetricsOverride");

  // Phone width: nothing but the tables' own frames scrolls sideways.
  await tell("Emulation.setDeviceMetricsOverride", { width: 375, height: 800, deviceScaleFactor: 1, mobile: true });
  await open("");
  check("a phone needs no sideways scrolling", await run("document.documentElement.scrollWidth <= 376"), await run("document.documentElement.scrollWidth"));
  await run("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
  check("an opened page needs no sideways scrolling on a phone", await run("document.documentElement.scrollWidth <= 376"), await run("document.documentElement.scrollWidth"));
  const charts = "[...document.querySelectorAll('#questions .narrow svg, #questions .wide')].filter((each) => each.checkVisibility())";
  check("a phone has charts of its own, as wide as it is", await run(`${charts}.length > 5 && ${charts}.every((each) => each.tagName === 'svg' && each.getBoundingClientRect().right <= 375)`), await run(`${charts}.map((each) => each.tagName + ' ' + each.getBoundingClientRect().right)`));

  // Paper does not scroll: A4 less its margins.
  await tell("Emulation.setDeviceMetricsOverride", { width: 703, height: 1000, deviceScaleFactor: 1, mobile: false });
  await tell("Emulation.setEmulatedMedia", { media: "print" });
  const cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1).map((each) => each.getAttribute('aria-label') + ' ' + each.scrollWidth)";
  check("no table and no chart is cut at the paper's edge", (await run(cut)).length === 0, await run(cut));
  await tell("Emulation.setEmulatedMedia", { media: "" });
  await tell("Emulation.clearDeviceMetricsOverride");

  if (axe) {
    for (const [theme, width] of [["light", 1280], ["dark", 1280], ["light", 390]]) {
      await tell("Emulation.setDeviceMetricsOverride", { width, height: 800, deviceScaleFactor: 1, mobile: width < 600 });
      await tell("Page.setBypassCSP", { enabled: true });
      await open("#theme=" + theme);
      await run(readFileSync(axe, "utf8") + "; undefined");
      const violations = await run("document.querySelectorAll('details').forEach((part) => { part.open = true; }); axe.run().then((found) => found.violations.map((each) => each.id + ' (' + each.nodes.length + '): ' + each.nodes.slice(0, 3).map((node) => node.html.slice(0, 140) + ' ' + (node.any[0]?.message || '')).join(' | ')))");
      for (const violation of violations) failures.push(`axe, ${theme}, ${width} px: ${violation}`);
    }
    await tell("Emulation.clearDeviceMetricsOverride");
  }

  const requests = events.filter((event) => event.method === "Network.requestWillBeSent").map((event) => event.params.request.url).filter((each) => !each.startsWith(url.split("#")[0]) && !each.startsWith("about:") && !each.startsWith("data:"));
  check("no request but the page's own", requests.length === 0, requests);
  const errors = events.filter((event) => event.method === "Runtime.exceptionThrown" || (event.method === "Log.entryAdded" && event.params.entry.level === "error") || (event.method === "Runtime.consoleAPICalled" && event.params.type === "error"));
  check("no error in the console", errors.length === 0, errors.map((event) => event.params.entry?.text || event.params.exceptionDetails?.exception?.description || event.params));
  check("the page was opened", visits > 4, visits);
} catch (error) {
  failures.push(String(error.stack || error));
} finally {
  clearTimeout(limit);
  browser.kill("SIGKILL");
  await new Promise((resolve) => browser.on("exit", resolve));
  // Its helpers may still write there: what stays behind is no failure of the page.
  try { rmSync(home, { recursive: true, force: true, maxRetries: 5 }); } catch {}
}
for (const failure of failures) console.log(failure);
process.exit(failures.length ? 1 : 0);
