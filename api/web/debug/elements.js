// How things are put on the page. Whatever comes from elsewhere goes in as
// text, never as markup.

import { now } from "/debug/service.js";

export function element(tag, properties = {}, ...children) {
  const { data, ...others } = properties;
  const made = Object.assign(document.createElement(tag), others);
  Object.assign(made.dataset, data);
  made.append(...children);
  return made;
}

/** Sets a text, and leaves it alone if it is the same: a selection stays, and a screen reader does not say it again. */
export function say(node, text) {
  if (node.textContent !== text) node.textContent = text;
}

// Words for figures and times.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const tenths = new Intl.NumberFormat("en", { minimumFractionDigits: 1, maximumFractionDigits: 1 });
const clock = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit", second: "2-digit" });
const dated = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "medium" });

const HALF_A_DAY = 12 * 3600_000; // milliseconds: beyond it, a time needs its date

export const count = (n) => whole.format(n);
export const plural = (n, one, many = one + "s") => `${count(n)} ${n === 1 ? one : many}`;
export const figure = (n) => (n > 0 && n < 9.95 ? tenths : whole).format(n);
export const timeOfDay = (iso) => clock.format(new Date(iso));

/** A span of time, by its largest unit, and the next one while that matters: below ten, or if it is to be exact. */
export function span(milliseconds, exact = false) {
  const s = Math.max(0, Math.round(milliseconds / 1000));
  const units = [[86400, "d"], [3600, "h"], [60, "min"], [1, "s"]];
  const first = units.findIndex(([size]) => s >= size);
  if (first < 0) return "0 s";
  const [size, name] = units[first];
  const [smaller, smallerName] = units[first + 1] ?? [];
  const rest = smaller && (exact || s < 10 * size) && Math.floor((s % size) / smaller);
  return `${Math.floor(s / size)} ${name}` + (rest ? ` ${rest} ${smallerName}` : "");
}

/**
 * A time: "since" as an age, "until" as what is left, "span" as how long it has
 * lasted, all of which go on by themselves; "at" by the clock.
 */
export function moment(iso, kind = "since") {
  const made = element("time", { dateTime: iso, title: dated.format(new Date(iso)), data: { kind } });
  tell(made);
  return made;
}

function tell(time) {
  const left = Date.parse(time.dateTime) - now();
  switch (time.dataset.kind) {
    case "since": return say(time, `${span(-left)} ago`);
    case "until": return say(time, left > 0 ? `in ${span(left, true)}` : "now");
    case "span": return say(time, span(-left));
    default: return say(time, (Math.abs(left) < HALF_A_DAY ? clock : dated).format(new Date(time.dateTime)));
  }
}

setInterval(() => document.querySelectorAll("time[data-kind]").forEach(tell), 1000);

/** What an element holds, if it is another than before. */
export function fill(node, ...children) {
  const text = (list) => list.map((each) => each.outerHTML ?? each).join("\u0000");
  if (text([...node.childNodes].map((each) => each.outerHTML ?? each.textContent)) !== text(children)) node.replaceChildren(...children);
}

// State: a mark and a word, never colour alone.

const TONES = [
  ["bad", /^(paused|breaker open|halted|crashed|not answering|ended|failed)/],
  ["busy", /^(breaker half-open|probing|waiting|resting|behind|leaving|between|loading|retrying|restarting|scheduled|pending|queued)/],
  ["good", /^(running|delivering|delivered|sending|open)/],
];

const toneOf = (state) => TONES.find(([, words]) => words.test(state))?.[0] ?? "";

export function badge(state, tone = toneOf(state)) {
  return element("span", { className: "state", data: { tone } }, state);
}

// Tables whose rows stay the same elements while their figures change.

/**
 * A table. Each column is [title, kind, show]: kind "number", "text" or "wide";
 * show gives what a cell holds for an item. On a narrow screen its rows are cards.
 */
export class Table {
  #rows = new Map();
  #columns;
  #body = element("tbody");
  #none;

  constructor(caption, columns, none) {
    this.#columns = columns;
    this.#none = element("p", { className: "none", hidden: true }, none);
    const titles = columns.map(([title, kind]) => element("th", { scope: "col", className: kind }, title));
    this.table = element("table", {},
      element("caption", { className: "visually-hidden" }, caption),
      element("thead", {}, element("tr", {}, ...titles)),
      this.#body);
    this.element = element("div", { className: "table" }, this.table, this.#none);
  }

  /** Shows items in their order; but while somebody points at the table, no row changes its place. */
  show(items, keyOf = (item) => item.path) {
    if (this.table.matches(":hover, :focus-within")) items = this.#asBefore(items, keyOf);
    const before = this.#rows;
    this.#rows = new Map();
    let place = this.#body.firstElementChild;
    for (const item of items) {
      const key = keyOf(item);
      const row = before.get(key) ?? this.#newRow();
      before.delete(key);
      this.#rows.set(key, row);
      this.#columns.forEach(([, , show], i) => fill(row.cells[i], ...[show(item)].flat().filter((each) => each)));
      if (row === place) place = place.nextElementSibling;
      else this.#body.insertBefore(row, place);
    }
    before.forEach((row) => row.remove());
    this.table.hidden = items.length === 0;
    this.#none.hidden = items.length > 0;
  }

  #newRow() {
    return element("tr", {}, ...this.#columns.map(([title, kind]) => element("td", { className: kind, data: { title } })));
  }

  #asBefore(items, keyOf) {
    const places = new Map([...this.#rows.keys()].map((key, i) => [key, i]));
    const place = (item) => places.get(keyOf(item)) ?? Infinity;
    return [...items].sort((a, b) => (place(a) === place(b) ? 0 : place(a) - place(b)));
  }
}

/** A figure in a table: zero says nothing, so it steps back. */
export const number = (n) => element("span", { className: n ? "" : "zero" }, count(n));

/** A part of a page with a title. */
export function section(title, ...children) {
  const heading = element("h2", {}, title);
  return Object.assign(element("section", {}, heading, ...children), { heading });
}

export const code = (text) => element("code", {}, text);
export const link = (href, ...children) => element("a", { href }, ...children);
