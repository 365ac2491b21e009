"use strict";
// The page's behaviour. All text goes in as text: nothing that came from a build is ever markup.
const data = JSON.parse(document.getElementById("data").textContent);
const LETTERS = {
  ok: "·", crash: "C", "broken-forward": "F", "wrong-heads": "H", desync: "D", "wrong-shape": "S",
  "wrong-selection": "W", "wrong-output": "O", "side-effect": "E", timeout: "T", killed: "K",
  untestable: "?", "not-applicable": "–",
};
const text = (index) => (index === undefined ? "" : data.texts[index]);
const byId = (id) => document.getElementById(id);

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name === "class") element.className = value;
    else if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

// --- what is asked for: in the address, so that a view can be linked -----------------------------

const plain = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
const axes = [...new Set(data.cells.flatMap((cell) => Object.keys(cell.config)))].filter(
  (axis) => new Set(data.cells.map((cell) => plain(cell.config[axis]))).size > 1,
);
const unique = (values) => [...new Set(values)];
const CHOICES = {
  transformers: data.lines,
  build: data.builds,
  model: unique(data.cells.map((cell) => cell.model)).sort(),
  verdict: Object.keys(LETTERS).filter((kind) => data.rows.some((row) => row.verdict === kind)),
  defect: data.defects.map((defect) => defect.id),
  outcome: unique(data.rows.map((row) => row.outcome)).sort(),
  ...Object.fromEntries(axes.map((axis) => [axis, unique(data.cells.map((cell) => plain(cell.config[axis])))])),
};
const view = new URLSearchParams();

function readAddress() {
  for (const name of [...view.keys()]) view.delete(name);
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (value && (name in CHOICES || name === "text" || name === "cell")) view.set(name, value);
  }
}

function writeAddress() {
  history.replaceState(null, "", view.size ? `#${view}` : location.pathname + location.search);
}

function choose(name, value) {
  if (value) view.set(name, value);
  else view.delete(name);
  writeAddress();
  draw();
}

// --- filters --------------------------------------------------------------------------------------

function drawFilters() {
  const form = byId("filters");
  form.addEventListener("submit", (event) => event.preventDefault());
  const words = make("input", { type: "search", name: "text", placeholder: "part of a cell's id" });
  let typing;
  words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => choose("text", words.value.trim()), 150);
  });
  form.append(make("label", {}, "words", words));
  for (const [name, values] of Object.entries(CHOICES)) {
    if (values.length < 2) continue;
    const select = make("select", { name, onchange: (event) => choose(name, event.target.value) });
    select.append(make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, value)));
    form.append(make("label", {}, name.replaceAll("_", " "), select));
  }
  form.append(make("button", { type: "button", id: "reset", onclick: () => { for (const n of [...view.keys()]) view.delete(n); writeAddress(); draw(); } }, "Show all"));
}

function showFilters() {
  for (const field of byId("filters").elements) {
    if (field.name && document.activeElement !== field) field.value = view.get(field.name) ?? "";
    else if (field.name && field.type !== "search") field.value = view.get(field.name) ?? "";
  }
}

// --- the heatmap ----------------------------------------------------------------------------------

const rowsByPlace = new Map();
data.rows.forEach((row, index) => rowsByPlace.set(`${row.line} ${row.cell} ${row.build}`, index));

const asked = (name, value) => !view.has(name) || view.get(name) === value;

function cellShown(cell) {
  const words = (view.get("text") ?? "").toLowerCase();
  return (
    asked("model", cell.model) &&
    (!words || cell.id.toLowerCase().includes(words)) &&
    axes.every((axis) => asked(axis, plain(cell.config[axis])))
  );
}

const rowShown = (row) =>
  asked("verdict", row.verdict) && asked("outcome", row.outcome) && asked("defect", row.defect ?? "");

// A cell stands with the defect that it shows most often.
function groupOf(rows) {
  const counts = new Map();
  for (const row of rows) if (row.defect) counts.set(row.defect, (counts.get(row.defect) ?? 0) + 1);
  if (rows.some((row) => row.outcome !== "expected")) return "not explained";
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0] ?? "no defect";
}

// Thousands of these are made at once: a copy costs least, and what only its reader needs waits until it has the focus.
const MODELS = Object.fromEntries(Object.entries(LETTERS).map(([kind, letter]) => [kind, make("td", { "data-v": kind }, letter)]));

function verdictCell(index) {
  const row = data.rows[index];
  const td = MODELS[row.verdict].cloneNode(true);
  td.dataset.row = index;
  if (row.outcome !== "expected") td.className = "unexplained";
  if (!rowShown(row)) td.classList.add("beside");
  return td;
}

function reachable(td) {
  for (const other of byId("heatmap").querySelectorAll("td[tabindex]")) other.removeAttribute("tabindex");
  const row = data.rows[Number(td.dataset.row)];
  td.ariaLabel = `${data.builds[row.build]}: ${row.verdict}`;
  td.tabIndex = 0;
}

function draw() {
  showFilters();
  const builds = data.builds.map((_, index) => index).filter((index) => asked("build", data.builds[index]));
  const groups = new Map();
  let shown = 0, hits = 0;
  data.lines.forEach((name, line) => {
    if (!asked("transformers", name)) return;
    data.cells.forEach((cell, number) => {
      if (!cellShown(cell)) return;
      const found = builds.map((build) => rowsByPlace.get(`${line} ${number} ${build}`));
      const rows = found.filter((index) => index !== undefined).map((index) => data.rows[index]);
      const matching = rows.filter(rowShown).length;
      if (!matching) return;
      shown += 1;
      hits += matching;
      const group = `${cell.model}: ${groupOf(rows)}`;
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push({ cell, line: name, found });
    });
  });
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "cell"), ...builds.map((b) => make("th", { scope: "col" }, data.builds[b]))));
  const bodies = [...groups].sort(([a], [b]) => a.localeCompare(b)).map(([group, members]) => {
    const body = make("tbody");
    body.append(make("tr", { class: "group" }, make("th", { colspan: String(builds.length + 1), scope: "rowgroup" }, `${group} (${members.length})`)));
    for (const { cell, line, found } of members) {
      const label = data.lines.length > 1 && !view.has("transformers") ? `${cell.id} (${line})` : cell.id;
      const tr = make("tr", {}, make("th", { scope: "row", title: label }, label));
      for (const index of found) tr.append(index === undefined ? document.createElement("td") : verdictCell(index));
      body.append(tr);
    }
    return body;
  });
  const widths = make("colgroup", {}, make("col", { class: "name" }), ...builds.map(() => make("col")));
  byId("heatmap").replaceChildren(widths, head, ...bodies);
  const first = byId("heatmap").querySelector("td[data-row]");
  if (first) reachable(first);
  byId("shown").textContent = `${shown} cells shown, ${hits} of ${data.rows.length} verdicts`;
  const wanted = view.get("cell");
  if (wanted) open(wanted);
  else if (byId("details").open) byId("details").close();
}

function drawLegend() {
  byId("legend").textContent =
    CHOICES.verdict.map((kind) => `${LETTERS[kind]} ${kind}`).join(", ") +
    "; outlined: not explained by a known defect. Arrow keys move, Enter opens a cell.";
}

function move(event) {
  const here = event.target.closest("td[data-row]");
  if (!here) return;
  if (event.key === "Enter" || event.key === " ") {
    event.preventDefault();
    return show(Number(here.dataset.row));
  }
  const column = here.cellIndex;
  const all = [...byId("heatmap").querySelectorAll("tbody tr:not(.group)")];
  const at = all.indexOf(here.parentElement);
  const next = {
    ArrowRight: () => here.nextElementSibling,
    ArrowLeft: () => here.previousElementSibling,
    ArrowDown: () => all[at + 1]?.cells[column],
    ArrowUp: () => all[at - 1]?.cells[column],
    Home: () => here.parentElement.cells[1],
    End: () => here.parentElement.lastElementChild,
  }[event.key]?.();
  if (next?.dataset.row === undefined) return;
  event.preventDefault();
  reachable(next);
  next.focus();
}

// --- one cell -------------------------------------------------------------------------------------

const nameOf = (row) => `${data.lines[row.line]}/${data.builds[row.build]}/${data.cells[row.cell].id}`;

function show(index) {
  choose("cell", nameOf(data.rows[index]));
}

function open(name) {
  const row = data.rows.find((candidate) => nameOf(candidate) === name);
  const body = byId("details-body");
  if (!row) return;
  const cell = data.cells[row.cell];
  const defect = data.defects.find((known) => known.id === row.defect);
  const build = data.builds[row.build];
  const session = `headcount(transformers='${data.lines[row.line]}')`;
  const list = make("dl");
  const add = (term, ...content) => list.append(make("dt", {}, term), make("dd", {}, ...content));
  add("verdict", `${row.verdict}${text(row.reason) ? `: ${text(row.reason)}` : ""}`);
  add("outcome", row.outcome);
  if (row.signature !== undefined) add("signature", make("code", {}, text(row.signature)));
  const config = Object.entries(cell.config).map(([key, value]) => `${key}=${plain(value)}`).join(", ");
  add("call", make("code", {}, config));
  const parts = [make("h2", { id: "details-title" }, `${build}, transformers ${data.lines[row.line]}: ${cell.id}`), list, counts(cell, row)];
  if (defect) {
    add("known defect", `${defect.id}: ${defect.title}`);
    add("cause", defect.cause);
    add("it breaks", `“${defect.breaks}” (${defect.source})`);
    if (/^https:\/\/github\.com\//.test(defect.upstream)) add("upstream", make("a", { href: defect.upstream, rel: "noopener noreferrer" }, defect.upstream));
  }
  if (row.traceback !== undefined) parts.push(make("h3", {}, "traceback, or what was printed"), make("pre", { tabindex: "0" }, text(row.traceback)));
  if (row.verdict !== "ok" && row.verdict !== "not-applicable") {
    parts.push(copyable("this very cell as a file", `nox -s "${session}" -- emit ${cell.id} --build ${build}`));
    if (defect?.reproducer) parts.push(copyable(`the defect's reproducer: ${defect.file}`, defect.reproducer));
  }
  body.replaceChildren(...parts);
  if (!byId("details").open) byId("details").showModal();
}

// Expectation beside observation: what may be left, and what was.
function counts(cell, row) {
  const seen = new Map(text(row.seen).split("\n").filter(Boolean).map((line) => {
    const at = line.lastIndexOf(": ");
    return [line.slice(0, at), line.slice(at + 2)];
  }));
  const names = unique([...Object.keys(cell.expected), ...seen.keys()]);
  if (!names.length) return make("p", { class: "small" }, "Nothing was left to be counted.");
  const table = make("table", { class: "plain" }, make("thead", {}, make("tr", {}, ...["", "should be left", "was left"].map((word) => make("th", { scope: "col" }, word)))));
  table.append(make("tbody", {}, ...names.map((name) => {
    const [should, was] = [cell.expected[name] ?? "", seen.get(name) ?? ""];
    const differs = /^\d+$/.test(should) && was && was !== should;
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, should), make("td", differs ? { class: "differs" } : {}, differs ? `${was} ✗` : was));
  })));
  return make("div", { class: "scroll" }, table);
}

function copyable(title, content) {
  const pre = make("pre", { tabindex: "0" }, content);
  const button = make("button", { type: "button", class: "copy", onclick: async () => { button.textContent = (await copy(content)) ? "Copied" : "Select it and copy"; } }, "Copy");
  return make("section", {}, make("h3", {}, title, " ", button), pre);
}

async function copy(content) {
  try {
    await navigator.clipboard.writeText(content);
    return true;
  } catch { // from disk there may be no clipboard: the old way
    const area = make("textarea", { readonly: "" });
    area.value = content;
    byId("details-body").append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

// --- defects over the builds ----------------------------------------------------------------------

function drawTimeline() {
  const shown = new Map(data.defects.map((defect) => [defect.id, new Map()]));
  for (const row of data.rows) {
    const builds = shown.get(row.defect);
    if (builds) builds.set(row.build, (builds.get(row.build) ?? 0) + 1);
  }
  const head = make("tr", {}, make("th", { scope: "col" }, "defect"), ...data.builds.map((build) => make("th", { scope: "col" }, build)), make("th", { scope: "col" }, "in short"));
  const rows = data.defects.map((defect) => {
    const found = shown.get(defect.id);
    const name = make("button", { type: "button", class: "link", title: defect.title, onclick: () => choose("defect", defect.id) }, defect.id);
    const marks = data.builds.map((build, index) => {
      const count = found.get(index);
      const mark = make("td", { class: "mark" }, count ? "X" : "·");
      mark.ariaLabel = count ? `${build}: in ${count} cells` : `${build}: not seen`;
      if (count) mark.dataset.v = "crash"; else mark.dataset.v = "ok";
      return mark;
    });
    return make("tr", {}, make("th", { scope: "row" }, name), ...marks, make("td", {}, story(found)));
  });
  byId("timeline").append(make("thead", {}, head), make("tbody", {}, ...rows));
}

function story(found) {
  const parts = [];
  data.builds.forEach((build, index) => {
    if (found.has(index) && index && !found.has(index - 1)) parts.push(`introduced in ${build}`);
    if (!found.has(index) && found.has(index - 1)) parts.push(`fixed in ${build}`);
  });
  if (found.has(0)) parts.unshift(`there from ${data.builds[0]}`);
  return parts.join(", ");
}

byId("heatmap").addEventListener("click", (event) => {
  const td = event.target.closest("td[data-row]");
  if (td) show(Number(td.dataset.row));
});
byId("heatmap").addEventListener("keydown", move);
byId("details").addEventListener("close", () => {
  const name = view.get("cell");
  if (!name) return;
  view.delete("cell");
  writeAddress();
  const index = data.rows.findIndex((row) => nameOf(row) === name);
  const td = byId("heatmap").querySelector(`td[data-row="${index}"]`);
  if (!td) return;
  reachable(td);
  td.focus();
});
addEventListener("hashchange", () => { readAddress(); draw(); });
drawFilters();
drawLegend();
drawTimeline();
readAddress();
draw();
document.documentElement.dataset.ready = "yes";
