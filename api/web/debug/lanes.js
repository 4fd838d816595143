// The ways to the push hosts.

import { badge, element, link, moment, number, Table } from "/debug/elements.js";
import { isShut, laneOf } from "/debug/pulse.js";

export const laneTable = () => new Table("Lanes", [
  ["Push host", "wide", laneName],
  ["State", "text", laneState],
  ["What it said", "wide", whatItSaid],
  ["Next try", "text", ({ next_attempt_at: next }) => next && moment(next, "until")],
  ["Queue", "number", ({ queue }) => number(queue)],
  ["In flight", "number", ({ in_flight: n }) => number(n)],
], "No lanes: nothing was sent in the last minutes.");

export function laneName({ path }) {
  const { app, kind, account, host } = laneOf(path);
  return [link(`#${path}`, host), element("span", { className: "under" }, [kind, account, `app ${app}`].filter(Boolean).join(" · "))];
}

// A state says what the push host said after a colon; that has a place of its own.
const stateOf = (lane) => (lane.reason ? lane.state.split(": ")[0] : lane.state);

export function laneState(lane) {
  const state = stateOf(lane) === "running" ? "open" : stateOf(lane);
  return badge(state, state === "probing after a pause" || state === "breaker half-open" ? "busy" : isShut(lane) ? "bad" : "good");
}

function whatItSaid({ cause, reason, last_outcome: last }) {
  if (!cause && !reason) return last && element("span", { className: "muted idly" }, `last send: ${last}`);
  return [cause && element("span", {}, cause), reason && element("span", { className: "under said" }, reason)].filter(Boolean);
}
