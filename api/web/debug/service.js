// What the page asks of Belfry, and with which key.

const KEPT_AS = "belfry-admin-key";
const PATIENCE = 6000; // milliseconds for an answer

let key = recall();
let ahead = 0; // milliseconds that Belfry's clock is ahead of the browser's

function recall() {
  try {
    return sessionStorage.getItem(KEPT_AS) ?? "";
  } catch {
    return "";
  }
}

export const hasKey = () => key !== "";

/** Takes a key, for as long as this tab is open; "" forgets it. */
export function useKey(given) {
  key = given;
  try {
    if (given) sessionStorage.setItem(KEPT_AS, given);
    else sessionStorage.removeItem(KEPT_AS);
  } catch {
    // Without storage the key lasts until the page is loaded again.
  }
}

/** What time it is by Belfry's clock, in milliseconds since 1970. */
export const now = () => Date.now() + ahead;

/** Sets the clock by a time that Belfry has just told. */
export function setClock(iso) {
  ahead = Date.parse(iso) - Date.now();
}

/**
 * Why there was no answer. kind: "key" (it is not taken), "denied" (it may not
 * do this), "away" (nobody answers), "standby", "busy" (wait), "absent" (there
 * is no such thing) or "broken".
 */
class Trouble extends Error {
  constructor(kind, message, retryAfter = 0) {
    super(message);
    this.kind = kind;
    this.retryAfter = retryAfter; // milliseconds
  }
}

/** Asks for JSON; rejects with a Trouble, or with an AbortError if the signal says so. */
export async function get(path, signal) {
  const late = AbortSignal.timeout(PATIENCE);
  let response;
  try {
    response = await fetch(path, {
      headers: { Authorization: `Bearer ${key}` },
      cache: "no-store",
      credentials: "omit",
      signal: signal ? AbortSignal.any([signal, late]) : late,
    });
    const answer = await response.json();
    if (response.ok) return answer;
    throw troubleOf(response, answer);
  } catch (error) {
    if (error instanceof Trouble || signal?.aborted) throw error;
    if (!response) throw new Trouble("away", late.aborted ? `It gave no answer in ${PATIENCE / 1000} seconds.` : "It cannot be reached.");
    throw new Trouble("away", `It answered ${response.status} and nothing that Belfry says. Is a proxy between?`);
  }
}

function troubleOf(response, { code = "", detail = "" }) {
  const wait = Number(response.headers.get("Retry-After")) * 1000 || 0;
  switch (response.status) {
    case 401: return new Trouble("key", detail);
    case 403: return new Trouble("denied", detail);
    case 400:
    case 404: return new Trouble("absent", detail);
    case 429: return new Trouble("busy", detail, wait);
    case 503: return new Trouble(code === "standby" ? "standby" : "busy", detail, wait);
    default: return new Trouble("broken", detail || `It answered ${response.status} ${response.statusText}.`);
  }
}

/** Where an actor is found, by its path. A segment is escaped already, and once more in a URL. */
export const actorAt = (path) => "/debug/actors" + path.replace(/\/$/, "").split("/").map(encodeURIComponent).join("/");
