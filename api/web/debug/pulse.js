// What two answers of the overview make together: rates, their course over the
// last minutes, and a sentence about how things are.

import { timeOfDay } from "/debug/elements.js";

const WINDOW = 5 * 60_000; // milliseconds that the course goes back at most
const WINDOW_MIN = 60_000; // and is drawn for at least
const GAP = 10_000; // longer than this between two answers, and the course has a hole

let last; // the newest overview
let points = []; // the course: {at, accepted, delivered, …}, by time

/** Takes an overview in; gives the newest point of the course. */
export function add(overview) {
  if (last && last.active_since !== overview.active_since) points = []; // another process, or term
  const before = last?.active_since === overview.active_since ? last : undefined;
  last = overview;
  const point = { at: Date.parse(overview.at), ...levels(overview), ...(before && rates(before, overview)) };
  points = [...points.filter(({ at }) => at > point.at - WINDOW), point];
  return point;
}

/** Forgets everything, for another key. */
export function clear() {
  last = undefined;
  points = [];
}

export const course = () => points;

function levels({ backlog, waiting_for_commit: waiting, lanes }) {
  return { backlog, waiting, inFlight: lanes.reduce((sum, lane) => sum + lane.in_flight, 0) };
}

/** Per second, but for the time of a commit: that is in milliseconds, and absent if there was none. */
function rates(before, after) {
  const seconds = (Date.parse(after.at) - Date.parse(before.at)) / 1000;
  if (seconds <= 0) return {};
  const more = (name) => (after.counters[name] ?? 0) - (before.counters[name] ?? 0);
  const commits = more("commits");
  return {
    accepted: more("accepted") / seconds,
    delivered: more("delivery.delivered") / seconds,
    attempts: more("attempts") / seconds,
    failed: (more("attempts") - more("attempt.delivered")) / seconds,
    failures: Object.keys(after.counters)
      .filter((name) => name.startsWith("attempt.") && name !== "attempt.delivered" && more(name) > 0)
      .map((name) => [name.slice("attempt.".length), more(name) / seconds]),
    commit: commits > 0 ? more("commit_nanoseconds") / commits / 1e6 : undefined,
    storeFailures: more("store_failures"),
  };
}

/** The course of one figure as SVG: a line over its area. */
export function spark(name) {
  const width = 200, height = 36;
  const svg = (tag, attributes, ...children) => {
    const made = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  };
  const known = points.filter((point) => point[name] !== undefined);
  const end = points.at(-1)?.at ?? 0;
  const shown = Math.max(WINDOW_MIN, end - (points[0]?.at ?? 0));
  const top = Math.max(1, ...known.map((point) => point[name]));
  const x = ({ at }) => (width * (1 - (end - at) / shown)).toFixed(1);
  const y = (point) => (height - 1 - (height - 3) * (point[name] / top)).toFixed(1);
  let line = "", area = "", from;
  known.forEach((point, i) => {
    const begins = i === 0 || point.at - known[i - 1].at > GAP;
    if (begins && from) area += `L${x(known[i - 1])} ${height}L${x(from)} ${height}Z`;
    if (begins) from = point;
    line += `${begins ? "M" : "L"}${x(point)} ${y(point)}`;
    area += `${begins ? "M" : "L"}${x(point)} ${y(point)}`;
  });
  if (from) area += `L${x(known.at(-1))} ${height}L${x(from)} ${height}Z`;
  return svg("svg", { viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", "aria-hidden": "true", class: "spark" },
    svg("path", { class: "area", d: area }), svg("path", { class: "line", d: line }));
}

/** The highest value of a figure in the course. */
export const peak = (name) => Math.max(0, ...points.map((point) => point[name] ?? 0));

const RECENT_PANIC = 10 * 60_000; // milliseconds for which a panic is worth a sentence
const LONG_QUEUE = 5000; // senders that wait; from 20,000 on they are refused
const SHOWN_LANES = 20; // in an overview, those that are not open first

/** How things are: a sentence, and perhaps others, that hold no figure which changes all the time. */
export function judge(overview) {
  const found = [
    pausedLanes(overview),
    points.some(({ storeFailures, at }) => storeFailures > 0 && at > Date.parse(overview.at) - 60_000) &&
      ["bad", "The store fails, and is tried again; the log says why."],
    overview.waiting_for_commit > LONG_QUEUE && ["bad", "Senders wait long: the store commits more slowly than they send."],
    recentPanic(overview),
    backlogGrows() && ["busy", "The backlog grows."],
  ].filter(Boolean);
  if (found.length === 0) return { tone: "good", sentence: "Everything flows.", also: "" };
  const worst = found.find(([tone]) => tone === "bad") ?? found[0];
  const others = found.filter((each) => each !== worst).map(([, sentence]) => sentence);
  return { tone: worst[0], sentence: worst[1], also: others.join(" ") };
}

export const isShut = (lane) => Boolean(lane.cause) || /^(paused|breaker|probing|halted)/.test(lane.state);

function pausedLanes({ lanes, lanes_more: more = 0 }) {
  const shut = lanes.filter(isShut).map((lane) => laneOf(lane.path).host);
  if (shut.length === 0) return undefined;
  const atLeast = shut.length === SHOWN_LANES && more > 0 ? "At least " : "";
  if (shut.length === 1) return ["bad", `1 lane is paused: ${shut[0]}.`];
  const names = shut.length <= 3 ? `${shut.slice(0, -1).join(", ")} and ${shut.at(-1)}` : `${shut.slice(0, 3).join(", ")} and more`;
  return ["bad", `${atLeast}${shut.length} lanes are paused: ${names}.`];
}

function recentPanic({ at, failures: [newest] }) {
  if (!newest || Date.parse(at) - Date.parse(newest.at) > RECENT_PANIC) return undefined;
  return ["busy", `An actor panicked at ${timeOfDay(newest.at)} and was started anew.`];
}

/** Over a minute at least, by a tenth and by a thousand at least. */
function backlogGrows() {
  const [first, now] = [points[0], points.at(-1)];
  return now.at - first.at > 60_000 && now.backlog - first.backlog > Math.max(1000, first.backlog / 10);
}

/** The parts of a lane's name: app:kind:host, or app:kind:account@host. */
export function laneOf(path) {
  const [, app, kind, rest] = /([^/:]*):([^:]*):(.*)$/.exec(path) ?? [];
  const cut = rest?.lastIndexOf("@") ?? -1;
  return { app, kind, account: rest?.slice(0, Math.max(cut, 0)) ?? "", host: rest?.slice(cut + 1) ?? path };
}
