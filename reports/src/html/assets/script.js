"use strict";
(() => {
  const root = document.documentElement;
  const one = (query, from = document) => from.querySelector(query);
  const all = (query, from = document) => [...from.querySelectorAll(query)];
  root.classList.add("js");

  // The state is in the URL's fragment: theme, hidden lanes, search, place.
  const read = () => {
    const raw = location.hash.slice(1);
    if (raw.includes("=")) return new URLSearchParams(raw);
    let text = raw;
    try { text = decodeURIComponent(raw); } catch { /* A mangled link: as it stands. */ }
    return new URLSearchParams(text ? { at: text } : {});
  };
  const write = (changes) => {
    const state = read();
    for (const [key, value] of Object.entries(changes)) {
      if (value) state.set(key, value); else state.delete(key);
    }
    const keys = [...state.keys()];
    const text = keys.length === 1 && keys[0] === "at" ? state.get("at") : state.toString();
    history.replaceState(null, "", text ? "#" + text : location.pathname + location.search);
  };

  // The facts of a row of machines, by their names.
  const facts = (row) => new Map((row.dataset.facts || "").split("\n").map((line) => { const at = line.indexOf("="); return [line.slice(0, at), line.slice(at + 1)]; }));
  const theme = one("#theme");
  // Sorts the rows of a table of machines by the cells of one column, those without a figure last;
  // without a column, in the original order.
  const sort = (table, name) => {
    const head = one("thead tr", table), body = one("tbody", table);
    const column = [...head.cells].findIndex((part) => name && part.dataset.lane === name);
    for (const [index, part] of [...head.cells].entries()) {
      if (index === column) part.setAttribute("aria-sort", "ascending"); else part.removeAttribute("aria-sort");
    }
    const rows = [...body.rows];
    rows.forEach((row, index) => { row.dataset.place ||= index + 1; });
    const value = (row) => (column < 0 ? Number(row.dataset.place) : Number(row.cells[column].dataset.value ?? Infinity));
    body.append(...rows.sort((a, b) => value(a) - value(b) || a.dataset.place - b.dataset.place));
  };
  const apply = () => {
    const state = read();
    const chosen = ["light", "dark"].includes(state.get("theme")) ? state.get("theme") : "auto";
    if (chosen === "auto") root.removeAttribute("data-theme"); else root.dataset.theme = chosen;
    theme.value = chosen;
    const hidden = new Set((state.get("hide") || "").split(",").filter(Boolean));
    for (const box of all("[data-filter]")) box.checked = !hidden.has(box.dataset.filter);
    for (const part of all("[data-lane]")) part.hidden = hidden.has(part.dataset.lane);
    const words = (state.get("find") || "").toLowerCase().split(/[\s,]+/).filter(Boolean);
    const find = one("#find");
    if (find && find !== document.activeElement) find.value = state.get("find") || "";
    // A machine has all words; a question has one of them.
    const shown = (part) => {
      const has = (word) => part.textContent.toLowerCase().includes(word) || part.dataset.workload.includes(word);
      return part.dataset.facts ? words.every(has) : !words.length || words.some(has);
    };
    const picks = all("select[data-pick]").map((pick) => {
      pick.value = state.get(pick.dataset.pick) || "";
      return [pick.dataset.pick, pick.value];
    }).filter(([, value]) => value);
    const picked = (part) => !picks.length || !part.dataset.facts || picks.every(([name, value]) => facts(part).get(name) === value);
    for (const part of all("[data-workload]")) part.hidden = !shown(part) || !picked(part) || hidden.has(part.dataset.lane);
    for (const table of all("table[data-sorts]")) sort(table, state.get("sort") || table.dataset.sorts);
    const count = one("#count");
    if (count) {
      const machines = all("tr[data-facts]"), left = machines.filter((row) => !row.hidden).length;
      count.textContent = left === machines.length ? "" : left ? `${left} of ${machines.length} setups` : "No setup is left. “Show all” takes the filters back.";
    }
    for (const group of all("[data-group]")) group.hidden = all("details.question", group).every((part) => part.hidden);
  };
  // Opens all folded parts around a part, and the part itself.
  const show = (target) => {
    const folded = target.matches("details") ? target : one(":scope > details.part", target);
    if (folded) folded.open = true;
    for (let part = target.parentElement?.closest("details"); part; part = part.parentElement?.closest("details")) part.open = true;
    return target;
  };
  const go = () => {
    const at = read().get("at");
    const target = at && document.getElementById(at);
    if (target) show(target).scrollIntoView();
  };
  theme.addEventListener("change", () => { write({ theme: theme.value === "auto" ? "" : theme.value }); apply(); });
  for (const box of all("[data-filter]")) {
    box.addEventListener("change", () => {
      write({ hide: all("[data-filter]").filter((each) => !each.checked).map((each) => each.dataset.filter).join(",") });
      apply();
    });
  }
  one("#find")?.addEventListener("input", (event) => { write({ find: event.target.value }); apply(); });
  for (const pick of all("select[data-pick]")) pick.addEventListener("change", () => { write({ [pick.dataset.pick]: pick.value }); apply(); });
  one("#reset")?.addEventListener("click", () => {
    write({ hide: "", find: "", sort: "", ...Object.fromEntries(all("select[data-pick]").map((pick) => [pick.dataset.pick, ""])) });
    one("#find").value = "";
    apply();
  });
  for (const link of all('a[href^="#"]')) {
    link.addEventListener("click", (event) => {
      const id = link.getAttribute("href").slice(1);
      const target = document.getElementById(id);
      if (!target) return;
      event.preventDefault();
      write({ at: id === "top" ? "" : id });
      show(target).scrollIntoView();
      target.setAttribute("tabindex", "-1");
      target.focus({ preventScroll: true });
    });
  }
  addEventListener("hashchange", () => { apply(); go(); });
  apply();
  go();

  // Keys: t theme, / search, j and k next and previous question.
  addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || /^(input|select|textarea)$/i.test(event.target.tagName)) return;
    if (event.key === "t") {
      const next = { auto: "light", light: "dark", dark: "auto" }[theme.value];
      write({ theme: next === "auto" ? "" : next });
      apply();
    } else if (event.key === "/" && one("#find")) {
      event.preventDefault();
      one("#find").focus();
    } else if (event.key === "j" || event.key === "k") {
      const parts = all("details.question").filter((part) => part.offsetParent);
      const tops = parts.map((part) => part.getBoundingClientRect().top - 80);
      const index = event.key === "j" ? tops.findIndex((top) => top > 1) : tops.findLastIndex((top) => top < -1);
      parts[index]?.scrollIntoView();
    }
  });

  // Copy a table as CSV.
  const cell = (text) => {
    let value = text.replace(/\s+/g, " ").trim();
    // A spreadsheet must not interpret a name as a formula.
    if (/^[=+\-@\t]/.test(value) && !/^[+-]?[\d.]/.test(value)) value = "'" + value;
    return /[",\n]/.test(value) ? '"' + value.replaceAll('"', '""') + '"' : value;
  };
  const csv = (table) => all("tr", table).filter((row) => !row.hidden)
    .map((row) => all("th, td", row).filter((part) => !part.hidden).map((part) => cell([...part.childNodes].map((node) => node.textContent).join(" "))).join(",")).join("\n");
  for (const button of all("[data-copy]")) {
    button.addEventListener("click", async () => {
      const table = one("table", button.closest(".under").previousElementSibling);
      const text = csv(table);
      let done = false;
      try { await navigator.clipboard.writeText(text); done = true; } catch {
        const area = document.createElement("textarea");
        area.value = text;
        document.body.append(area);
        area.select();
        done = document.execCommand("copy");
        area.remove();
      }
      const old = button.textContent;
      button.textContent = done ? "Copied" : "Could not copy";
      setTimeout(() => { button.textContent = old; }, 1500);
    });
  }
  let opened = [];
  addEventListener("beforeprint", () => { opened = all("details:not([open])"); for (const part of opened) part.open = true; });
  addEventListener("afterprint", () => { for (const part of opened) part.open = false; });

  const make = (name, text, kind) => {
    const part = document.createElement(name);
    if (text !== undefined) part.textContent = text;
    if (kind) part.className = kind;
    return part;
  };

  // Tables of machines: sorting by a column, two rows side by side, the rows nearest to a file.
  for (const part of all("table[data-sorts] thead th[data-lane]")) {
    const button = make("button", "sort", "sort");
    button.type = "button";
    button.setAttribute("aria-label", "Sort by " + part.dataset.lane);
    button.addEventListener("click", () => { write({ sort: read().get("sort") === part.dataset.lane ? "" : part.dataset.lane }); apply(); });
    part.prepend(button);
  }
  const rows = all("table[data-sorts] tbody tr");
  const place = (row) => one("th a", row).getAttribute("href");
  const called = (row) => all("th > :not(.disturbed)", row).map((part) => part.innerText).join(" ").replace(/\s+/g, " ").trim();
  const sides = [one("#two-a"), one("#two-b")];
  if (sides[0] && rows.length) {
    const names = ["a", "b"];
    const draw = () => {
      const state = read(), pair = names.map((name) => rows.find((row) => place(row) === state.get(name)));
      sides.forEach((side, index) => { side.value = pair[index] ? place(pair[index]) : ""; });
      const table = one("#two-table");
      table.replaceChildren();
      if (pair.some((row) => !row)) return;
      const body = make("tbody");
      const line = (head, cells, differs) => {
        const row = make("tr", undefined, differs ? "differs" : ""), name = make("th", head);
        name.scope = "row";
        row.append(name, ...cells);
        body.append(row);
      };
      line("", pair.map((row) => { const cell = make("td", undefined, "words"), link = make("a", called(row)); link.href = place(row); cell.append(link); return cell; }), false);
      const known = pair.map(facts);
      for (const name of known[0].keys()) line(name.replaceAll("-", " "), known.map((own) => make("td", own.get(name), "words")), known[0].get(name) !== known[1].get(name));
      all("thead th", rows[0].closest("table")).forEach((head, index) => {
        if (index === 0) return;
        const cells = pair.map((row) => { const cell = row.cells[index].cloneNode(true); cell.hidden = false; delete cell.dataset.lane; return cell; });
        const [first, second] = cells.map((cell) => (cell.dataset.range || "").split(" ").map(Number));
        line((one("a", head) || head).textContent, cells, first[1] < second[0] || second[1] < first[0]);
      });
      table.append(body);
    };
    sides.forEach((side, index) => {
      const none = make("option", "choose");
      none.value = "";
      const options = rows.map((row) => { const option = make("option", called(row)); option.value = place(row); return option; });
      side.append(none, ...options.sort((a, b) => a.textContent.localeCompare(b.textContent, undefined, { numeric: true })));
      side.addEventListener("change", () => { write({ [names[index]]: side.value }); draw(); });
    });
    addEventListener("hashchange", draw);
    draw();
  }
  const mine = one("#mine");
  if (mine) {
    const list = one("#nearest-list");
    const words = (text) => new Set(text.toLowerCase().split(/[^a-z0-9]+/).filter(Boolean));
    const near = (machine) => (row) => {
      const own = facts(row), cpu = words(own.get("CPU")), wanted = words(machine.cpu_model || "");
      const shared = [...wanted].filter((word) => cpu.has(word)).length / Math.max(1, wanted.size, cpu.size);
      const times = (a, b) => (a > 0 && b > 0 ? Math.abs(Math.log2(a / b)) : 2);
      return 8 * (own.get("architecture") !== machine.architecture) + 4 * (1 - shared) + times(machine.cores_count, Number(own.get("cores"))) + times(machine.threads_count, Number(own.get("threads")))
        + (own.get("virtual").startsWith("bare metal") !== (machine.hypervisor === "none") ? 1 : 0);
    };
    const look = async (file) => {
      list.replaceChildren();
      try {
        // Each file packed by zstd begins so.
        if (String(new Uint8Array(await file.slice(0, 4).arrayBuffer())) === "40,181,47,253") {
          list.append(make("li", `This file is packed. Unpack it first: zstd -d ${file.name}`));
          return;
        }
        // The header is the first line, and is always shorter than this.
        const text = await file.slice(0, 4_000_000).text();
        const far = near(JSON.parse(text.split("\n", 1)[0]).host.machine);
        const nearest = rows.map((row) => [far(row), row]).sort(([a], [b]) => a - b).slice(0, 5);
        for (const [, row] of nearest) {
          const item = make("li"), link = make("a", called(row));
          link.href = place(row);
          item.append(link);
          list.append(item);
        }
      } catch { list.append(make("li", "This is no run.jsonl: its first line is no header.")); }
    };
    mine.addEventListener("change", () => { if (mine.files[0]) look(mine.files[0]); });
    addEventListener("dragover", (event) => event.preventDefault());
    addEventListener("drop", (event) => { event.preventDefault(); if (event.dataTransfer.files[0]) look(event.dataTransfer.files[0]); });
  }
})();
