// Handlers: what is done with each change, how each is getting on, what it gave up, and sending again.
import * as api from "../api.js";
import { h, newId, replace } from "../dom.js";
import { confirm, open } from "../dialog.js";
import { openRecord } from "../form/record.js";
import { ago, count, date, duration, many } from "../format.js";
import { icon } from "../icons.js";
import { empty, pageHead, told } from "../shell.js";
import { collection as find, collections } from "../store.js";
import { toast } from "../toast.js";
import { table } from "../table.js";

const HANDLERS = "_handlers";
const LETTERS = "_deadLetters";
const POLL_MS = 2_000;

const KINDS = {
  webhook: ["hook", "Webhook"],
  collection: ["table", "Into a collection"],
  cache: ["layers", "Drops what is kept"],
};
/** What each kind is asked for, beside what all are. */
const OF_KIND = {
  webhook: ["url", "secret", "headers", "timeout"],
  collection: ["target", "key", "set"],
  cache: ["patterns"],
};
const OF_SOME = Object.values(OF_KIND).flat();
const HINTS = {
  actions: "none chosen: all of them",
  filter: "an expression over the record; @old is the one before",
  secret: "whsec_ and a key in Base64: signs each message",
  headers: 'such as {"X-From": "millpond"}',
  timeout: "seconds, 15 at most",
  key: "an expression for the id of the record that is made or changed; none: a new record each time",
  set: 'expressions for its fields, such as {"total+": "total"}',
  patterns: 'such as ["orders/*"]',
};

/** What a handler's form has beyond any record's. */
async function special() {
  const names = (await collections()).map((one) => one.name);
  const choices = {
    collections: { values: names.filter((name) => name !== LETTERS), many: true },
    target: { values: names },
  };
  return { shows, hints: HINTS, choices };
}

const shows = (name, body) => !OF_SOME.includes(name) || (OF_KIND[body.kind] ?? []).includes(name);

/** How long ago a handler's oldest change is that it hasn't dealt with. */
function lag(status) {
  if (!status.lag) return h("span.chip.good", null, icon("check"), "up to date");
  return h("span.chip.warn", null, `${many(status.lag, "entry", "entries")} behind, ${duration(status.lagSeconds)}`);
}

function figures(handler, status) {
  const rows = [
    ["Acknowledged", count(status.acknowledged)],
    ["Failed tries", count(status.failed)],
  ];
  if (handler.kind === "webhook")
    rows.push(
      ["Waiting", count(status.waiting)],
      ["In flight", count(status.inFlight)],
      ["Retrying", count(status.retrying)],
    );
  return h(
    "dl.figures",
    null,
    rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd.number", null, value))),
  );
}

function card(handler, reload) {
  const [sign, words] = KINDS[handler.kind] ?? ["bolt", handler.kind];
  const live = h("div.stack.tight");
  const enabled = h("input.switch", {
    type: "checkbox",
    role: "switch",
    checked: handler.enabled !== false,
    "aria-label": `${handler.name} is enabled`,
  });
  enabled.addEventListener(
    "change",
    told(async () => {
      await api.call("PATCH", api.recordPath(HANDLERS, handler.id), { body: { enabled: enabled.checked } });
      toast(enabled.checked ? "It goes on from where it was" : "It stands still, and goes on from there when enabled");
      await reload();
    }),
  );
  const edit = told(async () => {
    if (await openRecord(await find(HANDLERS), handler.id, { ...(await special()), title: handler.name }))
      await reload();
  });
  const actions = [].concat(handler.actions ?? []).join(", ") || "all changes";
  const where =
    handler.kind === "webhook"
      ? handler.url
      : handler.kind === "collection"
        ? `into ${handler.target}`
        : [].concat(handler.patterns ?? []).join(", ");
  const element = h(
    "article.card.padded.stack",
    { "aria-label": handler.name },
    h("div.card-head", null, h("h2.ellipsis", null, handler.name), h("span.chip", null, icon(sign), words), enabled),
    h(
      "p.small",
      null,
      h("span.quiet", null, `${actions} of ${[].concat(handler.collections).join(", ")}`),
      handler.filter && [" where ", h("code", null, handler.filter)],
      h("br"),
      h("span.clip.mono.ellipsis", null, where ?? ""),
    ),
    live,
    h(
      "div.row",
      null,
      h("button.button.little", { type: "button", on: { click: edit } }, icon("pencil"), "Change"),
      handler.kind === "webhook" &&
        h(
          "button.button.little",
          { type: "button", on: { click: () => redeliver(handler) } },
          icon("refresh"),
          "Send again",
        ),
    ),
  );
  return {
    element,
    show(status) {
      replace(
        live,
        h(
          "div.row.tight",
          null,
          handler.enabled === false ? h("span.chip", null, icon("pause"), "not enabled") : lag(status),
          status.deadLetters
            ? h("span.chip.bad", null, icon("warning"), many(status.deadLetters, "dead letter"))
            : null,
          status.lost ? h("span.chip.bad", null, icon("warning"), "some changes were lost") : null,
        ),
        figures(handler, status),
        status.lastError &&
          h(
            "p.small.bad-text",
            null,
            "Last error: ",
            typeof status.lastError === "string"
              ? status.lastError
              : (status.lastError.message ?? JSON.stringify(status.lastError)),
          ),
        h("p.quiet.small", null, "Stands at ", h("code", null, status.cursor ?? "–")),
      );
    },
  };
}

function redeliver(handler) {
  return open({ title: `Send again from ${handler.name}` }, ({ body, foot, close }) => {
    const id = newId("since");
    const fault = h("p.fault", { hidden: true, id: newId("fault"), role: "alert" });
    const since = h("input.input.code", {
      id,
      placeholder: "1-736df240-9",
      "aria-describedby": fault.id,
      autocomplete: "off",
      spellcheck: "false",
    });
    const say = (message) => {
      fault.hidden = false;
      replace(fault, icon("warning"), h("span", null, message));
      since.focus();
    };
    const send = async () => {
      if (!since.value.trim()) return say("is required");
      try {
        await api.call("POST", `/api/handlers/${encodeURIComponent(handler.id)}/redeliver`, {
          body: { since: since.value.trim() },
        });
        toast("All since then is sent again");
        close();
      } catch (error) {
        say(error.faults.since?.message ?? error.message);
      }
    };
    body.append(
      h("p", null, "Every change behind a position of the log is sent once more, with the ids that the messages had."),
      h(
        "div.field",
        null,
        h("label", { for: id }, "Position"),
        since,
        h("p.hint", null, "as in Millpond-Seq, or in the seq of a message"),
        fault,
      ),
    );
    foot.append(
      h("button.button", { type: "button", on: { click: () => close() } }, "Cancel"),
      h("button.button.primary", { type: "button", on: { click: send } }, "Send again"),
    );
  });
}

function letterRow(letter, handlers, reload) {
  const handler = handlers.find((one) => one.id === letter.handler);
  const again = told(async () => {
    await api.call("POST", `/api/handlers/${encodeURIComponent(letter.handler)}/redeliver`, {
      body: { deadLetter: letter.id },
    });
    toast("Sent");
    await reload();
  });
  const remove = told(async () => {
    if (
      !(await confirm({
        title: "Delete this dead letter?",
        text: "What it was about is then told nobody.",
        yes: "Delete",
      }))
    )
      return;
    await api.call("DELETE", api.recordPath(LETTERS, letter.id));
    await reload();
  });
  return h(
    "tr",
    null,
    h("td", null, h("time.number", { title: date(letter.created) }, ago(letter.created))),
    h("td", null, handler?.name ?? letter.handler),
    h("td", null, h("span.chip", { class: letter.kind === "gap" ? "bad" : "" }, letter.kind)),
    h("td.wraps", null, letter.error),
    h("td.number", null, letter.attempts ?? "–"),
    h(
      "td",
      null,
      h(
        "span.row.tight.one-line",
        null,
        letter.event && h("button.button.little", { type: "button", on: { click: () => showLetter(letter) } }, "Look"),
        letter.kind === "event" &&
          handler?.kind === "webhook" &&
          h("button.button.little", { type: "button", on: { click: again } }, "Send again"),
        h(
          "button.button.plain.little.square",
          { type: "button", "aria-label": "Delete the dead letter", on: { click: remove } },
          icon("trash"),
        ),
      ),
    ),
  );
}

const showLetter = (letter) =>
  open({ title: "Dead letter", kind: "modal wide" }, ({ body }) =>
    body.append(
      h("p", null, letter.error),
      h("pre.event-json", { tabindex: "0" }, JSON.stringify(letter.event, null, 2)),
    ),
  );

export async function handlersView(signal) {
  const place = h("div.cards.wide");
  const letters = h("section.stack");
  let cards = [];
  let handlers = [];

  async function reload() {
    const [found, dead] = await Promise.all([
      api.list(HANDLERS, { perPage: 200, sort: "name" }),
      api.list(LETTERS, { perPage: 50, sort: "-created" }),
    ]);
    if (signal.aborted) return;
    handlers = found.items;
    cards = handlers.map((handler) => [handler, card(handler, reload)]);
    replace(
      place,
      handlers.length
        ? cards.map(([, one]) => one.element)
        : h(
            "div.card",
            null,
            empty(
              "hook",
              "No handlers yet",
              "A handler does something with each change: sends a webhook, writes into another collection, or drops what is kept.",
              button("button.button"),
            ),
          ),
    );
    const head = ["When", "Handler", "Kind", "Error", "Tries", "What to do"];
    replace(
      letters,
      h("h2", null, `Dead letters${dead.totalItems ? ` (${count(dead.totalItems)})` : ""}`),
      dead.items.length
        ? table(
            "Dead letters",
            head,
            dead.items.map((letter) => letterRow(letter, handlers, reload)),
          )
        : h("p.quiet", null, "None: nothing was given up."),
    );
    await poll();
  }

  async function poll() {
    await Promise.all(
      cards.map(async ([handler, one]) => {
        const status = await api
          .call("GET", `/api/handlers/${encodeURIComponent(handler.id)}/status`, { signal })
          .catch(() => null);
        if (status) one.show(status);
      }),
    );
  }

  const create = told(async () => {
    if (
      await openRecord(await find(HANDLERS), null, {
        ...(await special()),
        title: "New handler",
        only: ["name", "kind", "collections", "actions", "filter", ...OF_SOME, "enabled"],
      })
    )
      await reload();
  });
  const button = (tag) => h(tag, { type: "button", on: { click: create } }, icon("plus"), "New handler");
  await reload();
  const timer = setInterval(() => document.visibilityState === "visible" && poll(), POLL_MS);
  signal.addEventListener("abort", () => clearInterval(timer));
  return h(
    "div.page",
    null,
    pageHead(
      {
        title: "Handlers",
        sub: "What is done with each change. Each has its own place in the log, and no write waits for it.",
      },
      button("button.button.primary"),
    ),
    place,
    letters,
  );
}
