// What the server keeps of its answers, how often that serves, and dropping some of it.
import { call } from "../api.js";
import { h, newId, replace } from "../dom.js";
import { bytes, count, percent } from "../format.js";
import { icon } from "../icons.js";
import { pageHead } from "../shell.js";
import { toast } from "../toast.js";

const POLL_MS = 2_000;
const NAMES = {
  answers: ["Answers", "finished answers of reads"],
  records: ["Records", "finished records, under lists"],
  l2: ["Redis", "answers that servers share"],
};

function tierCard(tier) {
  const [title, words] = NAMES[tier.name] ?? [tier.name, ""];
  const full = tier.bytesMax ? tier.bytes / tier.bytesMax : 0;
  const bar = h("span");
  bar.style.setProperty("--part", `${(100 * full).toFixed(2)}%`);
  const total = tier.hits + tier.misses;
  const rows = [
    ["Entries", count(tier.entries)],
    ["Hits", count(tier.hits)],
    ["Misses", count(tier.misses)],
    ...("up" in tier ? [["State", tier.up ? "answers" : "done without"]] : []),
  ];
  return h(
    "article.card.padded.stack.tight",
    null,
    h(
      "div.card-head",
      null,
      h("div", null, h("h2", null, title), h("p.hint", null, words)),
      h("span.tile-value.number", null, percent(total ? tier.hits / total : NaN)),
    ),
    h(
      "div.progress",
      {
        role: "progressbar",
        "aria-label": `${title}: bytes in use`,
        "aria-valuemin": 0,
        "aria-valuemax": 100,
        "aria-valuenow": Math.round(100 * full),
      },
      bar,
    ),
    h("p.quiet.small.number", null, `${bytes(tier.bytes)}${tier.bytesMax ? ` of ${bytes(tier.bytesMax)}` : ""}`),
    h(
      "dl.figures",
      null,
      rows.map(([name, value]) => h("div", null, h("dt", null, name), h("dd.number", null, value))),
    ),
  );
}

export async function cacheView(signal) {
  const place = h("div.cards.wide");
  const reload = async () => {
    const { tiers } = await call("GET", "/api/cache", { signal });
    replace(
      place,
      tiers.length
        ? tiers.map(tierCard)
        : h("p.quiet", null, "This server keeps nothing: it runs with --cache-bytes 0."),
    );
  };
  await reload();
  const timer = setInterval(() => document.visibilityState === "visible" && reload().catch(() => {}), POLL_MS);
  signal.addEventListener("abort", () => clearInterval(timer));

  const id = newId("what");
  const fault = h("p.fault", { hidden: true, id: newId("fault"), role: "alert" });
  const input = h("input.input.code", {
    id,
    placeholder: "orders/*",
    "aria-describedby": fault.id,
    autocomplete: "off",
    spellcheck: "false",
  });
  const drop = async (event) => {
    event.preventDefault();
    fault.hidden = true;
    const given = input.value
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    const patterns = given.filter((one) => one === "*" || one.endsWith("/*"));
    const keys = given.filter((one) => !patterns.includes(one));
    try {
      if (!given.length) throw Object.assign(new Error("is required"), { faults: {} });
      await call("POST", "/api/cache/invalidate", {
        body: { ...(keys.length && { keys }), ...(patterns.length && { patterns }) },
      });
      toast("Dropped: the next reads are answered anew");
      input.value = "";
      await reload();
    } catch (error) {
      fault.hidden = false;
      replace(fault, icon("warning"), h("span", null, Object.values(error.faults ?? {})[0]?.message ?? error.message));
      input.focus();
    }
  };
  return h(
    "div.page.narrow",
    null,
    pageHead({
      title: "Cache",
      sub: "Never stale: an answer is used only while nothing that it was made from has been written.",
    }),
    place,
    h(
      "form.card.padded.stack.tight",
      { novalidate: true, on: { submit: drop } },
      h("h2", null, "Drop some of it"),
      h(
        "div.field",
        null,
        h("label", { for: id }, "Records and collections, by commas"),
        h("div.row", null, h("div.grow", null, input), h("button.button", { type: "submit" }, "Drop")),
        h(
          "p.hint",
          null,
          "orders/ID, orders/*, or * for all. Needed only where something outside of the server has to be timed: it changes no answer.",
        ),
        fault,
      ),
    ),
  );
}
