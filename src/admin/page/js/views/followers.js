// How this server and its followers stand: roles, positions, lag, digests.
import { call } from "../api.js";
import { h, replace } from "../dom.js";
import { bytes, count, duration, many } from "../format.js";
import { icon } from "../icons.js";
import { empty, pageHead } from "../shell.js";
import { table } from "../table.js";

const POLL_MS = 2_000;
/** A follower that has said nothing for so long is shown as silent, seconds. */
const SILENT_S = 30;

const ROLES = {
  primary: "Primary: takes writes",
  follower: "Follower: forwards writes",
  fenced: "Fenced: another is the primary",
};

function lagOf(lag) {
  if (!lag || !lag.records) return h("span.chip.good", null, icon("check"), "up to date");
  const parts = [many(lag.records, "entry", "entries"), lag.bytes ? bytes(lag.bytes) : null, duration(lag.seconds)];
  return h("span.chip.warn", null, parts.filter(Boolean).join(", "), " behind");
}

function fact(name, value) {
  return value === null || value === undefined
    ? null
    : h("div.fixed", null, h("dt", null, name), h("dd.mono.wraps", null, String(value)));
}

function own(status) {
  return h(
    "section.card.padded.stack",
    null,
    h(
      "div.card-head",
      null,
      h("h2", null, ROLES[status.role] ?? status.role),
      status.state && h("span.chip", { class: status.state === "following" ? "good" : "warn" }, status.state),
      status.lag && lagOf(status.lag),
    ),
    status.why && h("div.notice.warn", null, icon("warning"), h("span", null, status.why)),
    h(
      "dl.fixed-list",
      null,
      fact("Position", status.position),
      fact("Epoch", status.epoch),
      fact("Chain", status.chain),
      fact("Digest", status.digest),
      fact("Node", status.node),
      fact("Primary", status.primary),
      fact("Writes wait for", status.syncFollowers ? many(status.syncFollowers, "follower") : null),
      fact("Log copied to", status.archive?.position),
    ),
    status.archive?.error && h("div.notice.bad", null, icon("warning"), h("span", null, status.archive.error)),
  );
}

function row(follower) {
  const silent = follower.silentSeconds > SILENT_S;
  return h(
    "tr",
    null,
    h(
      "th",
      { scope: "row" },
      h("code", null, follower.node),
      follower.url && h("span.quiet.small.beside", null, follower.url),
    ),
    h("td", null, lagOf(follower.lag)),
    h("td", null, h("code", null, follower.acked)),
    h("td.number", null, count(follower.seq)),
    h(
      "td",
      null,
      silent
        ? h("span.chip.bad", null, `silent for ${duration(follower.silentSeconds)}`)
        : duration(follower.silentSeconds),
    ),
  );
}

export async function followersView(signal) {
  const place = h("div.stack");
  const reload = async () => {
    const status = await call("GET", "/api/replication", { signal });
    const head = ["Follower", "Lag", "Acknowledged", "Entry", "Heard of"];
    replace(
      place,
      own(status),
      status.followers &&
        (status.followers.length
          ? table("Followers", head, status.followers.map(row))
          : h(
              "div.card",
              null,
              empty(
                "layers",
                "No followers",
                "Another server follows this one with millpond serve --follow and this server's address.",
              ),
            )),
    );
  };
  await reload();
  const timer = setInterval(() => document.visibilityState === "visible" && reload().catch(() => {}), POLL_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return h(
    "div.page.narrow",
    null,
    pageHead({ title: "Followers", sub: "Servers with a copy of their own, each at a position of the log." }),
    place,
  );
}
