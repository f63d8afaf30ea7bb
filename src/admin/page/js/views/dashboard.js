// The server at a glance: what it does just now, over the last minutes, and what it holds.
import { call } from "../api.js";
import { chart } from "../charts.js";
import { h, replace } from "../dom.js";
import { bytes, count, decimal, duration, many, percent } from "../format.js";
import { icon } from "../icons.js";
import { follow, mean, PERIOD_MS, quantile, rate, sum } from "../metrics.js";
import { to } from "../router.js";
import { pageHead } from "../shell.js";
import { collections, isOwn } from "../store.js";

const REQUESTS = "millpond_http_request_seconds";
const SYNC = "millpond_log_sync_seconds";
const WRITES = "millpond_commands_committed_total";
const REFUSED = "millpond_commands_refused_total";
/** What the page itself asks for every two seconds, and streams, whose answers never end. */
const OWN = new Set(["/metrics"]);

const isFast = ({ route }) => !OWN.has(route) && !["/api/realtime", "/api/changes", "/api/ws"].includes(route);
const ofClass = (first) => (labels) => !OWN.has(labels.route) && labels.status?.startsWith(first);

const perSecond = (value) => `${value < 10 ? decimal(value) : count(value)}/s`;

/** Values of each step between two readings. */
const steps = (readings, value) => readings.slice(1).map((reading, at) => value(readings[at], reading));

function cacheOf(tiers) {
  const [hits, misses] = ["hits", "misses"].map((key) => tiers.reduce((total, tier) => total + tier[key], 0));
  return hits + misses ? hits / (hits + misses) : NaN;
}

function tile(label, sign) {
  const value = h("span.tile-value.number", null, "–");
  const more = h("span.quiet.small", null, "");
  const element = h("div.card.tile", null, h("span.quiet.small.tile-label", null, icon(sign), label), value, more);
  return {
    element,
    set(text, below = "") {
      value.textContent = text;
      more.textContent = below;
    },
  };
}

export async function dashboardView(signal) {
  const [health, all] = await Promise.all([call("GET", "/api/health"), collections()]);
  const tiles = {
    requests: tile("Requests", "bolt"),
    latency: tile("Typical answer", "pulse"),
    writes: tile("Writes", "pencil"),
    hits: tile("Cache hits", "layers"),
    position: tile("Position", "disk"),
    memory: tile("Memory", "columns"),
  };
  const charts = {
    requests: chart({
      title: "Requests",
      series: [
        { name: "good", colour: 1 },
        { name: "refused", colour: 2 },
        { name: "failed", colour: 3 },
      ],
      show: perSecond,
    }),
    latency: chart({
      title: "Time to an answer",
      series: [
        { name: "half", colour: 1 },
        { name: "99 %", colour: 2 },
      ],
      show: duration,
    }),
    writes: chart({
      title: "Writes",
      series: [
        { name: "logged", colour: 1 },
        { name: "refused", colour: 2 },
      ],
      show: perSecond,
    }),
    sync: chart({
      title: "Write and fsync of the log",
      series: [
        { name: "half", colour: 4 },
        { name: "99 %", colour: 2 },
      ],
      show: duration,
    }),
    cache: chart({ title: "Answers from the cache", series: [{ name: "", colour: 1 }], show: percent, floor: 1 }),
    memory: chart({ title: "Memory of the process", series: [{ name: "", colour: 4 }], show: bytes }),
  };
  const hitRates = [];
  let tiersBefore = null;

  async function cacheStep(length) {
    const { tiers } = await call("GET", "/api/cache", { signal });
    if (tiersBefore) {
      const grown = tiers.map((tier, at) => ({
        hits: tier.hits - tiersBefore[at].hits,
        misses: tier.misses - tiersBefore[at].misses,
      }));
      const part = cacheOf(grown);
      hitRates.push(Number.isFinite(part) ? part : null);
    }
    tiersBefore = tiers;
    while (hitRates.length > length) hitRates.shift();
    return tiers;
  }

  const started = (reading) => Date.now() / 1000 - sum(reading, "process_start_time_seconds");

  function show(readings) {
    const now = readings.at(-1);
    const before = readings.at(-2);
    const ages = readings.slice(1).map((reading) => now.at - reading.at);
    charts.requests.update(
      ["2", "4", "5"].map((first) => steps(readings, (a, b) => rate(a, b, `${REQUESTS}_count`, ofClass(first)))),
      ages,
    );
    charts.latency.update(
      [0.5, 0.99].map((q) => steps(readings, (a, b) => quantile(a, b, REQUESTS, q, isFast))),
      ages,
    );
    charts.writes.update(
      [WRITES, REFUSED].map((name) => steps(readings, (a, b) => rate(a, b, name))),
      ages,
    );
    charts.sync.update(
      [0.5, 0.99].map((q) => steps(readings, (a, b) => quantile(a, b, SYNC, q))),
      ages,
    );
    charts.memory.update([readings.slice(1).map((reading) => sum(reading, "process_resident_memory_bytes"))], ages);
    const total = sum(now, `${REQUESTS}_count`, (labels) => !OWN.has(labels.route));
    tiles.requests.set(
      before ? perSecond(rate(before, now, `${REQUESTS}_count`, (labels) => !OWN.has(labels.route))) : "–",
      `${count(total)} since the start`,
    );
    const half = quantile(null, now, REQUESTS, 0.5, isFast);
    tiles.latency.set(
      half === null ? "–" : duration(half),
      `99 % within ${duration(quantile(null, now, REQUESTS, 0.99, isFast) ?? NaN)}`,
    );
    const sync = mean(null, now, SYNC);
    tiles.writes.set(
      before ? perSecond(rate(before, now, WRITES)) : "–",
      sync === null ? "none since the start" : `an fsync takes ${duration(sync)}`,
    );
    tiles.position.set(
      count(sum(now, "millpond_position")),
      `${bytes(sum(now, "millpond_log_bytes"))} of log, ${bytes(sum(now, "millpond_base_bytes"))} of tables`,
    );
    tiles.memory.set(bytes(sum(now, "process_resident_memory_bytes")), `up for ${duration(started(now))}`);
    cacheStep(readings.length)
      .then((tiers) => {
        tiles.hits.set(percent(cacheOf(tiers)), `${bytes(tiers.reduce((all, tier) => all + tier.bytes, 0))} kept`);
        charts.cache.update([hitRates], ages.slice(-hitRates.length));
      })
      .catch(() => {}); // The next reading says so, too.
  }

  await follow(show, signal);
  const data = all.filter((one) => !isOwn(one));
  const places = h("ul.shelf");
  replace(
    places,
    data.map((one) =>
      h(
        "li",
        null,
        h(
          "a.card.shelf-item",
          { href: to("collections", one.name) },
          icon(one.type === "auth" ? "users" : "table"),
          h("span.grow.ellipsis", null, one.name),
          h("span.quiet.small", null, many(one.fields.length, "field")),
        ),
      ),
    ),
  );
  return h(
    "div.page",
    null,
    pageHead({ title: "Overview", sub: `Millpond ${health.data.version}, read every ${PERIOD_MS / 1000} seconds` }),
    h(
      "div.tiles",
      null,
      Object.values(tiles).map(({ element }) => element),
    ),
    h(
      "div.charts",
      null,
      Object.values(charts).map(({ element }) => element),
    ),
    data.length
      ? [h("h2", null, "Collections"), places]
      : h(
          "div.notice",
          null,
          icon("table"),
          h("span", null, "There are no collections yet."),
          h("a.button.little", { href: "#new" }, "Define the first"),
        ),
  );
}
