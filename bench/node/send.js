// A worker of Belfry's benchmarks (worker.go) that sends with node's web-push, over
// connections that are kept.
"use strict";

const fs = require("node:fs");
const https = require("node:https");
const readline = require("node:readline");
const webpush = require("web-push");

const settings = JSON.parse(fs.readFileSync(process.argv[2], "utf8"));
const keys = webpush.generateVAPIDKeys();
webpush.setVapidDetails(settings.subject, keys.publicKey, keys.privateKey);
const agent = new https.Agent({ keepAlive: true, maxSockets: settings.inFlight });
let calls = 0;

function say(value) {
  process.stdout.write(JSON.stringify(value) + "\n");
}

// round has so many sends in flight for a while, and finishes what they began.
async function round(millis) {
  const began = performance.now();
  const before = process.cpuUsage();
  let ops = 0;
  const caller = async () => {
    while (performance.now() - began < millis) {
      const to = settings.subscriptions[calls++ % settings.subscriptions.length];
      await webpush.sendNotification(to, settings.payload, { TTL: 3600, urgency: "high", agent });
      ops++;
    }
  };
  await Promise.all(Array.from({ length: settings.inFlight }, caller));
  const used = process.cpuUsage(before);
  return { ops, took_ms: performance.now() - began, cpu_ms: (used.user + used.system) / 1000 };
}

(async () => {
  say({ ready: {} });
  for await (const line of readline.createInterface({ input: process.stdin })) {
    try {
      say(await round(JSON.parse(line).for_ms));
    } catch (error) {
      say({ error: String(error.body || error) });
    }
  }
  agent.destroy();
})();
