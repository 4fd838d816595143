// What is in memory under a name.

import { element, link, number, section, Table } from "/debug/elements.js";
import { laneTable } from "/debug/lanes.js";
import { get } from "/debug/service.js";
import { actorName, stateAndPanic } from "/debug/tree.js";

const MOST = 100; // that are listed
const EVERY = 10_000; // milliseconds: all users in memory are looked at

export function searchPage({ query }) {
  const users = new Table("Users in memory", [
    ["User", "wide", ({ path, kind }) => actorName(path, kind)],
    ["State", "text", stateAndPanic],
    ["Queue", "number", ({ queue }) => number(queue)],
    ["In flight", "number", ({ in_flight: n }) => number(n)],
    ["Subscriptions", "number", ({ children }) => number(children)],
    ["Restarts", "number", ({ restarts }) => number(restarts)],
  ], "No user in memory has this in their id. Users are in memory while there is something to do for them, and for a short while after.");
  const lanes = laneTable();
  const ofLanes = section("Lanes", lanes.element);
  const more = element("p", { className: "more", hidden: true }, `There are more than these ${MOST}. Search for more of the name.`);
  let asked = 0;
  const exact = element("p", { className: "lead" }, "Or open the user ", link(userAddress(query), query), ", in memory or not.");
  return {
    title: `“${query}”`,
    element: element("div", { className: "page" },
      element("div", { className: "title" }, element("h1", {}, `Search for “${query}”`)), exact,
      section("Users in memory", users.element), ofLanes, more),
    async load(signal) {
      if (Date.now() - asked < EVERY) return;
      const found = await get(`/debug/search?${new URLSearchParams({ q: query, limit: MOST })}`, signal);
      const isLane = ({ kind }) => kind === "lane";
      users.show(found.actors.filter((actor) => !isLane(actor)));
      lanes.show(found.actors.filter(isLane));
      ofLanes.hidden = !found.actors.some(isLane);
      more.hidden = !found.more;
      asked = Date.now();
    },
  };
}

/** Where a user of the app default is found, in memory or not. */
export const userAddress = (id) => `#/user/${encodeURIComponent(id)}`;
