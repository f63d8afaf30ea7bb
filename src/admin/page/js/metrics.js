// The server's counters (`/metrics`, Prometheus's text format), read again and again, and what can be told of two readings.
import { send } from "./api.js";

export const PERIOD_MS = 2_000;
const KEPT = 150;

/** Readings by now, oldest first; kept while the page is open, so that a chart goes on where it was left. */
const readings = [];
const listeners = new Set();
let timer = null;

/** `{name: [{labels, value}]}` */
export function parse(text) {
  const families = new Map();
  for (const line of text.split("\n")) {
    const [, name, labelText, value] = line.match(/^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)$/) ?? [];
    if (!name) continue;
    const labels = {};
    for (const [, key, content] of (labelText ?? "").matchAll(/(\w+)="((?:[^"\\]|\\.)*)"/g)) labels[key] = content;
    if (!families.has(name)) families.set(name, []);
    families.get(name).push({ labels, value: Number(value) });
  }
  return families;
}

async function read() {
  const response = await send("GET", "/metrics");
  const families = parse(await response.text());
  readings.push({ at: performance.now() / 1000, families });
  if (readings.length > KEPT) readings.shift();
  for (const listener of listeners) listener(readings);
}

/** Calls `listener(readings)` after each reading, until the signal; the first reading is awaited. */
export async function follow(listener, signal) {
  listeners.add(listener);
  signal.addEventListener("abort", () => {
    listeners.delete(listener);
    if (listeners.size === 0) {
      clearInterval(timer);
      timer = null;
    }
  });
  // After a pause the old readings would make one long step.
  if (readings.length && performance.now() / 1000 - readings.at(-1).at > (3 * PERIOD_MS) / 1000) readings.length = 0;
  await read();
  timer ??= setInterval(() => {
    if (document.visibilityState === "visible") read().catch(() => {});
  }, PERIOD_MS);
}

/** The sum of a family's values whose labels fit. */
export function sum({ families }, name, fits = () => true) {
  let total = 0;
  for (const { labels, value } of families.get(name) ?? []) if (fits(labels)) total += value;
  return total;
}

/** Seconds between two readings. */
export const between = (a, b) => Math.max(b.at - a.at, 0.001);

/** How much a counter grew in each second between two readings. A restart begins at nothing. */
export const rate = (a, b, name, fits) => Math.max(0, sum(b, name, fits) - sum(a, name, fits)) / between(a, b);

/** A histogram's quantile between two readings, in its unit: interpolated in its bucket; null where nothing was counted. */
export function quantile(a, b, name, q, fits = () => true) {
  const buckets = new Map();
  const add = ({ families }, sign) => {
    for (const { labels, value } of families.get(`${name}_bucket`) ?? [])
      if (fits(labels)) buckets.set(labels.le, (buckets.get(labels.le) ?? 0) + sign * value);
  };
  add(b, 1);
  if (a) add(a, -1);
  const bounds = [...buckets]
    .map(([le, value]) => [le === "+Inf" ? Infinity : Number(le), value])
    .sort((x, y) => x[0] - y[0]);
  const total = bounds.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  const wanted = q * total;
  let below = 0;
  let from = 0;
  for (const [bound, value] of bounds) {
    if (value >= wanted) {
      if (bound === Infinity) return from;
      return from + (bound - from) * ((wanted - below) / Math.max(value - below, 1e-9));
    }
    below = value;
    from = bound;
  }
  return from;
}

/** A histogram's mean between two readings; null where nothing was counted. */
export function mean(a, b, name, fits) {
  const count = sum(b, `${name}_count`, fits) - (a ? sum(a, `${name}_count`, fits) : 0);
  const total = sum(b, `${name}_sum`, fits) - (a ? sum(a, `${name}_sum`, fits) : 0);
  return count > 0 ? total / count : null;
}
