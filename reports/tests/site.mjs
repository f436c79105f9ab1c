// The checks of the pages of many machines. Called by tests/it/browser.rs:  node site.mjs CHROMIUM INDEX [AXE]
import { readdirSync } from "node:fs";
import { dirname, join } from "node:path";
import { drive } from "./driver.mjs";

const machine = "m/" + readdirSync(join(dirname(process.argv[3]), "m"))[0];

await drive(process.argv.slice(2), async ({ run, until, follow, open, check, tell }) => {
  const shown = "[...document.querySelectorAll('tbody tr[data-facts]')].filter((row) => !row.hidden)";

  // Filters and their addresses.
  await open("");
  const all = await run(shown + ".length");
  check("every setup has a row", all === 30, all);
  await open("#architecture=aarch64");
  check("an address chooses rows by a fact", await run(`${shown}.length > 0 && ${shown}.length < 30 && ${shown}.every((row) => row.dataset.facts.includes('architecture=aarch64'))`), await run(shown + ".length"));
  check("the choice shows it", (await run("document.querySelector('[data-pick=architecture]').value")) === "aarch64", null);
  await run("{ const pick = document.querySelector('[data-pick=mitigations]'); pick.value = 'off'; pick.dispatchEvent(new Event('change')); }");
  check("a choice is in the address", (await run("location.hash")) === "#architecture=aarch64&mitigations=off", await run("location.hash"));
  await run("document.querySelector('#reset').click()");
  check("reset shows all", (await run(shown + ".length")) === all && (await run("location.hash")) === "", await run("location.hash"));
  await open("#find=neoverse&hide=Serve");
  check("a search finds machines", await run(`${shown}.length > 0 && ${shown}.every((row) => row.textContent.includes('Neoverse'))`), await run(shown + ".length"));
  check("the number of setups that are left is shown", (await run("document.querySelector('#count').textContent")) === `${await run(shown + ".length")} of ${all} setups`, await run("document.querySelector('#count').textContent"));
  check("a question can be hidden", await run("[...document.querySelectorAll('[data-lane=Serve]')].every((part) => part.hidden)"), null);

  await open("#find=neoverse+64");
  check("a search finds machines that have all words", await run(`${shown}.length > 0 && ${shown}.every((row) => /neoverse/i.test(row.textContent) && row.textContent.includes('64'))`), await run(shown + ".length"));
  await open("#find=neoverse+epyc");
  check("no machine has the words of two", (await run(shown + ".length")) === 0 && (await run("document.querySelector('#count').textContent")).startsWith("No setup is left"), await run("document.querySelector('#count').textContent"));

  // Sorting.
  await open("");
  check("the index is sorted by its first question", await run("document.querySelector('th[aria-sort]').dataset.lane === 'Start' && document.querySelector('tbody tr[data-facts] [data-lane=Start] .beside').textContent === 'best'"), null);
  check("the sorted column has an arrow", (await run("getComputedStyle(document.querySelector('th[aria-sort] .sort'), '::after').content")).includes("▲"), await run("getComputedStyle(document.querySelector('th[aria-sort] .sort'), '::after').content"));
  await open("#sort=Start");
  const costs = await run("[...document.querySelectorAll('tbody tr[data-facts] [data-lane=Start]')].map((cell) => Number(cell.dataset.value ?? Infinity))");
  check("a column is sorted by its figures", costs.length === all && costs.every((cost, place) => place === 0 || costs[place - 1] <= cost), costs);
  check("the sorted column says so", (await run("document.querySelector('th[data-lane=Start]').getAttribute('aria-sort')")) === "ascending", null);
  await run("document.querySelector('th[data-lane=Start] .sort').click()");
  check("a second click takes the order back", (await run("location.hash")) === "", await run("location.hash"));

  // Two machines side by side.
  const [a, b] = await run("[0, 7].map((place) => document.querySelectorAll('tbody tr[data-facts] th a')[place].getAttribute('href'))");
  await open(`#a=${encodeURIComponent(a)}&b=${encodeURIComponent(b)}`);
  check("an address sets two machines side by side", await run("document.querySelectorAll('#two-table tr').length > 10 && document.querySelectorAll('#two-table td').length > 20"), await run("document.querySelectorAll('#two-table tr').length"));
  check("both are in view", await run("{ const frame = document.querySelector('#two-table').closest('.scroll'); frame.scrollWidth <= frame.clientWidth + 1 }"), await run("document.querySelector('#two-table').scrollWidth"));
  check("lines in which they differ are marked", await run("document.querySelectorAll('#two-table tr.differs').length > 0"), null);
  check("each fact that differs is marked", await run("[...document.querySelectorAll('#two-table tr')].slice(1, 20).every((row) => row.classList.contains('differs') === (row.cells[1].textContent !== row.cells[2].textContent))"), await run("document.querySelector('#two-table').innerText"));
  check("the CPU has its own spelling", await run(`[...document.querySelectorAll('#two-table th')].find((head) => head.textContent === 'CPU').nextElementSibling.textContent === document.querySelector('tbody tr[data-facts] th a[href="${a}"]').textContent`), null);
  const marked = await run("[...document.querySelectorAll('#two-table tr')].filter((row) => row.cells[1].dataset.range && row.cells[2].dataset.range).map((row) => { const [[low, high], [other, top]] = [1, 2].map((cell) => row.cells[cell].dataset.range.split(' ').map(Number)); return [row.classList.contains('differs'), high < other || top < low]; })");
  check("figures are marked whose intervals do not overlap", marked.length > 2 && marked.every(([one, two]) => one === two), marked);

  // The machine nearest to a file.
  await open("");
  const drop = (text) => run(`{ const file = new File([${JSON.stringify(text)}], 'run.jsonl'), list = new DataTransfer(); list.items.add(file); const mine = document.querySelector('#mine'); mine.files = list.files; mine.dispatchEvent(new Event('change')); }`);
  await drop(JSON.stringify({ host: { machine: { architecture: "aarch64", cpu_model: "Neoverse-V1", cores_count: 8, threads_count: 8, hypervisor: "nitro" } } }) + "\n{}");
  check("the nearest machine to a file is found", await until("document.querySelector('#nearest-list a')?.textContent.includes('Neoverse-V1')"), await run("document.querySelector('#nearest-list').textContent"));
  await drop("nothing");
  check("a file that is no run is refused", await until("document.querySelector('#nearest-list').textContent.includes('no run.jsonl')"), await run("document.querySelector('#nearest-list').textContent"));

  await run("{ const file = new File([new Uint8Array([0x28, 0xB5, 0x2F, 0xFD, 0])], 'run.jsonl.zst'), list = new DataTransfer(); list.items.add(file); const mine = document.querySelector('#mine'); mine.files = list.files; mine.dispatchEvent(new Event('change')); }");
  check("a packed file is to be unpacked first", await until("document.querySelector('#nearest-list').textContent.includes('zstd -d run.jsonl.zst')"), await run("document.querySelector('#nearest-list').textContent"));

  // A wide screen.
  await tell("Emulation.setDeviceMetricsOverride", { width: 1400, height: 900, deviceScaleFactor: 1, mobile: false });
  await open("#sort=Best+lane%2C+per+price", "serve.html");
  check("the price is in view", await run("document.querySelector('th[data-lane=\"Best lane, per price\"]').getBoundingClientRect().right < 1300"), await run("document.querySelector('th[data-lane=\"Best lane, per price\"]').getBoundingClientRect().right"));
  check("rows are sorted by the price, those without one last", await run("{ const prices = [...document.querySelectorAll('tbody td[data-lane=\"Best lane, per price\"]')].map((cell) => Number(cell.dataset.value ?? Infinity)); prices[0] < 0 && prices.at(-1) === Infinity && prices.every((price, place) => place === 0 || prices[place - 1] <= price) }"), null);
  check("the bar is in line with the page", await run("document.querySelector('.bar .name').getBoundingClientRect().left === document.querySelector('h1').getBoundingClientRect().left"), await run("document.querySelector('.bar .name').getBoundingClientRect().left"));
  await tell("Emulation.clearDeviceMetricsOverride");
  await open("");

  // The pages that the index links to.
  const first = await run("document.querySelector('tbody tr[data-facts] th a').href");
  await follow("tbody tr[data-facts] th a");
  check("a row leads to its machine", await until(`location.href === ${JSON.stringify(first)} && document.readyState === 'complete' && document.querySelectorAll('.heat tr').length > 8`), await run("location.href"));
  await follow(".links a");
  check("and back", await until("location.pathname.endsWith('/index.html') && document.readyState === 'complete'"), await run("location.href"));

  // Phone width: only the tables' own frames scroll sideways.
  await tell("Emulation.setDeviceMetricsOverride", { width: 375, height: 800, deviceScaleFactor: 1, mobile: true });
  for (const page of await run("[...document.querySelectorAll('.links a')].map((link) => link.href).concat(" + JSON.stringify(first) + ")")) {
    await tell("Page.navigate", { url: page });
    check("a page is there", await until(`location.href === ${JSON.stringify(page)} && document.readyState === 'complete'`), page);
    check("a phone needs no sideways scrolling", await run("document.documentElement.scrollWidth <= 376"), page + " " + (await run("document.documentElement.scrollWidth")));
  }
  await tell("Emulation.clearDeviceMetricsOverride");

  // Without a script every table is readable.
  await tell("Emulation.setScriptExecutionDisabled", { value: true });
  await tell("Page.navigate", { url: first.replace(/m\/.*/, "index.html") });
  await new Promise((resolve) => setTimeout(resolve, 1000));
  const { root } = await tell("DOM.getDocument", { depth: 1 });
  const { nodeIds } = await tell("DOM.querySelectorAll", { nodeId: root.nodeId, selector: "tbody tr[data-facts] td b" });
  check("the tables read without a script", nodeIds.length > 100, nodeIds.length);
  await tell("Emulation.setScriptExecutionDisabled", { value: false });
}, ["", "serve.html", "across.html", machine]);
