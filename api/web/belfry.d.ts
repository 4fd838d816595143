/** Types of belfry.js, Belfry's part in a web page. */

/** A user token: short-lived, made by your backend for the user who is signed in. */
export type Token = string;

export interface BelfryOptions {
  /**
   * Belfry's base URL, as in `https://push.example` or `https://example.com/belfry/`.
   * By default the place this module was loaded from.
   */
  url?: string | URL;

  /**
   * A user token, or a function that gives one. The function is called before
   * every request, so it decides about caching; it gives nothing (`undefined`,
   * `null`, `""`) while nobody is signed in.
   */
  token: Token | (() => Token | null | undefined | Promise<Token | null | undefined>);

  /**
   * Where the service worker comes from.
   *
   * A string is the path of its script on the page's own origin, by default
   * `/belfry-sw.js`. It is registered with a scope of its own
   * (`/belfry-sw/`), so it controls no page and takes no other worker's place.
   *
   * If your application has a service worker, it may import Belfry's script;
   * then give its registration, or the promise of it:
   * `serviceWorker: navigator.serviceWorker.ready`. A worker has one push
   * subscription, so it must not serve another push sender too.
   */
  serviceWorker?: string | ServiceWorkerRegistration | Promise<ServiceWorkerRegistration>;

  /** How long, in milliseconds, to wait for the push service, the service worker, or one answer of Belfry's. 15,000 by default. */
  timeout?: number;
}

/**
 * Where this browser stands.
 *
 * - `insecure`: the page is not a secure context; it needs https.
 * - `unsupported`: the browser has no Web Push (also: private windows).
 * - `ios-needs-home-screen`: iPhone or iPad; works once the page is opened from the Home Screen.
 * - `denied`: the person blocked notifications; only the browser's site settings undo that.
 * - `prompt`: the person has not been asked yet; `subscribe()` asks.
 * - `unsubscribed`: notifications are allowed, but this browser is not subscribed.
 * - `unconfirmed`: the browser is subscribed, but Belfry could not be told yet; `refresh()` or the next page open does.
 * - `subscribed`: the browser is subscribed, and Belfry confirmed it.
 */
export type State =
  | "insecure"
  | "unsupported"
  | "ios-needs-home-screen"
  | "denied"
  | "prompt"
  | "unsubscribed"
  | "unconfirmed"
  | "subscribed";

/**
 * What went wrong.
 *
 * - `insecure`, `unsupported`, `ios-needs-home-screen`, `denied`: as the states of the same name.
 * - `dismissed`: the question was closed without an answer; it may be asked again.
 * - `service-worker`: the service worker's script is missing or does not start.
 * - `push-service`: the browser's push service refused or could not be reached.
 * - `timeout`: the browser's push service did not answer in time.
 * - `unreachable`: Belfry gave no answer, or answered 408, 429 or 5xx, again and again.
 * - `unauthorized`: no user token, or one that Belfry does not accept (401, 403).
 * - `rejected`: Belfry answered with another 4xx; see `problem`.
 */
export type ErrorCode =
  | "insecure"
  | "unsupported"
  | "ios-needs-home-screen"
  | "denied"
  | "dismissed"
  | "service-worker"
  | "push-service"
  | "timeout"
  | "unreachable"
  | "unauthorized"
  | "rejected";

/** An RFC 9457 problem, as Belfry answers errors with. */
export interface Problem {
  type: string;
  title: string;
  status: number;
  /** A sentence for a person, saying what to do. */
  detail: string;
  code: string;
  /** The member of the request that is wrong, if one is. */
  field?: string;
}

/** Every error that Belfry's methods reject with. `message` is a sentence for a person, saying what to do. */
export class BelfryError extends Error {
  readonly name: "BelfryError";
  readonly code: ErrorCode;
  /** The HTTP status of Belfry's answer, if it gave one. */
  readonly status?: number;
  /** Belfry's problem document, if it gave one. */
  readonly problem?: Problem;
}

/**
 * One user's subscription of this browser.
 *
 * Create it on every page, once the user is signed in. If the user subscribed
 * before, the constructor quietly registers this browser again, because
 * endpoints change, keys are rotated, and people share computers: a browser
 * registered with another user's token moves to that user. It never asks for
 * permission and never subscribes someone who did not.
 */
export class Belfry {
  constructor(options: BelfryOptions);

  /** Settles when the constructor's re-registration is done, with the state then. Its failures are logged, not thrown. */
  readonly ready: Promise<State>;

  /** Where this browser stands now. Asks the browser only, not Belfry. */
  state(): Promise<State>;

  /**
   * Subscribes this browser for the token's user: asks for permission if
   * needed, starts the service worker, subscribes at the browser's push service
   * and registers at Belfry. Safe to call again.
   *
   * Call it directly from a click or a key press: browsers ask for permission
   * only then.
   *
   * @throws {BelfryError}
   */
  subscribe(): Promise<State>;

  /**
   * Registers an existing subscription again, as the constructor does. Call it
   * when another user signed in without a page load. Without a subscription,
   * or without a token, it does nothing. A subscription that was made with
   * another VAPID key than the current one is replaced by a new one.
   *
   * @throws {BelfryError}
   */
  refresh(): Promise<State>;

  /**
   * Ends the subscription, at Belfry and in the browser. It succeeds if one of
   * the two can be reached: the other learns of it by the next push. Call it
   * before you sign a user out, while the token is still valid.
   *
   * @throws {BelfryError}
   */
  unsubscribe(): Promise<State>;
}

/**
 * `notification.data` of a notification that Belfry's service worker showed,
 * for listeners in the application's own service worker.
 */
export interface BelfryNotificationData<Data = unknown> {
  belfry: {
    /** The notification's id. */
    id?: string;
    /** What a click opens. */
    navigate?: string;
    /** What the buttons open, by their `action`. */
    actions: Record<string, string | undefined>;
    /** What proves to Belfry which notification a receipt is of. For Belfry's service worker alone. */
    receipt?: string;
    /** What the sender wants to be told: the service worker does it. */
    receipts?: ("shown" | "clicked" | "closed")[];
  };
  /** What the sender put into the notification's `data`. */
  data?: Data;
}
