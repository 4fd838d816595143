/**
 * Belfry in a web page: subscribes this browser to a user's notifications and
 * keeps the subscription alive.
 *
 *     import { Belfry } from "https://push.example/belfry.js";
 *
 *     const belfry = new Belfry({
 *       url: "https://push.example",
 *       token: () => fetch("/belfry-token").then((response) => (response.ok ? response.text() : "")),
 *     });
 *     button.addEventListener("click", () => belfry.subscribe());
 *
 * Needs /belfry-sw.js on the page's own origin: a copy of Belfry's, or one line,
 *
 *     importScripts("https://push.example/belfry-sw.js");
 *
 * The types, and what each method promises, are in belfry.d.ts.
 *
 * The user's wish to be subscribed is a record in IndexedDB, one per service
 * worker. It exists from a granted subscribe() until unsubscribe(). As long as
 * it does, every page open registers the browser again: endpoints change,
 * browsers lose subscriptions, VAPID keys are rotated, people share computers.
 */

/** What went wrong, as a code for programs and a sentence for people. */
export class BelfryError extends Error {
  constructor(code, message, { cause, status, problem } = {}) {
    super(message, { cause });
    this.name = "BelfryError";
    this.code = code;
    this.status = status;
    this.problem = problem;
  }
}

/** The longest Retry-After that is waited for, in milliseconds. */
const LONGEST_WAIT = 10_000;

export class Belfry {
  #base;
  #token;
  #worker;
  #timeout;

  constructor({ url = new URL(".", import.meta.url), token, serviceWorker = "/belfry-sw.js", timeout = 15_000 } = {}) {
    if (!token) {
      throw new TypeError("new Belfry({ token }): give a user token, or a function that fetches one from your backend.");
    }
    this.#base = new URL(url, location.href);
    if (!this.#base.pathname.endsWith("/")) this.#base.pathname += "/";
    this.#token = token;
    this.#worker = serviceWorker;
    this.#timeout = timeout;
    this.ready = this.refresh().catch((error) => {
      console.warn(`Belfry: ${error.message}`, error);
      return this.state().catch(() => "unsubscribed");
    });
  }

  async state() {
    const obstacle = obstacleHere();
    if (obstacle) return obstacle;
    if (Notification.permission === "denied") return "denied";
    if (Notification.permission !== "granted") return "prompt";

    const registration = await this.#findWorker().catch(() => undefined);
    const subscription = await registration?.pushManager.getSubscription();
    const wish = subscription && (await recall(registration.scope));
    if (!wish) return "unsubscribed";
    return wish.endpoint === subscription.endpoint ? "subscribed" : "unconfirmed";
  }

  async subscribe() {
    const obstacle = obstacleHere();
    if (obstacle) throw new BelfryError(obstacle, OBSTACLES[obstacle]);

    // Before anything else is awaited: browsers ask only during a user gesture.
    const permission = await Notification.requestPermission();
    if (permission === "denied") throw denied();
    if (permission !== "granted") {
      throw new BelfryError("dismissed", "The question about notifications was closed without an answer. Press the button again and choose “Allow”.");
    }

    await exclusively(async () => {
      const registration = await this.#startWorker();
      const wish = await recall(registration.scope);
      await remember({ ...wish, scope: registration.scope, url: this.#base.href });
      await this.#register(registration);
    });
    return this.state();
  }

  async refresh() {
    if (obstacleHere() || Notification.permission !== "granted") return this.state();

    await exclusively(async () => {
      const existing = await this.#findWorker();
      const wished = existing && (await recall(existing.scope));
      if (!wished || !(await this.#userToken())) return;
      await this.#register(await this.#startWorker());
    });
    return this.state();
  }

  async unsubscribe() {
    if (obstacleHere()) return this.state();

    await exclusively(async () => {
      const registration = await this.#findWorker();
      const wish = registration && (await recall(registration.scope));
      if (!wish) return;
      const subscription = await registration.pushManager.getSubscription();

      // Either one is enough: without the browser's subscription the push
      // service answers 410 to the next push, and Belfry learns it from there.
      const [serverForgot, browserForgot] = await Promise.all([
        wish.id ? this.#deregister(wish.id) : false,
        subscription ? subscription.unsubscribe().catch(() => false) : true,
      ]);
      if (!serverForgot && !browserForgot) {
        throw new BelfryError("unreachable", "Neither Belfry nor the browser’s push service could be reached, so this browser is still subscribed. Check the connection and try again.");
      }
      await forget(registration.scope);
    });
    return this.state();
  }

  /** Makes the browser's subscription and the server's agree. */
  async #register(registration) {
    const config = await this.#call("GET", "v1/config");
    const subscription = await this.#subscription(registration.pushManager, config.vapid_public_key);
    const { resubscribe } = await this.#tell(registration.scope, subscription, config);
    if (!resubscribe) return;

    // Nothing reaches it: to the push service, it is bound to another key than the browser says.
    await subscription.unsubscribe();
    await this.#tell(registration.scope, await this.#subscription(registration.pushManager, config.vapid_public_key), config);
  }

  /** Registers a subscription in place of the one before, and remembers it. */
  async #tell(scope, subscription, { vapid_public_key }) {
    const wish = await recall(scope);
    const replaces = wish?.endpoint === subscription.endpoint ? undefined : wish?.id;
    const registered = await this.#call("PUT", "v1/me/subscriptions", { ...subscription.toJSON(), vapid_public_key, replaces });
    await remember({
      scope,
      url: this.#base.href,
      endpoint: subscription.endpoint,
      id: registered.id,
      renewal: registered.renewal,
    });
    return registered;
  }

  /** A subscription that is bound to the given VAPID key: the present one, or a new one. */
  async #subscription(pushManager, key) {
    const applicationServerKey = fromBase64url(key);
    const present = await pushManager.getSubscription();
    if (present) {
      if (sameBytes(present.options.applicationServerKey, applicationServerKey)) return present;
      await present.unsubscribe();
    }
    try {
      // Chromium that cannot reach its push service never settles this promise.
      return await within(this.#timeout, pushManager.subscribe({ userVisibleOnly: true, applicationServerKey }), () => new BelfryError(
        "timeout",
        "The browser’s push service does not answer. Check the connection; a firewall, a blocker or a browser built without a push service can be the reason. Then try again.",
      ));
    } catch (error) {
      if (error instanceof BelfryError) throw error;
      if (error.name === "NotAllowedError") throw denied(error);
      throw new BelfryError("push-service", `The browser could not subscribe at its push service (${error.message}). Check the connection and try again.`, { cause: error });
    }
  }

  /** Tells the server to forget a subscription; false if it could not be told. */
  async #deregister(id) {
    try {
      await this.#call("DELETE", `v1/me/subscriptions?id=${id}`);
      return true;
    } catch (error) {
      return error.status === 404;
    }
  }

  /** The service worker's registration, if there is one yet. */
  async #findWorker() {
    if (typeof this.#worker !== "string") return this.#givenWorker();
    const scope = this.#scope();
    const found = await navigator.serviceWorker.getRegistration(scope);
    return found?.scope === scope ? found : undefined; // a wider scope is someone else's worker
  }

  /** The service worker's registration, with an active worker. */
  async #startWorker() {
    try {
      const registration = typeof this.#worker === "string"
        ? await navigator.serviceWorker.register(this.#worker, { scope: this.#scope(), updateViaCache: "none" })
        : await this.#givenWorker();
      await within(this.#timeout, activated(registration), () => new Error("it does not start"));
      return registration;
    } catch (error) {
      if (error instanceof BelfryError) throw error;
      const script = typeof this.#worker === "string" ? this.#worker : "the given service worker";
      throw new BelfryError("service-worker", `The service worker cannot be used (${error.message}). ${script} must exist on this page’s own origin and be served as text/javascript.`, { cause: error });
    }
  }

  #givenWorker() {
    return within(this.#timeout, this.#worker, () => new BelfryError("service-worker", "The page’s service worker does not become ready. Register it before, or leave the option serviceWorker out."));
  }

  // A scope of its own, that no page is in: the worker controls no page and
  // takes no other worker's place.
  #scope() {
    return new URL("belfry-sw/", new URL(this.#worker, location.href)).href;
  }

  async #userToken() {
    try {
      return typeof this.#token === "function" ? await this.#token() : this.#token;
    } catch (error) {
      throw new BelfryError("unauthorized", `The page could not get a user token (${error.message}). Sign in again.`, { cause: error });
    }
  }

  /** Calls Belfry; repeats what failed for reasons that pass. */
  async #call(method, path, body) {
    const token = await this.#userToken();
    if (!token) throw new BelfryError("unauthorized", "Nobody is signed in: token gave no user token. Sign in first.");

    for (const pause of [300, 1000, 3000, undefined]) {
      const { answer, error } = await this.#attempt(method, path, token, body);
      if (!error) return answer;
      if (pause === undefined || error.code !== "unreachable" || error.retryAfter > LONGEST_WAIT) throw error;
      await delay(Math.max(pause * (0.75 + Math.random() / 2), error.retryAfter ?? 0));
    }
  }

  async #attempt(method, path, token, body) {
    let response, text;
    try {
      response = await fetch(new URL(path, this.#base), {
        method,
        headers: { Authorization: `Bearer ${token}`, ...(body && { "Content-Type": "application/json" }) },
        body: body && JSON.stringify(body),
        signal: AbortSignal.timeout(this.#timeout),
      });
      text = await response.text();
    } catch (cause) {
      return { error: new BelfryError("unreachable", `${this.#base.host} cannot be reached. Check the connection and try again; if it persists, ask the operator whether Belfry runs and allows the origin ${location.origin}.`, { cause }) };
    }
    const json = parse(text);
    return response.ok ? { answer: json } : { error: refusal(response, json) };
  }
}

/** The error for an answer that is not 2xx. */
function refusal(response, problem) {
  const { status } = response;
  const code = status === 401 || status === 403 ? "unauthorized"
    : status === 408 || status === 429 || status >= 500 ? "unreachable"
    : "rejected";
  const error = new BelfryError(code, problem?.detail ?? `Belfry answered ${status} ${response.statusText}.`, { status, problem });
  error.retryAfter = 1000 * Number(response.headers.get("Retry-After") ?? 0);
  return error;
}

const OBSTACLES = {
  "insecure": "Browsers allow notifications only on secure pages. Open this page over https.",
  "ios-needs-home-screen": "On iPhone and iPad (from iOS 16.4) a web app can notify only from the Home Screen: choose “Share”, then “Add to Home Screen”, and open it from there.",
  "unsupported": "This browser cannot receive push notifications. Use a current Firefox, Chrome, Edge or Safari, and not a private window.",
};

/** Why this browser cannot subscribe on this page at all, if so. */
function obstacleHere() {
  if (!isSecureContext) return "insecure";
  if ("serviceWorker" in navigator && "PushManager" in window && "Notification" in window) return undefined;
  const phone = navigator.standalone === false && navigator.maxTouchPoints > 1;
  return phone ? "ios-needs-home-screen" : "unsupported";
}

function denied(cause) {
  return new BelfryError("denied", "Notifications are blocked for this site. Allow them in the site settings, behind the icon to the left of the address, and reload the page.", { cause });
}

/** Runs one task at a time over all tabs and the service worker. */
function exclusively(task) {
  return navigator.locks.request("belfry", task);
}

/** Resolves when the registration has an active worker. */
async function activated(registration) {
  const worker = registration.active ?? registration.waiting ?? registration.installing;
  await new Promise((resolve, reject) => {
    const look = () => {
      if (worker.state === "activated") resolve();
      if (worker.state === "redundant") reject(new Error("it failed to install"));
    };
    worker.addEventListener("statechange", look);
    look();
  });
}

/** The promise's result, or the error if it takes longer than ms. */
function within(ms, promise, makeError) {
  let timer;
  const timeout = new Promise((_, reject) => {
    timer = setTimeout(() => reject(makeError()), ms);
  });
  return Promise.race([promise, timeout]).finally(() => clearTimeout(timer));
}

function delay(ms) {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

function fromBase64url(text) {
  const binary = atob(text.replaceAll("-", "+").replaceAll("_", "/"));
  return Uint8Array.from(binary, (character) => character.charCodeAt(0));
}

function sameBytes(buffer, bytes) {
  if (buffer?.byteLength !== bytes.length) return false;
  return new Uint8Array(buffer).every((byte, i) => byte === bytes[i]);
}

// The wishes, shared with belfry-sw.js, which has such functions too. A browser
// that refuses storage still gets its notifications, and this page remembers;
// only the renewal in the service worker and on page open is lost.

const unstored = new Map(); // by scope

function recall(scope) {
  return wishes("readonly", (store) => store.get(scope)).catch(() => unstored.get(scope));
}

function remember(wish) {
  return wishes("readwrite", (store) => store.put(wish)).catch(() => unstored.set(wish.scope, wish));
}

function forget(scope) {
  return wishes("readwrite", (store) => store.delete(scope)).catch(() => unstored.delete(scope));
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
