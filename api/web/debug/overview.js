// The first page: how fast, how much waits, what is paused, what panicked.

import { code, count, element, figure, fill, link, moment, number, plural, say, section, Table } from "/debug/elements.js";
import { laneTable } from "/debug/lanes.js";
import { peak, spark } from "/debug/pulse.js";
import { get } from "/debug/service.js";
import { stateAndPanic } from "/debug/tree.js";

// A tile: the figure's name in the course, its title, its unit, and a few words below.
const TILES = [
  ["accepted", "Accepted", "/s", "Notifications that were taken and are durable"],
  ["delivered", "Delivered", "/s", "Deliveries that a push service took"],
  ["attempts", "Attempts", "/s", "Requests to push services"],
  ["failed", "Failed attempts", "/s", "Attempts that ended otherwise than delivered"],
  ["backlog", "Backlog", "", "Notifications that are accepted and not finished, about"],
  ["waiting", "Waiting for commit", "", "Notifications whose senders wait for their answer"],
  ["inFlight", "In flight", "", "Requests to push services that are under way, of the lanes shown below"],
  ["commit", "Commit time", " ms", "How long the store takes for one group, on average"],
];

export function overviewPage() {
  const tiles = TILES.map(([name, title, unit, help]) => tile(name, title, unit, help));
  const lanes = laneTable();
  const lanesNote = element("p", { className: "more" });
  const tree = treeTable();
  const kinds = element("dl", { className: "kinds" });
  const panics = element("ul", { className: "panics" });
  const noPanics = element("p", { className: "none" });
  const page = element("div", { className: "overview" },
    element("h1", { className: "visually-hidden" }, "Overview"),
    element("div", { className: "tiles" }, ...tiles.map((each) => each.element)),
    section("Lanes", lanes.element, lanesNote),
    element("div", { className: "halves" },
      section("The tree", tree.element),
      element("div", { className: "stack" },
        section("Actors in memory", kinds),
        section("Last panics", noPanics, panics))));
  return {
    title: "Overview",
    element: page,
    async load(signal) {
      const root = await get("/debug/actors", signal);
      tree.show(root.children);
    },
    pulse(overview, point) {
      tiles.forEach((each) => each.show(point, overview));
      lanes.show(overview.lanes);
      showMore(lanesNote, overview);
      showKinds(kinds, overview.actors);
      showPanics(panics, noPanics, overview);
    },
  };
}

function tile(name, title, unit, help) {
  const value = element("span", { className: "value" });
  const note = element("span", { className: "note" });
  const course = element("div", { className: "course" });
  const figures = element("p", {}, value, element("span", { className: "unit" }, unit));
  const words = unit ? figure : count;
  const show = (point, overview) => {
    const known = point[name] !== undefined;
    say(value, known ? words(point[name]) : "–");
    figures.classList.toggle("unknown", !known);
    say(note, noteOf(name, point, overview, words));
    course.replaceChildren(spark(name));
  };
  return { show, element: element("section", { className: "tile", title: help, data: { name } }, element("h2", {}, title), figures, course, note) };
}

function noteOf(name, point, { lanes_more: more }, words) {
  if (name === "failed" && point.failures?.length) return point.failures.map(([outcome, rate]) => `${outcome} ${figure(rate)}`).join(", ");
  if (name === "inFlight" && more) return "of the 20 busiest lanes";
  return peak(name) ? `peak ${words(peak(name))}` : "";
}

function showMore(note, { lanes, lanes_more: more }) {
  fill(note, ...(lanes.length ? [link("#/lanes", more ? `and ${plural(more, "other lane")}` : "All lanes")] : []));
}

const treeTable = () => new Table("The root's children", [
  ["Actor", "wide", ({ path, kind }) => [link(`#${path}`, path.slice(1)), path.slice(1) !== kind && element("span", { className: "beside" }, kind)]],
  ["State", "text", stateAndPanic],
  ["Queue", "number", ({ queue }) => number(queue)],
  ["In flight", "number", ({ in_flight: n }) => number(n)],
  ["Children", "number", ({ children }) => number(children)],
  ["Restarts", "number", ({ restarts }) => number(restarts)],
]);

function showKinds(list, kinds) {
  const known = Object.entries(kinds).sort(([a, n], [b, m]) => m - n || a.localeCompare(b));
  fill(list, ...known.map(([kind, n]) => element("div", {}, element("dt", {}, kind), element("dd", {}, count(n)))));
}

function showPanics(list, none, { failures, active_since: since }) {
  fill(none, ...(failures.length ? [] : ["None for ", moment(since, "span"), "."]));
  none.hidden = failures.length > 0;
  fill(list, ...failures.map(({ at, path, reason, restarts }) => element("li", {},
    element("p", { className: "heading" }, link(`#${path}`, code(path)), moment(at)),
    element("p", { className: "said" }, reason),
    restarts > 1 ? element("p", { className: "note" }, `It failed ${plural(restarts, "time")} so far.`) : "")));
}
