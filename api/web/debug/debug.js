// The page at /debug/: asks for the key, goes by the address, and keeps what is
// shown up to date.
//
//	#/                              the overview
//	#/lanes, #/registry/3, …        an actor, by its path; ?after= for more of its children
//	#/registry/3/default:ann        a user; ?notification= for why
//	#/user/ann                      the same, of the app default, in memory or not
//	#/search?q=ann                  what is in memory under a name

import { element, fill, moment, say, span, timeOfDay } from "/debug/elements.js";
import { overviewPage } from "/debug/overview.js";
import * as pulse from "/debug/pulse.js";
import { searchPage, userAddress } from "/debug/search.js";
import { get, hasKey, now, setClock, useKey } from "/debug/service.js";
import { actorPage, decoded, userOf } from "/debug/tree.js";
import { userPage } from "/debug/user.js";

const EVERY = 2000; // milliseconds between two looks
const WAIT_MAX = 30_000; // and at most, while there is no answer

const at = (id) => document.getElementById(id);

// The address.

let view; // {title, element, load, pulse}

function viewOf(hash) {
  const [, address, query] = /^#?([^?]*)\??(.*)$/.exec(hash);
  const params = new URLSearchParams(query);
  const path = address.replace(/\/+$/, "");
  if (path === "") return overviewPage();
  if (path === "/search") return searchPage({ query: params.get("q") ?? "" });
  const user = sought(path) ?? (path.split("/").length === 4 && userOf(path) && { ...userOf(path), path });
  if (user) return userPage({ ...user, address: `#${path}`, notification: params.get("notification") });
  return actorPage({ path, after: params.get("after"), from: Number(params.get("from")) || 0 });
}

/** The user that an address without a place in the tree asks for. */
function sought(path) {
  const [, escaped] = /^\/user\/([^/]+)$/.exec(path) ?? [];
  return escaped && { app: "default", id: decoded(escaped) };
}

const HERE = { "#/": /^(#\/?)?$/, "#/lanes": /^#\/lanes/, "#/registry": /^#\/(registry|user)/ };

function go() {
  view = viewOf(location.hash);
  at("view").replaceChildren(view.element);
  for (const each of at("nav").children) {
    each.ariaCurrent = HERE[each.hash].test(location.hash) ? "page" : null;
  }
  if (newest) view.pulse?.(newest, pulse.course().at(-1));
  entitle();
  scrollTo(0, 0);
  turn();
}

addEventListener("hashchange", () => {
  if (!hasKey()) return;
  go();
  at("view").focus({ preventScroll: true });
});

// The figures, again and again while somebody may look.

let newest; // the last overview
let judged = { tone: "", sentence: "", also: "" };
let turning; // ends the questions under way
let timer;
let failures = 0; // in a row
let trouble; // what the last turn met with, and when the next one is: {sentence, next}

async function turn() {
  clearTimeout(timer);
  turning?.abort();
  if (document.hidden || !hasKey()) return;
  const mine = (turning = new AbortController());
  let pause = EVERY;
  try {
    await look(view, mine.signal);
    failures = 0;
    trouble = undefined;
  } catch (error) {
    if (mine.signal.aborted) return;
    if (error.kind === "key" || error.kind === "denied") return lock(error);
    pause = Math.max(error.retryAfter ?? 0, Math.min(EVERY * 2 ** failures, WAIT_MAX));
    failures++;
    trouble = { sentence: sentenceOf(error), next: Date.now() + pause };
  }
  showHealth();
  timer = setTimeout(turn, pause);
}

async function look(into, signal) {
  const loading = into.load?.(signal).then(() => undefined, (error) => error);
  newest = await get("/debug/overview", signal);
  setClock(newest.at);
  const point = pulse.add(newest);
  judged = pulse.judge(newest);
  into.pulse?.(newest, point);
  const error = await loading;
  if (error && error.kind !== "absent") throw error;
  showAbsence(into, error);
}

function showAbsence(into, error) {
  into.notice ??= element("p", { className: "trouble", role: "status", hidden: true });
  if (!into.notice.isConnected) into.element.prepend(into.notice);
  say(into.notice, error ? firstSentence(error.message) : "");
  into.notice.hidden = !error;
  into.element.classList.toggle("absent", Boolean(error));
}

function sentenceOf({ kind, message }) {
  switch (kind) {
    case "standby": return firstSentence(message);
    case "away": return `Belfry does not answer. ${message}`;
    case "busy": return `Belfry asks to wait. ${message}`;
    default: return message;
  }
}

/** What goes wrong. What comes after it is for programs: what to send, and where. */
const firstSentence = (message) => message.split(/(?<=\.) /)[0];

function showHealth() {
  at("view").classList.toggle("stale", Boolean(trouble));
  at("health").hidden = !newest && !trouble;
  at("status").dataset.tone = trouble ? "bad" : judged.tone;
  say(at("sentence"), trouble ? trouble.sentence : judged.sentence);
  say(at("also"), trouble ? "" : judged.also);
  showAside();
  entitle();
}

function showAside() {
  if (trouble) {
    const age = newest ? ` The figures are ${span(now() - Date.parse(newest.at))} old.` : "";
    return say(at("aside"), `Trying again ${trouble.next > Date.now() ? `in ${span(trouble.next - Date.now())}` : "now"}.${age}`);
  }
  if (newest) fill(at("aside"), `${newest.version || "unknown version"} · active for `, moment(newest.active_since, "span"), ` · as of ${timeOfDay(newest.at)}`);
}

setInterval(() => trouble && showAside(), 1000);

function entitle() {
  const sentence = trouble?.sentence ?? (judged.tone === "good" ? "" : judged.sentence);
  document.title = [firstSentence(sentence).replace(/\.$/, ""), view.title, "Belfry"].filter(Boolean).join(" – ");
}

document.addEventListener("visibilitychange", () => turn());
addEventListener("online", () => turn());

// The key.

function lock(why) {
  turning?.abort();
  clearTimeout(timer);
  useKey("");
  pulse.clear();
  newest = trouble = view = undefined;
  document.title = "Belfry";
  at("view").replaceChildren();
  show("door");
  at("key").value = "";
  at("key").focus();
  complain(why);
}

function complain(why) {
  at("door-trouble").hidden = !why;
  say(at("door-trouble"), why ? complaintOf(why) : "");
}

function complaintOf({ kind, message }) {
  switch (kind) {
    case "key": return "Belfry does not know this key. It is mistyped, or was revoked.";
    case "denied": return `${message} To look inside takes the scope admin and the app default.`;
    default: return message;
  }
}

function show(what) {
  at("door").hidden = what !== "door";
  for (const id of ["view", "nav", "search", "forget", "skip"]) at(id).hidden = what === "door";
  if (what === "door") at("health").hidden = true;
}

at("enter").addEventListener("submit", async (event) => {
  event.preventDefault();
  const given = at("key").value.trim();
  if (!/^[\x21-\x7e]+$/.test(given)) return complain({ message: "That is no API key: it has spaces or letters that no key has." });
  useKey(given);
  complain();
  const refused = await get("/debug/overview").then(() => undefined, (error) => error);
  if (refused?.kind === "key" || refused?.kind === "denied") return lock(refused);
  at("key").value = "";
  open();
  at("view").focus({ preventScroll: true });
});

at("forget").addEventListener("click", () => lock());

function open() {
  show("page");
  go();
}

// Keys and buttons.

at("search").addEventListener("submit", (event) => {
  event.preventDefault();
  const query = at("query").value.trim();
  if (query === "") return;
  location.hash = event.submitter?.value === "user" ? userAddress(query) : `#/search?${new URLSearchParams({ q: query })}`;
});

addEventListener("keydown", (event) => {
  if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea") || !hasKey()) return;
  event.preventDefault();
  at("query").focus();
  at("query").select();
});

at("skip").addEventListener("click", () => at("view").focus());

if (hasKey()) open();
else show("door");
