// Drives a page in headless Chromium over its debugging pipe. A script with the checks of a page
// calls `drive` with its own arguments, CHROMIUM PAGE [AXE], and with further pages that axe checks
// too. It prints one line for each failed check, and exits with 1 if there is one. The rules of
// axe, the policy, requests and errors are checked here for every page.
import { spawn } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { pathToFileURL } from "node:url";

export async function drive([chromium, page, axe], checks, pages = [""]) {
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
      // A page that is being left gives no answer.
      if (await run(expression).catch((error) => { if (!/navigated|context/.test(error.message)) throw error; })) return true;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    return false;
  };
  // Follows a link. The answer arrives before the browser leaves the page.
  const follow = (link) => run(`setTimeout(() => document.querySelector('${link}').click()); undefined`);
  const url = pathToFileURL(page).href;
  let visits = 0;
  const open = async (hash, other = "") => {
    await tell("Page.navigate", { url: "about:blank" });
    await until("location.href === 'about:blank'");
    await tell("Page.navigate", { url: (other ? new URL(other, url).href : url) + hash });
    visits += 1;
    check("the script runs under the page's own policy", await until("location.protocol === 'file:' && document.readyState === 'complete' && document.documentElement.classList.contains('js')"), hash);
  };

  await checks({ run, until, follow, open, check, tell, failures });

  if (axe) {
    for (const [theme, width, other] of pages.flatMap((other) => [["light", 1280, other], ["dark", 1280, other], ["light", 390, other]])) {
      await tell("Emulation.setDeviceMetricsOverride", { width, height: 800, deviceScaleFactor: 1, mobile: width < 600 });
      await tell("Page.setBypassCSP", { enabled: true });
      await open("#theme=" + theme, other);
      await run(readFileSync(axe, "utf8") + "; undefined");
      const violations = await run("document.querySelectorAll('details').forEach((part) => { part.open = true; }); axe.run().then((found) => found.violations.map((each) => each.id + ' (' + each.nodes.length + '): ' + each.nodes.slice(0, 3).map((node) => node.html.slice(0, 140) + ' ' + (node.any[0]?.message || '')).join(' | ')))");
      for (const violation of violations) failures.push(`axe, ${other} ${theme}, ${width} px: ${violation}`);
    }
    await tell("Emulation.clearDeviceMetricsOverride");
  }

  const requests = events.filter((event) => event.method === "Network.requestWillBeSent").map((event) => event.params.request.url).filter((each) => !each.startsWith(new URL(".", url).href) && !each.startsWith("about:") && !each.startsWith("data:"));
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
  // Chromium's helper processes may still write to the folder. Files that remain are no failure of
  // the page.
  try { rmSync(home, { recursive: true, force: true, maxRetries: 5 }); } catch {}
}
for (const failure of failures) console.log(failure);
process.exit(failures.length ? 1 : 0);
}
