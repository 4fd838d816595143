// The demo page: one user, this browser, and what became of what was sent.

import { Belfry } from "/belfry.js";

const at = (id) => document.getElementById(id);

// The user. Its name cannot be guessed, and who knows it is that user: a link
// is enough to be the same one in another browser.

let user = new URLSearchParams(location.search).get("user") ?? recallUser();
let session; // {user, token, expires_at}
let opening; // the promise of a session, while it is asked for

async function token() {
  if (session && Date.parse(session.expires_at) - Date.now() > 60_000) return session.token;
  opening ??= openSession().finally(() => { opening = undefined; });
  return (await opening).token;
}

async function openSession() {
  const asked = (name) => request("POST", "/demo/session", { body: name ? { user: name } : {}, anonymous: true });
  session = await asked(user).catch((error) => {
    if (user && error.status === 400) return asked(); // made by another Belfry
    throw error;
  });
  user = session.user;
  rememberUser(user);
  return session;
}

function recallUser() {
  try {
    return localStorage.getItem("demo-user") ?? undefined;
  } catch {
    return undefined;
  }
}

function rememberUser(name) {
  try {
    localStorage.setItem("demo-user", name);
  } catch {
    // Without storage the next visit is another user's.
  }
}

/** Calls the demo's own API; rejects with a sentence for a person. */
async function request(method, path, { body, anonymous = false } = {}) {
  const headers = { "Content-Type": "application/json" };
  if (!anonymous) headers.Authorization = `Bearer ${await token()}`;
  let response;
  try {
    response = await fetch(path, { method, headers, body: body && JSON.stringify(body) });
  } catch {
    throw new Error("Belfry cannot be reached. Is it still running? Start it and try again.");
  }
  const answer = await response.json().catch(() => undefined);
  if (!response.ok) {
    const detail = answer?.detail ?? `Belfry answered ${response.status} ${response.statusText}.`;
    throw Object.assign(new Error(detail), { status: response.status });
  }
  return answer;
}

// Step 1: subscribe.

const STATES = {
  "subscribed": ["good", "This browser is subscribed."],
  "unsubscribed": ["", "This browser is not subscribed."],
  "prompt": ["", "This browser is not subscribed.", "It will ask whether you want notifications from this site."],
  "unconfirmed": ["busy", "This browser is subscribed, but Belfry does not know it yet.", "Press the button to tell it again."],
  "denied": ["bad", "Notifications from this site are blocked.", "To undo that, open the site settings behind the icon to the left of the address, and set Notifications to “Allow”. This page notices."],
  "unsupported": ["bad", "This browser has no push notifications.", "Use a current Firefox, Chrome, Edge or Safari, and not a private window."],
  "insecure": ["bad", "This page is not secure, so the browser allows no notifications.", "Open it over https, or on this machine as http://localhost."],
  "ios-needs-home-screen": ["bad", "On iPhone and iPad, notifications need the Home Screen.", "From iOS 16.4: choose “Share”, then “Add to Home Screen”, and open Belfry from there."],
};

const CAN_SUBSCRIBE = ["prompt", "unsubscribed", "unconfirmed"];
const CAN_UNSUBSCRIBE = ["subscribed", "unconfirmed"];

let belfry;

async function enter() {
  const entered = new Belfry({ url: "/", token });
  belfry = entered;
  await act("subscribe-trouble", token);
  at("user").textContent = user ?? "nobody yet";
  at("send").disabled = at("share").disabled = at("someone-else").disabled = !user;
  renderCurl();
  renderState(await belfry.ready);
}

function renderState(state) {
  const [tone, sentence, advice] = STATES[state];
  const focused = document.activeElement;
  say("state", sentence);
  at("state").dataset.state = state;
  at("state").dataset.tone = tone;
  at("advice").hidden = !advice;
  at("advice").textContent = advice ?? "";
  at("subscribe").hidden = !CAN_SUBSCRIBE.includes(state);
  at("unsubscribe").hidden = !CAN_UNSUBSCRIBE.includes(state);
  if (focused?.hidden) (at("subscribe").hidden ? at("unsubscribe") : at("subscribe")).focus();
}

async function change(button, method, meanwhile) {
  button.disabled = true;
  say("state", meanwhile);
  await act("subscribe-trouble", () => belfry[method]());
  button.disabled = false;
  renderState(await belfry.state());
}

at("subscribe").addEventListener("click", () => change(at("subscribe"), "subscribe", "Subscribing …"));
at("unsubscribe").addEventListener("click", () => change(at("unsubscribe"), "unsubscribe", "Unsubscribing …"));

navigator.permissions?.query({ name: "notifications" }).then((permission) => {
  permission.addEventListener("change", async () => renderState(await belfry.refresh().catch(() => belfry.state())));
}, () => {});

at("share").addEventListener("click", () => {
  const link = new URL(location.pathname, location.href);
  link.searchParams.set("user", user);
  copy(at("share"), link.href);
});

at("someone-else").addEventListener("click", () => {
  history.replaceState(null, "", location.pathname);
  user = session = undefined;
  enter();
});

// Step 2: send.

at("compose").addEventListener("submit", async (event) => {
  event.preventDefault();
  at("send").disabled = true;
  const content = composed();
  const accepted = await act("send-trouble", () => request("POST", "/demo/notifications", { body: content }));
  at("send").disabled = false;
  if (accepted) accepted.notifications.forEach(({ id }) => watch(id, content.title));
});

/** The form's fields that are filled in. */
function composed() {
  return Object.fromEntries([...new FormData(at("compose"))].filter(([, value]) => value !== ""));
}

// Step 3: watch.

const FINAL = {
  delivered: ["good", "Delivered to the push service"],
  gone: ["bad", "The subscription is over; Belfry deleted it"],
  rejected: ["bad", "The push service refused this message"],
  expired: ["bad", "Expired before it could be delivered"],
  unsubscribed: ["", "Unsubscribed before it was sent"],
  no_subscription: ["", "There was no browser to send it to"],
};

// What the browser told by receipts.
const TOLD = {
  shown: ["good", "Shown by the browser"],
  clicked: ["good", "Clicked"],
  closed: ["good", "Shown, and closed without a click"],
};

const LIVE = {
  queued: ["busy", "Waiting for its turn"],
  waiting: ["busy", "Will be tried again"],
};

const PATIENCE = 10 * 60_000; // milliseconds in which a browser may tell what became of it

/** Whether a browser may still tell that it showed it, or that it was clicked or closed. */
function mayTell({ state, clicked_at: clicked, closed_at: closed }) {
  return state === "delivered" && !clicked && !closed;
}

async function watch(id, title) {
  const item = element("li");
  at("watch-empty").hidden = true;
  at("sent").prepend(item);
  const sentAt = new Date();
  let pause = 300;
  for (;;) {
    const [notification, trouble] = await request("GET", `/demo/notifications/${id}`).then((it) => [it], (error) => [undefined, error]);
    if (notification || trouble) renderSent(item, { id, title, sentAt, notification, trouble: trouble?.message });
    const over = notification?.state === "finished" && (!notification.deliveries.some(mayTell) || Date.now() - sentAt > PATIENCE);
    if (over || trouble?.status < 500) return;
    await new Promise((resolve) => setTimeout(resolve, pause));
    pause = Math.min(pause * 1.3, 2000);
  }
}

function renderSent(item, { id, title, sentAt, notification, trouble }) {
  const deliveries = (notification?.deliveries ?? []).map((delivery) => ({ ...describe(delivery), host: delivery.host }));
  item.replaceChildren(
    element("p", { className: "heading" },
      element("span", {}, title),
      element("time", { dateTime: sentAt.toISOString() }, sentAt.toLocaleTimeString())),
    element("p", { className: "id" }, id),
    ...(trouble ? [element("p", { className: "trouble" }, trouble)] : []),
    element("ul", { className: "deliveries" }, ...deliveries.map(renderDelivery)),
  );
  const summary = deliveries.map(({ sentence }) => sentence).join(". ");
  if (summary) say("watch-status", `${title}: ${summary}.`);
}

function renderDelivery({ tone, sentence, facts }) {
  const state = element("p", { className: "state" }, sentence);
  state.dataset.tone = tone;
  return element("li", {}, state, element("p", { className: "facts" }, facts));
}

function describe({ state, host, attempts, status, reason, next_attempt_at: next, shown_at, clicked_at, closed_at }) {
  const told = (clicked_at && TOLD.clicked) || (closed_at && TOLD.closed) || (shown_at && TOLD.shown);
  const [tone, sentence] = told || FINAL[state] || LIVE[state] || ["", state];
  const seconds = next && Math.max(0, Math.round((Date.parse(next) - Date.now()) / 1000));
  const facts = [
    host,
    attempts && (attempts === 1 ? "1 attempt" : `${attempts} attempts`),
    status && `status ${status}`,
    reason,
    ...[["shown", shown_at], ["clicked", clicked_at], ["closed", closed_at]].map(([what, at]) => at && `${what} ${new Date(at).toLocaleTimeString()}`),
    next && (seconds > 0 ? `next attempt in ${seconds} s` : "next attempt now"),
  ];
  return { tone, sentence, facts: facts.filter(Boolean).join(" · ") };
}

// What the backend does.

function renderCurl() {
  const body = JSON.stringify({ user: user ?? "…", ...composed() }, null, 2);
  at("curl").textContent = [
    `curl ${location.origin}/v1/notifications \\`,
    `  -H "Authorization: Bearer $BELFRY_KEY" \\`,
    `  -H "Content-Type: application/json" \\`,
    `  -d '${body.replaceAll("'", "'\\''").replaceAll("\n", "\n  ")}'`,
  ].join("\n");
}

at("compose").addEventListener("input", renderCurl);
at("copy").addEventListener("click", () => copy(at("copy"), at("curl").textContent));

// Small helpers.

/** Runs a task; shows why it failed, if it did, where the given id says. */
async function act(troubleId, task) {
  const trouble = at(troubleId);
  trouble.hidden = true;
  try {
    return await task();
  } catch (error) {
    trouble.textContent = error.message;
    trouble.hidden = false;
    return undefined;
  }
}

/** Sets a text, and leaves it alone if it is the same: a screen reader would say it again. */
function say(id, text) {
  if (at(id).textContent !== text) at(id).textContent = text;
}

async function copy(button, text) {
  const label = (button.dataset.label ??= button.textContent);
  button.textContent = await navigator.clipboard.writeText(text).then(() => "Copied", () => "Not copied: the browser refused");
  setTimeout(() => { button.textContent = label; }, 2000);
}

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
}

enter();
