// What this server has of what not every version has: asked once in each tab, by a call that is there or is 404.
import { has } from "./api.js";

const KEY = "millpond-features";
const PATHS = { followers: "/api/replication", backups: "/api/backups" };

let known = null;

async function ask() {
  const kept = sessionStorage.getItem(KEY);
  if (kept !== null) return new Set(JSON.parse(kept));
  const found = await Promise.all(Object.entries(PATHS).map(async ([name, path]) => [name, await has(path)]));
  const names = found.filter(([, there]) => there).map(([name]) => name);
  sessionStorage.setItem(KEY, JSON.stringify(names));
  return new Set(names);
}

/** The names of those that are there. */
export function features() {
  known ??= ask().catch(() => new Set());
  return known;
}
