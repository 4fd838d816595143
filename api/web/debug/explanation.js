// Why a user did, or did not, get a notification.

import { badge, code, count, element, link, moment, plural, Table } from "/debug/elements.js";

const OUTCOMES = {
  delivered: "good", gone: "bad", rejected: "bad", refused: "bad", expired: "bad", no_subscription: "bad",
  retry: "busy", queued: "busy", waiting: "busy",
};

/** What came of something, in a word. */
export const outcome = (word, n = 1) => badge(word.replace("_", " ") + (n > 1 ? ` × ${count(n)}` : ""), OUTCOMES[word] ?? "");

/** What an answer to GET /v1/users/{user}/explain?notification= says. back is where it is closed. */
export function explanation({ missing, notification, summary, subscriptions = [] }, id, back) {
  const said = missing ? [] : sentencesOf(summary, subscriptions);
  return [
    element("h2", {}, "Notification ", code(id), link(back, "Close")),
    missing ? element("p", { className: "trouble" }, missing) : element("ul", { className: "sentences" }, ...said.map((each) => element("li", {}, each))),
    notification ? line(notificationFacts(notification)) : "",
    element("ul", { className: "cards" }, ...subscriptions.map((each) => card(each, said[0]))),
  ];
}

/** The sentences of an answer but for those that stand with a subscription too; the first is the answer. */
export function sentencesOf(summary, subscriptions) {
  return summary.filter((each, i) => i === 0 || !subscriptions.some((one) => each.endsWith(one.summary)));
}

function notificationFacts({ state, accepted_at: accepted, send_at: send, expires_at: expires }) {
  return [
    badge(state),
    ["accepted ", moment(accepted)],
    send && Date.parse(send) > Date.parse(accepted) && ["to be sent at ", moment(send, "at")],
    ["expires at ", moment(expires, "at")],
  ];
}

function card({ id, kind, host, summary, delivery, attempts, lane }, answer) {
  return element("li", {},
    element("p", { className: "heading" },
      element("strong", {}, host || kind),
      element("span", {}, laneBadge(lane), delivery ? outcome(delivery.state) : "")),
    summary === answer ? "" : element("p", {}, summary),
    attempts.length ? element("ol", { className: "attempts" }, ...attempts.map(attempt)) : "",
    line([
      kind,
      lane && laneFact(lane),
      delivery && plural(delivery.attempts, "attempt"),
      delivery?.message_id && ["message ", code(delivery.message_id)],
      ...["shown", "clicked", "closed"].map((what) => delivery?.[`${what}_at`] && [`${what} `, moment(delivery[`${what}_at`])]),
      code(id.slice(0, 16)),
    ]));
}

function attempt({ number, at, outcome: word, status, reason, next_attempt_at: next }) {
  return element("li", {},
    element("span", { className: "muted" }, number ? `${number}.` : ""), moment(at, "at"), outcome(word),
    element("span", { className: "said" }, [status, reason].filter(Boolean).join(" ")),
    next ? element("span", { className: "muted" }, "then again at ", moment(next, "at")) : "");
}

/** That the way to the push host is shut, beside a state. */
export const laneBadge = (lane) => (lane ? badge("lane paused", "bad") : "");

/** The same as a fact, with where to look and when it is tried again. Why is said in sentences. */
export function laneFact({ name, until }) {
  return [link(`#/lanes/${name}`, "its lane"), " is paused", ...(until ? [", next try ", moment(until, "until")] : [])];
}

/** Why a lane is paused, and until when. */
export function pauseOf({ cause, state, reason, until }) {
  return [`${cause ?? state}.`, reason ? ` The push host said: ${reason}.` : "", ...(until ? [" Next try ", moment(until, "until"), "."] : [])];
}

/** Facts with dots between. */
export function line(facts) {
  return element("ul", { className: "line" }, ...facts.filter(Boolean).map((each) => element("li", {}, ...[each].flat())));
}

export const recentTable = (address) => new Table("Recent notifications", [
  ["Accepted", "text", ({ accepted_at: at }) => moment(at)],
  ["State", "text", ({ state }) => badge(state)],
  ["What became of it", "wide", ({ deliveries }) => became(deliveries)],
  ["Why", "wide", ({ id }) => link(`${address}?${new URLSearchParams({ notification: id })}`, code(id))],
], "None that are still kept.");

function became(deliveries) {
  const states = new Map();
  for (const { state } of deliveries) states.set(state, (states.get(state) ?? 0) + 1);
  return [...states].map(([state, n]) => outcome(state, n));
}
