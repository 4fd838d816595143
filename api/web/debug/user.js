// One user: the live actors, and what the store knows.

import { badge, code, element, fill, link, moment, plural, say, section } from "/debug/elements.js";
import { explanation, laneBadge, laneFact, line, recentTable, sentencesOf } from "/debug/explanation.js";
import { actorAt, get } from "/debug/service.js";
import { crumbs, showTrouble, userOf } from "/debug/tree.js";

const OPERATOR = "default"; // the app whose users an operator's key reaches
const EVERY = 10_000; // milliseconds between questions that cost something: to the store, and to all actors
const MOST = 500; // subscriptions in memory that are looked at
const SHORT = 16; // digits of a subscription's id that its actor is named by

/** path is that of the actor, if it is known; address is that of the page. */
export function userPage({ app, id, path, address, notification }) {
  const ours = app === OPERATOR;
  const where = element("div", {});
  const state = element("p", { className: "heading-state" });
  const trouble = element("div", { className: "troubles" });
  const summary = element("ul", { className: "sentences" });
  const why = element("section", { className: "why", hidden: true });
  const subscriptions = element("ul", { className: "cards" });
  const none = element("p", { className: "none" });
  const recent = recentTable(address);
  const since = element("p", { className: "more" });
  const unread = element("p", { className: "trouble", hidden: true });
  let explained, chosen, asked = 0;

  async function explain(signal) {
    const about = (query = {}) => get(`/v1/users/${encodeURIComponent(id)}/explain?${new URLSearchParams(query)}`, signal);
    [explained, chosen] = await Promise.all([
      about(),
      notification && about({ notification }).catch(ifIts("absent", (trouble) => ({ missing: trouble.message }))),
    ]);
    unread.hidden = true;
  }

  /** The actors are here, whatever has become of the store. */
  const cannotRead = ifIts("busy broken", (trouble) => {
    say(unread, `What the store knows cannot be read now. ${trouble.message}`);
    unread.hidden = false;
  });

  /** What is asked now and then. */
  async function ask(signal) {
    if (Date.now() - asked < EVERY) return;
    await Promise.all([ours && explain(signal).catch(cannotRead), !path && find(app, id, signal).then((found) => { path = found; })]);
    asked = Date.now();
  }

  /** The actor and its children; undefined if it is not in memory. */
  async function look(signal) {
    return path && get(`${actorAt(path)}?limit=${MOST}`, signal).catch(ifIts("absent", () => undefined));
  }

  return {
    title: id,
    element: element("div", { className: "page" },
      where,
      element("div", { className: "title" }, element("h1", { className: "name" }, id), state),
      trouble, unread, summary, why,
      section("Subscriptions", none, subscriptions),
      ours ? section("Recent notifications", recent.element, since) : elsewhere(app)),
    async load(signal) {
      await ask(signal);
      const live = await look(signal);
      fill(where, crumbs(path ?? "/registry"));
      if (live) showTrouble(trouble, live.actor);
      fill(summary, ...sentencesOf(explained?.summary ?? [], explained?.subscriptions ?? []).map((sentence) => element("li", {}, sentence)));
      const all = together(explained?.subscriptions ?? [], live?.children ?? []);
      fill(state, live ? badge(doing(live.actor, all)) : badge("not in memory", ""), element("span", { className: "muted" }, `app ${app}`));
      fill(subscriptions, ...all.map(card));
      say(none, all.length ? "" : ours ? "None: nothing can be delivered to this user." : "None in memory.");
      none.hidden = all.length > 0;
      why.hidden = !chosen;
      if (chosen) fill(why, ...explanation(chosen, notification, address));
      recent.show(explained?.recent ?? [], (each) => each.id);
      fill(since, ...(explained?.recent_since ? ["It was looked no further back than ", moment(explained.recent_since, "at"), "."] : []));
    },
  };
}

/** For catch: something else in place of some kinds of trouble. */
const ifIts = (kinds, instead) => (trouble) => {
  if (!kinds.split(" ").includes(trouble.kind)) throw trouble;
  return instead(trouble);
};

/** The path of a user's actor, if there is one: who is called exactly so is found first. */
async function find(app, id, signal) {
  const { actors: [first] } = await get(`/debug/search?${new URLSearchParams({ q: id, limit: 1 })}`, signal);
  const user = first && userOf(first.path);
  return user?.app === app && user.id === id ? first.path : undefined;
}

/** What the store knows of each subscription, with its actor if there is one: <kind>-<the id's first digits>. */
function together(known, actors) {
  const live = new Map(actors.map((actor) => {
    const [, kind, id] = /([^/-]+)-([^/]+)$/.exec(actor.path) ?? [];
    return [id, { id, kind, actor }];
  }));
  const all = known.map((each) => ({ ...each, actor: live.get(each.id.slice(0, SHORT))?.actor }));
  known.forEach((each) => live.delete(each.id.slice(0, SHORT)));
  return [...all, ...live.values()];
}

/** What a subscription does. One whose lane is paused has handed its notification over, and nothing is sent. */
const stateOf = (actor, lane) => (lane && actor?.state === "sending" ? "waiting" : actor?.state);

/** What a user does: nothing is delivered while all that has work waits for its lane. */
function doing({ state }, subscriptions) {
  const busy = subscriptions.filter(({ actor }) => actor);
  const waits = busy.length > 0 && busy.every(({ actor, lane }) => stateOf(actor, lane) !== "sending");
  return state === "delivering" && waits ? "waiting" : state;
}

function card({ id, kind, host, summary, subscription, lane, actor }) {
  const resting = subscription?.resting_until;
  const next = actor?.next_attempt_at ?? resting;
  return element("li", {},
    element("p", { className: "heading" },
      element("strong", {}, host ?? kind),
      element("span", {}, laneBadge(lane), badge(stateOf(actor, lane) ?? (resting ? "resting" : "idle")))),
    summary ? element("p", {}, summary) : "",
    actor?.last_failure ? element("p", { className: "trouble" }, "It panicked: ", code(actor.last_failure)) : "",
    line([
      [kind, subscription?.environment, subscription?.topic ?? subscription?.project].filter(Boolean).join(" "),
      lane && laneFact(lane),
      actor?.queue > 0 && `${plural(actor.queue, "notification")} queued`,
      actor?.state === "sending" && (lane ? "one waits for its lane" : "one in flight"),
      actor?.last_outcome && `last send: ${actor.last_outcome}`,
      next && ["next try ", moment(next, "until")],
      actor?.restarts > 0 && plural(actor.restarts, "restart"),
      subscription?.key_mismatch && "subscribed with another VAPID key",
      subscription && ["last sign of life ", moment(subscription.seen_at)],
      actor ? link(`#${actor.path}`, code(id.slice(0, SHORT))) : code(id.slice(0, SHORT)),
    ]));
}

function elsewhere(app) {
  return element("p", { className: "note" },
    `What the store knows of users of the app ${app} is for that app’s keys alone: ask `,
    code("GET /v1/users/{user}/explain"), " with one of them. Above is who is in memory.");
}
