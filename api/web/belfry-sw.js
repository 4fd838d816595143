/**
 * Belfry in a service worker: shows what is pushed, opens what is clicked, and
 * tells Belfry when the browser's subscription changes, and what became of a
 * notification whose sender asked for receipts.
 *
 * It is a service worker by itself, served as /belfry-sw.js, or a part of the
 * application's own:
 *
 *     importScripts("https://push.example/belfry-sw.js");
 *
 * Then it touches only what is Belfry's: messages of Belfry's form, and
 * notifications that it showed. It defines no global name.
 *
 * A shown notification carries in its data what a click needs, and what the
 * application sent along:
 *
 *     notification.data = { belfry: { id, navigate, actions, receipt, receipts }, data }
 */
(() => {
  "use strict";

  // Alone, it answers for every message and every click; in the application's
  // own worker, what is not Belfry's is left to the application.
  const alone = self.location.pathname.endsWith("/belfry-sw.js");

  self.addEventListener("push", (event) => {
    if (event.notification) return; // Declarative Web Push: the browser shows it by itself
    const message = belfryMessage(event.data) ?? (alone ? foreignMessage(event.data) : undefined);
    if (message) event.waitUntil(Promise.all([show(message).then(() => report(belfryOf(message), "shown")), count(message)]));
  });

  self.addEventListener("notificationclick", (event) => {
    const { belfry } = event.notification.data ?? {};
    if (!belfry) return;
    clicked.add(belfry.receipt); // browsers fire notificationclose too
    event.notification.close();
    event.waitUntil(report(belfry, "clicked"));
    if (event.action) {
      const url = webURL(belfry.actions[event.action]);
      if (url) event.waitUntil(open(url));
      return;
    }
    const url = webURL(belfry.navigate);
    if (url) event.waitUntil(open(url));
    else if (alone) event.waitUntil(openAnything());
  });

  self.addEventListener("notificationclose", (event) => {
    const { belfry } = event.notification.data ?? {};
    if (belfry?.receipt && !clicked.delete(belfry.receipt)) event.waitUntil(closed(event.notification));
  });

  const clicked = new Set(); // receipt tokens

  self.addEventListener("pushsubscriptionchange", (event) => {
    event.waitUntil(navigator.locks.request("belfry", renew));
  });

  /** The message, if it is Belfry's: {id, notification: {title, …}}. */
  function belfryMessage(data) {
    try {
      const message = data.json();
      const belfrys = typeof message.id === "string" && typeof message.notification.title === "string";
      return belfrys ? message : undefined;
    } catch {
      return undefined;
    }
  }

  /** Something to show for any other message: browsers punish silence. */
  function foreignMessage(data) {
    return { notification: { title: self.location.host, body: data?.text() ?? "" } };
  }

  /** What a shown notification carries of a message. */
  function belfryOf({ id, receipt, notification: { navigate, actions = [], receipts } }) {
    return { id, navigate, actions: Object.fromEntries(actions.map((each) => [each.action, each.navigate])), receipt, receipts };
  }

  async function show(message) {
    const { title, body, icon, image, badge, tag, actions = [], data } = message.notification;
    const essential = {
      body,
      tag: tag || message.id, // a push that comes twice replaces itself
      data: { belfry: belfryOf(message), data },
    };
    try {
      await self.registration.showNotification(title || self.location.host, { ...essential, icon, image, badge, actions });
    } catch {
      await self.registration.showNotification(title || self.location.host, essential);
    }
  }

  /** Tells that a notification was closed, unless a newer one of the same tag took its place. */
  async function closed({ tag, data: { belfry } }) {
    const shown = await self.registration.getNotifications({ tag }).catch(() => []);
    if (shown.some(({ data }) => data?.belfry?.receipt !== belfry.receipt)) return;
    await report(belfry, "closed");
  }

  /**
   * Tells Belfry what became of a notification, if its sender asked for that. It
   * is not tried again, and nothing else depends on it. A plain text needs no
   * permission from Belfry first (Fetch standard, "CORS-safelisted").
   */
  async function report({ receipt, receipts }, event) {
    try {
      if (!receipt || !receipts.includes(event)) return;
      await fetch(new URL("v1/receipts", await belfryURL()), {
        method: "POST",
        headers: { "Content-Type": "text/plain" },
        body: JSON.stringify({ token: receipt, event }),
        keepalive: true,
        signal: AbortSignal.timeout(10_000),
      });
    } catch {
      // Offline, or Belfry is away, or the message is not as it should be.
    }
  }

  /** Where Belfry is: where this browser is registered, or whence this script came. */
  async function belfryURL() {
    const wish = await recall(self.registration.scope);
    return wish?.url ?? new URL(".", self.location);
  }

  /** Puts the number on the icon of an installed web app, where the browser can. */
  async function count({ app_badge }) {
    if (typeof app_badge === "number") await navigator.setAppBadge?.(app_badge).catch(() => {});
  }

  /** The address as a URL if a click may open it: http, https, or a path on this origin. */
  function webURL(address) {
    try {
      const url = new URL(address, self.location.origin);
      return address && /^https?:$/.test(url.protocol) ? url.href : undefined;
    } catch {
      return undefined;
    }
  }

  // Another page of the same site is left where it is: someone may be writing there.
  async function open(url) {
    const window = (await windows()).find((each) => each.url === url);
    return window ? window.focus() : self.clients.openWindow(url);
  }

  async function openAnything() {
    const [window] = await windows();
    return window ? window.focus() : self.clients.openWindow("/");
  }

  /** The windows of this origin, the last used one first. */
  function windows() {
    return self.clients.matchAll({ type: "window", includeUncontrolled: true });
  }

  /**
   * Subscribes again where the browser dropped the subscription, and tells
   * Belfry with the renewal token, for no user is here to ask. What fails is
   * made good by belfry.js when a page opens next.
   */
  async function renew() {
    const wish = await recall(self.registration.scope);
    if (!wish?.renewal) return;
    const config = await call(wish, "GET", "v1/config");
    if (!config) return;
    const subscription = await subscribe(config.vapid_public_key);
    if (subscription.endpoint === wish.endpoint) return;
    const registered = await call(wish, "PUT", "v1/me/subscriptions", { ...subscription.toJSON(), vapid_public_key: config.vapid_public_key, replaces: wish.id });
    if (!registered) return;
    await remember({ ...wish, endpoint: subscription.endpoint, id: registered.id, renewal: registered.renewal });
  }

  /** The browser's subscription with this VAPID key; one with another key makes room for it. */
  async function subscribe(applicationServerKey) {
    const { pushManager } = self.registration;
    const options = { userVisibleOnly: true, applicationServerKey };
    try {
      return await pushManager.subscribe(options);
    } catch (error) {
      const other = await pushManager.getSubscription();
      if (!other) throw error;
      await other.unsubscribe();
      return pushManager.subscribe(options);
    }
  }

  /** Calls Belfry; repeats what failed for reasons that pass, for half a minute. */
  async function call(wish, method, path, body) {
    for (const pause of [1000, 4000, 10_000, 15_000, undefined]) {
      try {
        const response = await fetch(new URL(path, wish.url), {
          method,
          headers: { Authorization: `Bearer ${wish.renewal}`, ...(body && { "Content-Type": "application/json" }) },
          body: body && JSON.stringify(body),
        });
        if (response.ok) return response.json();
        if (response.status < 500 && response.status !== 408 && response.status !== 429) return undefined;
      } catch {
        // No answer: as good as a 503.
      }
      if (pause === undefined) return undefined;
      await new Promise((resolve) => setTimeout(resolve, pause));
    }
  }

  // The wishes, shared with belfry.js, which has the same functions.

  function recall(scope) {
    return wishes("readonly", (store) => store.get(scope)).catch(() => undefined);
  }

  function remember(wish) {
    return wishes("readwrite", (store) => store.put(wish)).catch(() => undefined);
  }

  function wishes(mode, act) {
    return new Promise((resolve, reject) => {
      const opening = indexedDB.open("belfry", 1);
      opening.onupgradeneeded = () => opening.result.createObjectStore("wishes", { keyPath: "scope" });
      opening.onerror = () => reject(opening.error);
      opening.onsuccess = () => {
        const database = opening.result;
        try {
          const transaction = database.transaction("wishes", mode);
          const request = act(transaction.objectStore("wishes"));
          transaction.oncomplete = () => { database.close(); resolve(request.result); };
          transaction.onabort = () => { database.close(); reject(transaction.error); };
        } catch (error) { // not the database that Belfry made
          database.close();
          reject(error);
        }
      };
    });
  }
})();
