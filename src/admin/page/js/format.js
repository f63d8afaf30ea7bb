// Numbers, times and sizes as people read them.

const whole = new Intl.NumberFormat("en", { maximumFractionDigits: 0 });
const few = new Intl.NumberFormat("en", { maximumFractionDigits: 2 });

export const count = (number) => whole.format(number);
export const decimal = (number) => few.format(number);

/** One thing, or so many. */
export const many = (number, one, more = `${one}s`) => `${count(number)} ${number === 1 ? one : more}`;

export function bytes(number) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let at = 0;
  let value = number;
  while (value >= 1024 && at < units.length - 1) {
    value /= 1024;
    at += 1;
  }
  return `${at === 0 ? whole.format(value) : value.toFixed(value < 10 ? 1 : 0)} ${units[at]}`;
}

/** Seconds as µs, ms or s. */
export function duration(seconds) {
  if (!Number.isFinite(seconds)) return "–";
  if (seconds === 0) return "0 ms";
  if (seconds < 0.001) return `${whole.format(seconds * 1e6)} µs`;
  if (seconds < 1) return `${(seconds * 1e3).toFixed(seconds < 0.1 ? 1 : 0)} ms`;
  if (seconds < 120) return `${seconds.toFixed(1)} s`;
  if (seconds < 7200) return `${whole.format(seconds / 60)} min`;
  return `${whole.format(seconds / 3600)} h`;
}

export const percent = (part) =>
  Number.isFinite(part) ? `${(100 * part).toFixed(part > 0.995 && part < 1 ? 1 : 0)} %` : "–";

/** The server's `2026-03-02 07:15:00.000Z` without what says nothing. */
export function date(text) {
  return String(text)
    .replace("T", " ")
    .replace(/\.000Z$|Z$/, "")
    .replace(/ 00:00:00$/, "");
}

/** How long ago, in one unit. */
export function ago(text, now = Date.now()) {
  const seconds = (now - Date.parse(String(text).replace(" ", "T"))) / 1000;
  if (!Number.isFinite(seconds)) return "";
  if (seconds < 5) return "just now";
  const units = [
    [60, "s", 1],
    [3600, "min", 60],
    [86_400, "h", 3600],
    [Infinity, "d", 86_400],
  ];
  const [, unit, size] = units.find(([limit]) => seconds < limit);
  return `${Math.floor(seconds / size)} ${unit} ago`;
}

const ENTITIES = { amp: "&", lt: "<", gt: ">", quot: '"', apos: "'", nbsp: " " };

/** The words of HTML, for a table's cell; it is not parsed, and never shown as markup. */
export function plain(html) {
  const words = html.replace(/<[^>]*>/g, " ").replace(/&(#?\w+);/g, (whole, name) => {
    if (name.startsWith("#")) return String.fromCodePoint(Number(name.slice(1).replace(/^x/, "0x")) || 32);
    return ENTITIES[name] ?? whole;
  });
  return words.replace(/\s+/g, " ").trim();
}
