"use strict";
// The page's behaviour. All text goes in as text: nothing that came from a build is ever markup.
const data = JSON.parse(document.getElementById("data").textContent);
const LETTERS = {
  ok: "·", crash: "C", "broken-forward": "F", "wrong-heads": "H", desync: "D", "wrong-shape": "S",
  "wrong-selection": "W", "wrong-output": "O", "side-effect": "E", "broken-use": "U", timeout: "T", killed: "K",
  untestable: "?", "not-applicable": "–",
};
const text = (index) => (index === undefined ? "" : data.texts[index]);
// The newest release comes first, where it is seen on any screen; builds that are no releases come before all.
const isRelease = (name) => /^\d+\.\d+\.\d+$/.test(name);
const YOURS = " (yours)"; // of a file that the reader added
let ORDER;

function order() {
  const places = data.builds.map((_, index) => index);
  const [releases, others] = [true, false].map((is) => places.filter((index) => isRelease(data.builds[index]) === is));
  const [yours, theirs] = [true, false].map((is) => others.filter((index) => data.builds[index].endsWith(YOURS) === is));
  ORDER = [...yours, ...theirs, ...releases.reverse()];
}

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

// --- the view: in the address, so that it can be linked ------------------------------------------

const OWN = ["text", "cell", "transformers", "build", "model", "verdict", "defect", "outcome"];
const plain = (value) => (value !== null && typeof value === "object" ? JSON.stringify(value) : String(value));
let axes, CHOICES;
const unique = (values) => [...new Set(values)];
const filterOf = (axis) => (OWN.includes(axis) ? `config ${axis}` : axis); // a parameter may be named as we name ours

// What there is to choose from: again, where a file was added.
function choices() {
  axes = [...new Set(data.cells.flatMap((cell) => Object.keys(cell.config)))].filter(
    (axis) => new Set(data.cells.map((cell) => plain(cell.config[axis]))).size > 1,
  );
  CHOICES = {
    transformers: data.transformers,
    build: data.builds,
    model: unique(data.cells.map((cell) => cell.model)).sort(),
    verdict: Object.keys(LETTERS).filter((kind) => data.rows.some((row) => row.verdict === kind)),
    defect: data.defects.map((defect) => defect.id),
    outcome: unique(data.rows.map((row) => row.outcome)).sort(),
    ...Object.fromEntries(axes.map((axis) => [filterOf(axis), unique(data.cells.map((cell) => plain(cell.config[axis])))])),
  };
}

const view = new URLSearchParams();

function readAddress() {
  for (const name of [...view.keys()]) view.delete(name);
  for (const [name, value] of new URLSearchParams(location.hash.slice(1))) {
    if (value && (Object.hasOwn(CHOICES, name) || name === "text" || name === "cell")) view.set(name, value);
  }
}

// Each view is a step that the browser's back button undoes; while someone types it is one step.
function writeAddress(replace = false) {
  const address = view.size ? `#${view}` : location.pathname + location.search;
  if (replace) history.replaceState(null, "", address);
  else history.pushState(null, "", address);
}

function choose(name, value, replace = false) {
  if (value) view.set(name, value);
  else view.delete(name);
  writeAddress(replace);
  draw();
}

// --- filters --------------------------------------------------------------------------------------

function drawFilters() {
  const form = byId("filters");
  form.replaceChildren();
  const words = make("input", { type: "search", name: "text", placeholder: "part of a cell's id" });
  let typing;
  words.addEventListener("input", () => {
    clearTimeout(typing);
    typing = setTimeout(() => choose("text", words.value.trim(), true), 150);
  });
  form.append(make("label", {}, "words", words));
  // The call's own parameters are many: on a phone they are folded away.
  const parameters = make("div");
  const more = make("details", { id: "more" }, make("summary", {}, "parameters of the call"), parameters);
  more.open = matchMedia("(min-width: 45rem)").matches;
  for (const [name, values] of Object.entries(CHOICES)) {
    if (values.length < 2) continue;
    const select = make("select", { name, onchange: (event) => choose(name, event.target.value) });
    select.append(make("option", { value: "" }, "all"), ...values.map((value) => make("option", { value }, value)));
    (OWN.includes(name) ? form : parameters).append(make("label", {}, name.replaceAll("_", " "), select));
  }
  if (parameters.childElementCount) form.append(more);
  form.append(make("button", { type: "button", id: "reset", onclick: () => { for (const n of [...view.keys()]) view.delete(n); writeAddress(); draw(); } }, "Show all"));
}

function showFilters() {
  if ([...view.keys()].some((name) => !OWN.includes(name))) byId("more")?.setAttribute("open", "");
  for (const field of byId("filters").elements) {
    if (field.name && document.activeElement !== field) field.value = view.get(field.name) ?? "";
    else if (field.name && field.type !== "search") field.value = view.get(field.name) ?? "";
  }
}

// --- the heatmap ----------------------------------------------------------------------------------

const rowsByPlace = new Map();

function placeRows() {
  data.rows.forEach((row, index) => rowsByPlace.set(`${row.transformers} ${row.cell} ${row.build}`, index));
}

const chosen = (name, value) => !view.has(name) || view.get(name) === value;

function cellShown(cell) {
  const words = (view.get("text") ?? "").toLowerCase();
  return (
    chosen("model", cell.model) &&
    (!words || cell.id.toLowerCase().includes(words)) &&
    axes.every((axis) => chosen(filterOf(axis), plain(cell.config[axis])))
  );
}

const rowShown = (row) =>
  chosen("verdict", row.verdict) && chosen("outcome", row.outcome) && chosen("defect", row.defect ?? "");

// A cell stands in the group of the defect that it shows most often.
function groupOf(rows) {
  const counts = new Map();
  for (const row of rows) if (row.defect && row.verdict !== "ok") counts.set(row.defect, (counts.get(row.defect) ?? 0) + 1);
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
  const builds = ORDER.filter((index) => chosen("build", data.builds[index]));
  const groups = new Map();
  let shown = 0, hits = 0;
  data.transformers.forEach((name, version) => {
    if (!chosen("transformers", name)) return;
    data.cells.forEach((cell, number) => {
      if (!cellShown(cell)) return;
      const found = builds.map((build) => rowsByPlace.get(`${version} ${number} ${build}`));
      const rows = found.filter((index) => index !== undefined).map((index) => data.rows[index]);
      const matching = rows.filter(rowShown).length;
      if (!matching) return;
      shown += 1;
      hits += matching;
      const group = `${cell.model}: ${groupOf(rows)}${data.transformers.length > 1 ? `, transformers ${name}` : ""}`;
      if (!groups.has(group)) groups.set(group, []);
      groups.get(group).push({ cell, found });
    });
  });
  const head = make("thead", {}, make("tr", {}, make("th", { scope: "col" }, "cell"), ...builds.map((b) => make("th", { scope: "col" }, data.builds[b]))));
  const bodies = [...groups].sort(([a], [b]) => a.localeCompare(b)).map(([group, members]) => {
    const body = make("tbody");
    body.append(make("tr", { class: "group" }, make("th", { colspan: String(builds.length + 1), scope: "rowgroup" }, make("span", {}, `${group} (${members.length})`))));
    for (const { cell, found } of members) {
      const label = cell.id.startsWith(`${cell.model}-`) ? cell.id.slice(cell.model.length + 1) : cell.id;
      const tr = make("tr", {}, make("th", { scope: "row", title: cell.id }, label));
      for (const index of found) tr.append(index === undefined ? document.createElement("td") : verdictCell(index));
      body.append(tr);
    }
    return body;
  });
  const widths = make("colgroup", {}, make("col", { class: "name" }), ...builds.map(() => make("col")));
  byId("heatmap").replaceChildren(widths, head, ...bodies);
  const first = byId("heatmap").querySelector("td[data-row]");
  if (first) reachable(first);
  const strange = [...view].filter(([name, value]) => Object.hasOwn(CHOICES, name) && !CHOICES[name].includes(value));
  const hint = strange.length ? `; there is no ${strange.map(([name, value]) => `${name} ${value}`).join(", ")}` : "";
  byId("shown").textContent = `${shown} cells shown, ${hits} of ${data.rows.length} verdicts${hint}`;
  const cell = view.get("cell");
  if (cell) open(cell);
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
  const row = [...here.parentElement.cells];
  const ahead = { // in the order in which they are tried: where a build did not run a cell there is a hole
    ArrowRight: () => row.slice(column + 1),
    ArrowLeft: () => row.slice(0, column).reverse(),
    ArrowDown: () => all.slice(at + 1).map((tr) => tr.cells[column]),
    ArrowUp: () => all.slice(0, at).reverse().map((tr) => tr.cells[column]),
    Home: () => row,
    End: () => row.reverse(),
  }[event.key]?.();
  if (!ahead) return;
  event.preventDefault();
  const next = ahead.find((td) => td.dataset.row !== undefined);
  if (!next) return;
  reachable(next);
  next.focus();
}

// --- one cell -------------------------------------------------------------------------------------

const nameOf = (row) => `${data.transformers[row.transformers]}/${data.builds[row.build]}/${data.cells[row.cell].id}`;

function show(index) {
  choose("cell", nameOf(data.rows[index]));
}

// A word of a shell's command, whatever it holds.
const quoted = (word) => (/^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", `'\\''`)}'`);
const session = (version) => (/^[\w.]+$/.test(version) ? `"headcount(transformers='${version}')"` : quoted(`headcount(transformers='${version}')`));

function open(name) {
  const row = data.rows.find((candidate) => nameOf(candidate) === name);
  const body = byId("details-body");
  if (!row) {
    byId("shown").textContent += `; there is no cell ${name}`;
    return;
  }
  const cell = data.cells[row.cell];
  const defect = data.defects.find((known) => known.id === row.defect);
  const build = data.builds[row.build];
  const list = make("dl");
  const add = (term, ...content) => list.append(make("dt", {}, term), make("dd", {}, ...content));
  add("verdict", `${row.verdict}${text(row.reason) ? `: ${text(row.reason)}` : ""}`);
  add("outcome", row.outcome);
  if (row.looks_like) add("looks like", row.looks_like.join(" or "));
  if (row.signature !== undefined) add("signature", make("code", {}, text(row.signature)));
  const config = Object.entries(cell.config).map(([key, value]) => `${key}=${plain(value)}`).join(", ");
  add("call", make("code", {}, config));
  const parts = [make("h2", { id: "details-title" }, `${build}, transformers ${data.transformers[row.transformers]}: ${cell.id}`), list, counts(cell, row)];
  if (defect) {
    add("known defect", `${defect.id}: ${defect.title}`);
    if (row.verdict === "ok") add("but", "it is recorded for this cell, and does not show");
    add("severity", defect.severity);
    add("hits", defect.hits);
    add("cause", defect.cause);
    add("it breaks", `“${defect.breaks}” (${defect.source})`);
    if (/^https:\/\/github\.com\//.test(defect.upstream)) add("upstream", make("a", { href: defect.upstream, rel: "noopener noreferrer" }, defect.upstream));
  }
  if (row.traceback !== undefined) parts.push(make("h3", {}, "traceback, or what was printed"), make("pre", { tabindex: "0" }, text(row.traceback)));
  if (!["ok", "not-applicable", "untestable"].includes(row.verdict)) {
    parts.push(copyable("this very cell as a file", `nox -s ${session(data.transformers[row.transformers])} -- emit ${quoted(cell.id)} --build ${quoted(data.specs[row.build])}`));
    if (defect?.reproducer) parts.push(copyable(`the defect's reproducer: ${defect.file}`, defect.reproducer));
  }
  body.replaceChildren(...parts);
  if (!byId("details").open) byId("details").showModal();
}

// Expectation beside observation: what may be left, and what was.
function counts(cell, row) {
  const seen = new Map((row.left === undefined ? [] : data.left[row.left]).map((left) => [left.name, left]));
  const names = unique([...Object.keys(cell.expected), ...seen.keys()]);
  if (!Object.keys(cell.expected).length) return make("p", { class: "small" }, "This Headcount does not know the cell: what it should leave is not known.");
  const table = make("table", { class: "plain" }, make("thead", {}, make("tr", {}, ...["what", "should be left", "was left"].map((word) => make("th", { scope: "col" }, word)))));
  table.append(make("tbody", {}, ...names.map((name) => {
    const left = seen.get(name) ?? { seen: "", fits: true };
    const was = left.fits ? left.seen : `${left.seen} ✗`;
    return make("tr", {}, make("th", { scope: "row" }, name), make("td", {}, cell.expected[name] ?? ""), make("td", left.fits ? {} : { class: "differs" }, was));
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

const MARKS = { shows: ["X", "crash"], fine: ["·", "ok"], hidden: ["?", "hidden"], unknown: ["?", "unknown"] };
const SAID = { fine: "a cell that shows it elsewhere is fine", hidden: "every cell that shows it elsewhere fails in another way", unknown: "no cell that shows it elsewhere was tested" };

function drawTimeline() {
  const head = make("tr", {}, make("th", { scope: "col" }, "defect"), ...ORDER.map((index) => make("th", { scope: "col" }, data.builds[index])), make("th", { scope: "col" }, "in short"));
  const rows = data.defects.map((defect) => {
    const onclick = () => { choose("defect", defect.id); byId("cells-title").scrollIntoView(); };
    const name = make("button", { type: "button", class: "link", title: defect.title, onclick }, defect.id);
    const marks = ORDER.map((index) => {
      const { mark, cells } = defect.marks[index];
      const [sign, look] = MARKS[mark];
      const said = `${data.builds[index]}: ${SAID[mark] ?? `in ${cells} cells`}`;
      return make("td", { class: "mark", "data-v": look, title: said, "aria-label": said }, sign);
    });
    return make("tr", {}, make("th", { scope: "row" }, name), ...marks, make("td", {}, defect.story));
  });
  byId("timeline").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

// --- the answer: families and builds ----------------------------------------------------------------

const CRASHES = ["crash", "broken-forward", "broken-use", "timeout", "killed"];
const counted = (rows) => rows.filter((row) => row.verdict !== "not-applicable" && row.verdict !== "untestable");
const right = (rows) => rows.filter((row) => row.verdict === "ok").length;

function drawAnswer() {
  const first = ORDER[0];
  const of = new Map();
  for (const row of data.rows) {
    const key = `${data.cells[row.cell].model} ${row.build}`;
    if (!of.has(key)) of.set(key, []);
    of.get(key).push(row);
  }
  const newest = counted(data.rows.filter((row) => row.build === first));
  const defects = unique(newest.map((row) => row.defect).filter((id) => id)).length;
  byId("answer-words").textContent = `${data.builds[first]}: ${right(newest)} of ${newest.length} calls right; ${defects} known defects show.`;
  const head = make("tr", {}, make("th", { scope: "col" }, "family"), ...ORDER.map((index) => make("th", { scope: "col" }, data.builds[index])));
  // In the order of the matrix, which begins with what most people prune.
  const rows = unique(data.cells.map((cell) => cell.model)).map((model) => {
    const onclick = () => { choose("model", model); byId("cells-title").scrollIntoView(); };
    const tds = ORDER.map((build) => {
      const found = counted(of.get(`${model} ${build}`) ?? []);
      const good = right(found);
      const look = !found.length ? "unknown" : good === found.length ? "ok" : good ? "part" : "none";
      return make("td", { "data-v": look }, found.length ? `${good}/${found.length}` : "");
    });
    return make("tr", {}, make("th", { scope: "row" }, make("button", { type: "button", class: "link", onclick }, model)), ...tds);
  });
  byId("answer").replaceChildren(make("thead", {}, head), make("tbody", {}, ...rows));
}

const drawn = (tag, attributes, ...children) => {
  const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
  for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
  element.append(...children);
  return element;
};

function drawChart() {
  const [step, height, top] = [44, 120, 16];
  const told = [];
  const bars = ORDER.flatMap((build, place) => {
    const found = counted(data.rows.filter((row) => row.build === build));
    const crash = found.filter((row) => CRASHES.includes(row.verdict)).length;
    const parts = { right: right(found), wrong: found.length - right(found) - crash, crash };
    const defects = unique(found.map((row) => row.defect).filter((id) => id)).length;
    told.push(`${data.builds[build]}: ${parts.right} right, ${parts.wrong} wrong, ${parts.crash} crash, ${defects} defects`);
    let y = top + height;
    const made = Object.entries(parts).map(([name, count]) => {
      const size = found.length ? (count / found.length) * height : 0;
      y -= size;
      return drawn("rect", { x: place * step, y, width: step - 8, height: size, class: name });
    });
    const middle = place * step + (step - 8) / 2;
    const label = (at, words) => drawn("text", { x: middle, y: at, "text-anchor": "middle" }, words);
    return [...made, label(top - 4, defects), label(top + height + 14, data.builds[build].slice(0, 7))];
  });
  const chart = byId("chart");
  chart.setAttribute("width", ORDER.length * step);
  chart.setAttribute("height", top + height + 20);
  chart.setAttribute("aria-label", told.join("; "));
  chart.replaceChildren(...bars);
}

// --- a results file of the reader's own, beside what is here ----------------------------------------

const numberOf = (list, item) => (list.includes(item) ? list.indexOf(item) : list.push(item) - 1);

function add(content) {
  const lines = content.split("\n").filter((line) => line).map((line) => JSON.parse(line));
  if (lines[0]?.kind !== "header" || String(lines[0].format) !== byId("own").dataset.format) throw new Error("it is no results file of this format");
  const found = lines.filter((line) => line.kind === "row");
  if (!found.length || found.some((row) => !Object.hasOwn(LETTERS, row.verdict?.kind))) throw new Error("it has no rows, or of another kind");
  const cells = new Map(data.cells.map((cell, number) => [cell.id, number]));
  const [row] = found;
  const place = [data.transformers.indexOf(row.transformers), cells.get(row.cell), data.builds.indexOf(row.build + YOURS)];
  if (rowsByPlace.has(place.join(" "))) throw new Error("its cells are shown already");
  for (const row of found) {
    if (!cells.has(row.cell)) cells.set(row.cell, data.cells.push({ id: row.cell, model: row.model, config: row.config, expected: {} }) - 1);
    const { kind, failure, finding } = row.verdict;
    const reason = failure ? `${failure.exception}: ${failure.message ?? ""}` : finding ? plain(finding) : "";
    data.rows.push({
      build: numberOf(data.builds, row.build + YOURS),
      transformers: numberOf(data.transformers, row.transformers),
      cell: cells.get(row.cell),
      verdict: kind,
      outcome: row.explanation?.outcome ?? "expected",
      defect: row.explanation?.defect,
      ...(reason && { reason: data.texts.push(reason) - 1 }),
      ...(failure?.traceback && { traceback: data.texts.push(failure.traceback) - 1 }),
    });
  }
  data.builds.forEach((build, index) => {
    data.specs[index] ??= build.replace(YOURS, "");
    const here = data.rows.filter((row) => row.build === index);
    for (const defect of data.defects) {
      const shown = here.filter((row) => row.defect === defect.id).length;
      defect.marks[index] ??= { mark: shown ? "shows" : "unknown", cells: shown };
    }
  });
}

async function addFiles(files) {
  for (const file of files) {
    try {
      add(await file.text());
    } catch (error) {
      byId("own-said").textContent = `${file.name} is not shown: ${error.message}`;
      continue;
    }
    byId("own-said").textContent = `${file.name} is shown, in front.`;
  }
  begin();
}

byId("own").addEventListener("change", (event) => addFiles(event.target.files));
addEventListener("dragover", (event) => event.preventDefault());
addEventListener("drop", (event) => {
  event.preventDefault();
  addFiles(event.dataTransfer.files);
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());

byId("skip").addEventListener("click", (event) => {
  event.preventDefault(); // the address holds the view
  byId("cells").focus();
});
byId("heatmap").addEventListener("click", (event) => {
  const td = event.target.closest("td[data-row]");
  if (td) show(Number(td.dataset.row));
});
byId("heatmap").addEventListener("keydown", move);
document.addEventListener("click", (event) => {
  const button = event.target.closest("button[data-row]");
  if (button) show(Number(button.dataset.row));
});
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
addEventListener("popstate", () => { readAddress(); draw(); }); // also when the address is edited

function begin() {
  order();
  choices();
  placeRows();
  drawFilters();
  drawLegend();
  drawTimeline();
  drawAnswer();
  drawChart();
  readAddress();
  draw();
}

begin();
document.documentElement.dataset.ready = "yes";
