// One actor of the tree and its children, page by page.

import { badge, code, count, element, fill, link, moment, number, say, section, Table } from "/debug/elements.js";
import { outcome, pauseOf } from "/debug/explanation.js";
import { laneName, laneState, laneTable } from "/debug/lanes.js";
import { laneOf } from "/debug/pulse.js";
import { actorAt, get } from "/debug/service.js";

const PAGE = 50; // children at a time

export function actorPage({ path, after, from }) {
  const facts = element("dl", { className: "facts" });
  const trouble = element("div", { className: "troubles" });
  const state = element("p", { className: "heading-state" });
  const children = path === "/lanes" ? laneTable() : childTable(path);
  const range = element("span", { className: "muted" });
  const pager = element("nav", { className: "pager", ariaLabel: "Pages of children" });
  const now = section("Now", facts);
  now.hidden = path in TITLES; // there is nothing to say of it but its children
  const list = section(titleOf(path), children.element, pager);
  list.heading.append(" ", range);
  return {
    title: nameOf(path),
    element: element("div", { className: "page" },
      crumbs(path),
      element("div", { className: "title" }, element("h1", {}, nameOf(path)), state),
      trouble,
      now,
      list),
    async load(signal) {
      const query = new URLSearchParams({ limit: PAGE, ...(after && { after }) });
      const { actor, children: shown, next } = await get(`${actorAt(path)}?${query}`, signal);
      fill(state, actor.kind === "lane" ? laneState(actor) : badge(actor.state));
      showFacts(facts, actor);
      showTrouble(trouble, actor);
      children.show(shown);
      list.hidden = actor.children === 0 && !after && !(path in TITLES);
      say(range, shown.length < actor.children || after ? `${count(from + 1)}–${count(from + shown.length)} of ${count(actor.children)}` : count(actor.children));
      const on = next && new URLSearchParams({ after: next, from: from + shown.length });
      fill(pager,
        ...(after ? [link(`#${path}`, "First page")] : []),
        ...(on ? [link(`#${path}?${on}`, `Next ${PAGE}`)] : []));
    },
  };
}

function showFacts(list, actor) {
  const fact = (title, ...value) => element("div", {}, element("dt", {}, title), element("dd", {}, ...value));
  fill(list, ...[
    ...whatItIs(actor).map(([title, value]) => fact(title, value)),
    fact("Queue", count(actor.queue)),
    fact("In flight", count(actor.in_flight)),
    fact("Restarts", count(actor.restarts)),
    actor.children > 0 && fact("Children", count(actor.children)),
    actor.last_outcome && fact("Last send", outcome(actor.last_outcome)),
    actor.reason && actor.kind !== "lane" && fact("What it was told", actor.reason),
    actor.next_attempt_at && !actor.cause && fact("Next try", moment(actor.next_attempt_at, "until")),
  ].filter(Boolean));
}

function whatItIs({ kind, path }) {
  if (kind !== "lane") return [["Kind", kind]];
  const { app, kind: sends, account } = laneOf(path);
  return [["App", app], ["Kind", sends], ...(account ? [[sends === "apns" ? "Topic" : "Project", account]] : [])];
}

/** What is the matter with it: a lane's pause, a panic. */
export function showTrouble(place, { kind, state, cause, reason, next_attempt_at: until, last_failure: failure, last_failure_at: at }) {
  const troubles = [
    kind === "lane" && cause && ["It is paused: ", ...pauseOf({ state, cause, reason, until })],
    failure && ["It panicked ", ...(at ? [moment(at)] : []), ": ", code(failure)],
  ];
  fill(place, ...troubles.filter(Boolean).map((words) => element("p", { className: "trouble" }, ...words)));
}

const childTable = (path) => new Table("Children", [
  [path === "/registry" ? "Range" : path.startsWith("/registry/") ? "User" : "Actor", "wide", ({ path, kind }) => actorName(path, kind)],
  ["State", "text", stateAndPanic],
  ["Queue", "number", ({ queue }) => number(queue)],
  ["In flight", "number", ({ in_flight: n }) => number(n)],
  [path === "/registry" ? "Users" : path.startsWith("/registry/") ? "Subscriptions" : "Children", "number", ({ children }) => number(children)],
  ["Restarts", "number", ({ restarts }) => number(restarts)],
]);

export function stateAndPanic({ state, last_failure: reason, last_failure_at: at }) {
  return [badge(state), reason && element("span", { className: "under said" }, "panicked ", ...(at ? [moment(at)] : []), ": ", reason)];
}

/** An actor's name as a link to it, with what tells it from others below. */
export function actorName(path, kind) {
  if (kind === "lane") return laneName({ path });
  if (kind === "user") return [link(`#${path}`, userOf(path).id), element("span", { className: "beside" }, `app ${userOf(path).app}`)];
  return [link(`#${path}`, nameOf(path)), kind !== "shards" && element("span", { className: "beside" }, kind)];
}

const TITLES = { "/lanes": "Lanes", "/registry": "Shard ranges" };
const titleOf = (path) => TITLES[path] ?? (/^\/registry\/[^/]+$/.test(path) ? "Users in memory" : "Children");

/** Whom an actor's path is about: /registry/<range>/<app>:<user>, the id being escaped; undefined if it is no user's. */
export function userOf(path) {
  const [, app, escaped] = /^\/registry\/[^/]+\/([^/:]+):([^/]+)/.exec(path) ?? [];
  return app && { app, id: decoded(escaped) };
}

export function decoded(escaped) {
  try {
    return decodeURIComponent(escaped);
  } catch {
    return escaped; // nobody's name, but an address may say anything
  }
}

function nameOf(path) {
  if (path === "/registry") return "Users";
  if (path === "/lanes") return "Lanes";
  const [, root, ...below] = path.split("/");
  if (root === "lanes") return laneOf(path).host;
  if (root !== "registry") return below.at(-1) ?? root;
  if (below.length === 1) return `Range ${below[0]}`;
  return below.length === 2 ? userOf(path).id : below[2].replace(/^([^-]+-.{12}).*/, "$1…");
}

export function crumbs(path) {
  const parts = path.split("/").slice(1).map((_, i, all) => "/" + all.slice(0, i + 1).join("/"));
  return element("nav", { className: "crumbs", ariaLabel: "Where this is in the tree" },
    element("ol", {},
      element("li", {}, link("#/", "belfry")),
      ...parts.map((each, i) => {
        const here = link(`#${each}`, nameOf(each));
        if (i === parts.length - 1) here.ariaCurrent = "page";
        return element("li", {}, here);
      })));
}
