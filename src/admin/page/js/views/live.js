// A live view of changes: what happens in the collections chosen, as it happens.
import { h, newId, replace } from "../dom.js";
import { showPlace } from "../expression.js";
import { icon } from "../icons.js";
import { parameters, setParameters, to } from "../router.js";
import { empty, pageHead } from "../shell.js";
import { listen } from "../sse.js";
import { collections, isOwn } from "../store.js";

/** Events that are kept on the page. */
const SHOWN = 200;

const KINDS = { create: "good", enter: "good", update: "info", delete: "bad", leave: "bad" };

export async function liveView(signal) {
  const all = await collections();
  const asked = parameters();
  const names = all.map((one) => one.name);
  const atFirst =
    asked
      .get("of")
      ?.split(",")
      .filter((name) => names.includes(name)) ?? all.filter((one) => !isOwn(one)).map((one) => one.name);
  const chosen = new Set(atFirst);
  let stream = null;
  let paused = false;
  let waiting = [];

  const state = h("span.chip", { role: "status" }, "not listening");
  const list = h("ol.events", { "aria-label": "Changes, newest first" });
  const news = h("span.heard", { "aria-live": "polite" });
  const place = h("div.card.events-frame", null, list);
  const fault = h("div.fault", { hidden: true, id: newId("fault"), role: "alert" });
  const filter = h("input.input.code", {
    type: "search",
    value: asked.get("filter") ?? "",
    placeholder: "Filter, such as  total > 5",
    "aria-label": "Filter",
    "aria-describedby": fault.id,
    spellcheck: "false",
    autocomplete: "off",
  });
  const pause = h("button.button", { type: "button", on: { click: turn } });

  function showPause() {
    replace(
      pause,
      icon(paused ? "play" : "pause"),
      paused ? `Go on${waiting.length ? ` (${waiting.length} new)` : ""}` : "Pause",
    );
  }

  function turn() {
    paused = !paused;
    if (!paused) {
      for (const event of waiting) add(event);
      waiting = [];
    }
    showPause();
  }

  function nothing(text) {
    if (!list.childElementCount)
      replace(place, list, empty("stream", text, "Write something, here or by the API, and it shows up at once."));
  }

  function item({ action, record, collection, at }) {
    const gone = action === "delete" || action === "leave";
    const words = Object.entries(record)
      .filter(([name, value]) => !["id", "collectionId", "collectionName"].includes(name) && value !== null)
      .map(([name, value]) => `${name}: ${typeof value === "object" ? JSON.stringify(value) : value}`)
      .join("  ");
    const name = h("code", null, `${collection}/${record.id}`);
    return h(
      "li.event",
      null,
      h("span.chip.event-kind", { class: KINDS[action] ?? "" }, action),
      gone ? name : h("a", { href: to("collections", collection, record.id) }, name),
      h(
        "details.grow",
        null,
        h("summary.ellipsis", null, h("span.quiet.small", null, words || (gone ? "gone" : "no values"))),
        h("pre.event-json", null, JSON.stringify(record, null, 2)),
      ),
      h("time.quiet.small.number", null, at),
    );
  }

  function add(event) {
    if (!list.childElementCount) replace(place, list);
    list.prepend(item(event));
    while (list.childElementCount > SHOWN) list.lastElementChild.remove();
    news.textContent = `${event.action} of ${event.collection} ${event.record.id}`;
  }

  function told(name, data) {
    if (name === "reset") {
      news.textContent = `reset: ${data.reason}`;
      list.prepend(
        h(
          "li.event",
          null,
          h("span.chip.warn.event-kind", null, "reset"),
          h("span.small", null, `What was shown may be old: ${data.reason ?? ""}`),
        ),
      );
      return;
    }
    if (!data.record) return;
    const [one] = chosen;
    const event = {
      ...data,
      collection: data.collection ?? data.record.collectionName ?? (chosen.size === 1 ? one : ""),
      at: new Date().toLocaleTimeString(),
    };
    if (paused) {
      waiting = [...waiting, event].slice(-SHOWN);
      showPause();
    } else add(event);
  }

  function begin() {
    stream?.abort();
    setParameters({ of: [...chosen].join(","), filter: filter.value.trim() });
    showPlace(fault, filter, "");
    if (chosen.size === 0) {
      state.className = "chip";
      state.textContent = "not listening";
      return nothing("Nothing is listened to");
    }
    stream = new AbortController();
    const subscribe = [...chosen].map((name) => `${name}/*`).join(",");
    const on = {
      event: told,
      state(word) {
        state.className = `chip ${word === "live" ? "good live" : "warn"}`;
        state.textContent = word === "live" ? "live" : "connecting again…";
      },
      refused(error) {
        state.className = "chip bad";
        state.textContent = "refused";
        const said = Object.values(error.faults)[0]?.message;
        showPlace(fault, filter, said && !/column/.test(error.message) ? said : error.message);
      },
    };
    listen({ subscribe, filter: filter.value.trim() }, on, stream.signal);
    nothing("Listening");
  }

  const boxes = all.map((one) => {
    const box = h("input", { type: "checkbox", checked: chosen.has(one.name) });
    box.addEventListener("change", () => {
      if (box.checked) chosen.add(one.name);
      else chosen.delete(one.name);
      begin();
    });
    return h("label.check.pick", null, box, one.name);
  });
  filter.addEventListener("change", begin);
  signal.addEventListener("abort", () => stream?.abort());
  showPause();
  begin();
  return h(
    "div.page",
    null,
    pageHead(
      { title: "Live", sub: "Changes as they are written, by the same stream that clients have." },
      state,
      h("button.button", { type: "button", on: { click: () => (replace(list), nothing("Listening")) } }, "Clear"),
      pause,
    ),
    h(
      "div.card.padded.stack",
      null,
      h("div.options", { role: "group", "aria-label": "Collections" }, boxes),
      h("div", null, filter, fault),
    ),
    place,
    news,
  );
}
