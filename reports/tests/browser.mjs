// The checks of a run's page. Called by tests/it/browser.rs:  node browser.mjs CHROMIUM PAGE [AXE]
import { drive } from "./driver.mjs";

await drive(process.argv.slice(2), async ({ run, until, open, check, tell, failures }) => {
  // Themes and their permalink.
  await open("#theme=dark");
  check("a dark permalink is dark", (await run("getComputedStyle(document.body).backgroundColor")) === "rgb(11, 14, 19)", await run("getComputedStyle(document.body).backgroundColor"));
  await run("document.querySelector('#theme').value = 'light'; document.querySelector('#theme').dispatchEvent(new Event('change'))");
  check("the theme is in the address", (await run("location.hash")) === "#theme=light", await run("location.hash"));
  check("light is light", (await run("getComputedStyle(document.body).backgroundColor")) === "rgb(246, 247, 249)", null);

  // Paper is white in every theme.
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

  // Copy as CSV.
  await open("");
  await run("document.execCommand = (what) => { window.copied = document.querySelector('body > textarea').value; return what === 'copy'; }; Object.defineProperty(navigator, 'clipboard', { value: undefined })");
  await run("document.querySelector('#q-spawn\\\\.one [data-copy]').click()");
  check("a table is copied as CSV", await until("(window.copied || '').startsWith('Lane,Figure')"), await run("window.copied"));

  // While everything is folded the page is short, and begins with the answers.
  await tell("Emulation.setDeviceMetricsOverride", { width: 1280, height: 800, deviceScaleFactor: 1, mobile: false });
  await open("");
  const height = await run("document.documentElement.scrollHeight");
  check("the page has at most ten screens before anything is opened", height <= 8000, height);
  const last = await run("[...document.querySelectorAll('.answer')].slice(0, 5).map((each) => each.getBoundingClientRect().bottom).reduce((a, b) => Math.max(a, b))");
  check("the five answers are on the first screen", last <= 800, last);
  await run("document.querySelector('#trust summary').focus()");
  check("a part can be reached and opened by the keyboard", await run("document.activeElement.tagName === 'SUMMARY'"), null);
  await tell("Emulation.clearDeviceMetricsOverride");

  // Phone width: only the tables' own frames scroll sideways.
  await tell("Emulation.setDeviceMetricsOverride", { width: 375, height: 800, deviceScaleFactor: 1, mobile: true });
  await open("");
  check("a phone needs no sideways scrolling", await run("document.documentElement.scrollWidth <= 376"), await run("document.documentElement.scrollWidth"));
  await run("document.querySelectorAll('details').forEach((part) => { part.open = true; })");
  check("an opened page needs no sideways scrolling on a phone", await run("document.documentElement.scrollWidth <= 376"), await run("document.documentElement.scrollWidth"));
  const charts = "[...document.querySelectorAll('#questions .narrow svg, #questions .wide')].filter((each) => each.checkVisibility())";
  check("a phone has charts of its own, as wide as it is", await run(`${charts}.length > 5 && ${charts}.every((each) => each.tagName === 'svg' && each.getBoundingClientRect().right <= 375)`), await run(`${charts}.map((each) => each.tagName + ' ' + each.getBoundingClientRect().right)`));

  // Paper does not scroll: the width of A4 without its margins.
  await tell("Emulation.setDeviceMetricsOverride", { width: 703, height: 1000, deviceScaleFactor: 1, mobile: false });
  await tell("Emulation.setEmulatedMedia", { media: "print" });
  const cut = "[...document.querySelectorAll('.scroll')].filter((each) => each.checkVisibility() && each.scrollWidth > each.clientWidth + 1).map((each) => each.getAttribute('aria-label') + ' ' + each.scrollWidth)";
  check("no table and no chart is cut at the paper's edge", (await run(cut)).length === 0, await run(cut));
  await tell("Emulation.setEmulatedMedia", { media: "" });
  await tell("Emulation.clearDeviceMetricsOverride");
});
