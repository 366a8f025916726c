"""What a page can do in a browser: sort, filter, point out. All numbers come from Python.

Without it a page is complete. Tables sort by `data-v` of their cells, or by their text, the best
first (`data-b` of a title). Rows and points that bear the same `data-c` are of one cell. What is
filtered and sorted stands in the address of the page, so that a link shows the same.
"""

SCRIPT = r"""
"use strict";
const MOST = 60;
const all = (query, root = document) => [...root.querySelectorAll(query)];
const make = (tag, text, name = "") => Object.assign(document.createElement(tag),
  { textContent: text, className: name });
const state = new URLSearchParams(location.hash.slice(1));
const remember = (key, value) => {
  if (value) state.set(key, value); else state.delete(key);
  history.replaceState(null, "", "#" + state);
};

// Sorting, and the first rows only of long tables.
const tables = all("table.sort").map((table, number) => {
  const body = table.tBodies[0], rows = [...body.rows];
  const one = { table, body, rows, number, out: new Set(), whole: rows.length <= MOST };
  if (!one.whole) {
    one.more = make("button", "", "more");
    one.more.type = "button";
    one.more.addEventListener("click", () => { one.whole = true; show(one); });
    table.closest(".card").after(one.more);
  }
  all("th button", table).forEach((button) => button.addEventListener("click", () => {
    const head = button.parentNode, was = head.getAttribute("aria-sort");
    const first = head.dataset.b === "higher" ? "descending" : "ascending";
    const other = first === "ascending" ? "descending" : "ascending";
    sort(one, head.cellIndex, was === first ? other : first);
    remember("sort" + number, head.cellIndex + "." + head.getAttribute("aria-sort"));
  }));
  return one;
});
function show(one) {
  let shown = 0, hidden = 0;
  for (const row of one.rows) {
    const out = one.out.has(row), late = !out && !one.whole && shown >= MOST;
    row.hidden = out;
    row.classList.toggle("late", late);  // which paper shows
    if (late) hidden += 1; else if (!out) shown += 1;
  }
  if (one.more) {
    one.more.hidden = !hidden;
    one.more.textContent = "show " + hidden + " more";
  }
}
function sort(one, column, direction) {
  const head = one.table.tHead.rows[0].cells[column];
  if (!head) return;
  for (const other of head.parentNode.cells) other.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", direction);
  const keys = new Map(one.rows.map((row) => {
    const cell = row.cells[column];
    const v = cell.dataset.v ?? cell.textContent.toLowerCase();
    return [row, v === "" || v === "–" ? "" : isNaN(v) ? v : Number(v)];
  }));
  const up = direction === "ascending";
  one.rows.sort((a, b) => {
    const x = keys.get(a), y = keys.get(b);
    if (x === y) return 0;
    if (x === "") return 1;
    if (y === "") return -1;
    return (x < y) === up ? -1 : 1;
  });
  show(one);
  one.body.append(...one.rows);
}

// Filters: of the rows that say what they are, and of their points.
const bar = document.querySelector(".filters");
const points = all("svg [data-c]");
function filter() {
  const wanted = all("select", bar).map((field) => [field.name, field.value]);
  const front = document.getElementById("front").checked;
  const word = document.getElementById("word").value.toLowerCase();
  const out = new Set();
  let left = 0;
  for (const row of all("tr[data-all]")) {
    const is = row.dataset;
    const fits = wanted.every(([name, value]) => !value || is[name] === value)
      && (!front || is.front) && (!word || is.c.toLowerCase().includes(word));
    if (fits) left += 1; else out.add(is.c);
  }
  for (const one of tables) {
    one.out = new Set(one.rows.filter((row) => out.has(row.dataset.c)));
    show(one);
  }
  for (const point of points) point.classList.toggle("out", out.has(point.dataset.c));
  document.getElementById("left").textContent = left + " cells";
}
if (bar) {
  bar.hidden = false;
  for (const field of all("select, input", bar)) {
    const value = state.get(field.name || field.id);
    if (field.type === "checkbox") field.checked = value === "1";
    else if (value !== null) field.value = value;
    field.addEventListener("input", () => {
      remember(field.name || field.id,
        field.type === "checkbox" ? (field.checked ? "1" : "") : field.value);
      filter();
    });
  }
  filter();
}
for (const one of tables) {
  show(one);
  const told = /^(\d+)\.(ascending|descending)$/.exec(state.get("sort" + one.number) || "");
  if (told) sort(one, Number(told[1]), told[2]);
}
const few = document.getElementById("few");
if (few) {
  few.hidden = false;
  const set = (on) => {
    document.body.classList.toggle("few", on);
    few.textContent = on ? "show all columns" : "show fewer columns";
  };
  set(state.get("columns") !== "all");
  few.addEventListener("click", () => {
    const on = !document.body.classList.contains("few");
    set(on);
    remember("columns", on ? "" : "all");
  });
}

// Points: what they are, on hover, focus and tap; and the rows of the same cell.
const tip = make("div", "", "tip");
tip.hidden = true;
document.body.append(tip);
const mark = (cell, on) => {
  for (const same of all("[data-c]")) {
    if (same.dataset.c === cell) same.classList.toggle("same", on);
  }
};
let shown = null;
const close = () => {
  if (shown) mark(shown.dataset.c, false);
  shown = null;
  tip.hidden = true;
};
const open = (point) => {
  close();
  shown = point;
  mark(point.dataset.c, true);
  tip.textContent = point.getAttribute("aria-label");
  tip.hidden = false;
  const box = point.getBoundingClientRect(), wide = document.documentElement.clientWidth;
  const left = Math.max(8, Math.min(box.right + 8, wide - tip.offsetWidth - 8));
  tip.style.left = left + scrollX + "px";
  tip.style.top = box.bottom + 6 + scrollY + "px";
};
for (const point of points) {
  const title = point.querySelector("title");
  if (title) {
    point.setAttribute("aria-label", title.textContent);
    title.remove();
  }
  for (const event of ["pointerenter", "focus", "click"]) {
    point.addEventListener(event, () => open(point));
  }
  point.addEventListener("pointerleave", close);
  point.addEventListener("blur", close);
}
for (const row of all("tr[data-c]")) {
  row.addEventListener("pointerenter", () => mark(row.dataset.c, true));
  row.addEventListener("pointerleave", () => mark(row.dataset.c, false));
}
addEventListener("keydown", (event) => { if (event.key === "Escape") close(); });
"""
