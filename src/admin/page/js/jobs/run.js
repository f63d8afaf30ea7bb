// A run as it comes along: how far it is, what it said, what came of it. The same element is shown each new state of its
// record, so whoever has the focus in it keeps it.
import * as api from "../api.js";
import { h, replace } from "../dom.js";
import { confirm } from "../dialog.js";
import { download } from "../download.js";
import { ago, bytes, count, date, duration, many } from "../format.js";
import { icon } from "../icons.js";
import { bar } from "../progress.js";
import { told } from "../shell.js";
import { table } from "../table.js";
import { toast } from "../toast.js";

export const JOBS = "_jobs";
export const RUNS = "_runs";

/** Rows of a result that are shown. */
const ROWS_SHOWN = 100;

const STATES = {
  queued: ["", "list"],
  running: ["info live", null],
  done: ["good", "check"],
  failed: ["bad", "warning"],
  cancelled: ["warn", "close"],
};

export const isActive = (run) => run.state === "queued" || run.state === "running";

const STEPS = ["queued", "running"];
/** Where in its life a run is: what has ended is behind all. */
const step = ({ state }) => (STEPS.includes(state) ? STEPS.indexOf(state) : STEPS.length);

/** Whether `now` is an older picture of the run than `was`: what was asked for may be answered after what came since. */
export function isBehind(now, was) {
  if (was?.id !== now.id) return false;
  const dealt = (run) => (run.done ?? 0) + (run.failed ?? 0);
  return step(now) < step(was) || (step(now) === step(was) && dealt(now) < dealt(was));
}

/** A run's state, as a chip. */
export function stateChip(run) {
  const [kind, sign] = STATES[run.state] ?? ["", "list"];
  return h("span.chip", { class: kind }, sign && icon(sign), run.state);
}

/** How far a run is, in words: of an aggregate or a file that is all at once. */
export function far(run) {
  const failed = run.failed ? `, ${count(run.failed)} refused` : "";
  if (run.total == null) return run.state === "queued" ? "waits for its turn" : `${count(run.done ?? 0)} done${failed}`;
  return `${count(run.done ?? 0)} of ${count(run.total)} done${failed}`;
}

/** A bar for runs: `{element, set(run)}`. */
export function runBar(run) {
  const { element, set } = bar(`Progress of ${run.name}`);
  return {
    element,
    set(now) {
      const total = Math.max(now.total ?? 0, 1);
      const isOver = now.state === "done" && !now.total;
      const part = isOver ? 1 : Math.min(1, (now.done ?? 0) / total);
      set(part, Math.min(1 - part, (now.failed ?? 0) / total));
    },
  };
}

const seconds = (from, to) => (Date.parse(to.replace(" ", "T")) - Date.parse(from.replace(" ", "T"))) / 1000;

const time = (text) => h("time", { datetime: text.replace(" ", "T"), title: `${date(text)} UTC` }, ago(text));

function facts(run) {
  const rows = [
    ["Chunks", run.chunks ? count(run.chunks) : null],
    ["Due", run.slot ? date(run.slot) : "by hand"],
    ["Started", run.started && time(run.started)],
    ["Finished", run.finished && time(run.finished)],
    ["Took", run.started && run.finished && duration(seconds(run.started, run.finished))],
    ["Told of its end", run.notified],
  ];
  return rows
    .filter(([, value]) => value)
    .map(([name, value]) => h("div", null, h("dt", null, name), h("dd.number", null, value)));
}

function faults(run) {
  const row = (fault) =>
    h(
      "tr",
      null,
      h("td", null, fault.id ? h("code", null, fault.id) : `chunk ${fault.chunk ?? "–"}`),
      h("td", null, fault.code ?? "–"),
      h("td.wraps", null, fault.message ?? ""),
    );
  const more = (run.failed ?? 0) > run.faults.length ? ` (the first ${count(run.faults.length)})` : "";
  return h(
    "details",
    null,
    h("summary", null, `Why ${many(run.failed || run.faults.length, "was", "were")} refused${more}`),
    table(`What the run of ${run.name} was refused`, ["Which", "Code", "Why"], run.faults.map(row), ".refusals"),
  );
}

const cellOf = (value) =>
  value === null ? h("span.null", null, "null") : typeof value === "object" ? JSON.stringify(value) : String(value);

function rows(run) {
  const { items, totalItems = items.length, stored } = run.result;
  const names = [...new Set(items.flatMap((item) => Object.keys(item)))];
  const kind = (name) => (items.every((item) => item[name] == null || typeof item[name] === "number") ? "number" : "");
  const shown = items.slice(0, ROWS_SHOWN);
  const row = (item) =>
    h(
      "tr",
      null,
      names.map((name) => h("td", { class: kind(name) }, cellOf(item[name] ?? null))),
    );
  const words = [many(totalItems, "row")];
  if (shown.length < totalItems) words.push(`the first ${count(shown.length)} here`);
  if (stored != null) words.push(`${count(stored)} stored`);
  return h(
    "details",
    { open: totalItems > 0 && totalItems <= 12 },
    h("summary", null, `Result: ${words.join(", ")}`),
    items.length
      ? table(
          `Result of ${run.name}`,
          names.map((name) => [name, kind(name)]),
          shown.map(row),
          ".refusals",
        )
      : null,
  );
}

async function fetchFile(run) {
  const ending = run.result.file.split(".").pop();
  const type = ending === "csv" ? "text/csv" : "application/x-ndjson";
  const size = await download(`/api/runs/${encodeURIComponent(run.id)}/file`, {
    name: `${run.name}-${run.id}.${ending}`,
    type,
  });
  toast(`${bytes(size)} saved`);
}

function result(run) {
  if (Array.isArray(run.result?.items)) return rows(run);
  if (!run.result?.file) return null;
  const words = `${many(run.result.records, "record")}, ${bytes(run.result.bytes)}`;
  return h(
    "div.row",
    null,
    h(
      "button.button.little",
      { type: "button", "aria-label": `Fetch the file of ${run.name}`, on: { click: told(() => fetchFile(run)) } },
      icon("download"),
      "Fetch the file",
    ),
    h("span.quiet.small", null, words),
  );
}

/** `{element, show(run)}`; `changed(run)` is told what the server answered to a click, undefined where the run is gone. */
export function runItem(first, changed) {
  let run = first;
  let ended = null;
  const chip = h("span");
  const progress = runBar(run);
  const words = h("span.small.number");
  const list = h("dl.figures.little");
  const error = h("p.small.bad-text");
  const outcome = h("div.stack.tight");
  const cancel = h(
    "button.button.little",
    {
      type: "button",
      "aria-label": `Cancel the run of ${run.name}`,
      on: {
        click: told(async () => {
          changed(await api.call("POST", `/api/runs/${encodeURIComponent(run.id)}/cancel`));
        }),
      },
    },
    icon("close"),
    "Cancel",
  );
  const remove = h(
    "button.button.plain.little.square",
    {
      type: "button",
      "aria-label": `Delete the run of ${run.name}`,
      title: "Delete",
      on: {
        click: told(async () => {
          const text = "What it did stays; what it said, and its file if it made one, are gone.";
          if (!(await confirm({ title: "Delete this run?", text, yes: "Delete" }))) return;
          await api.call("DELETE", api.recordPath(RUNS, run.id));
          changed();
        }),
      },
    },
    icon("trash"),
  );
  const element = h(
    "li.card.padded.stack.tight.run",
    { dataset: { run: run.id, job: run.name } },
    h("div.card-head", null, h("h3.ellipsis", null, run.name), chip, cancel, remove),
    progress.element,
    words,
    list,
    error,
    outcome,
  );

  function show(now) {
    if (isBehind(now, run)) return;
    run = now;
    const active = isActive(run);
    const moves = !active && document.activeElement === cancel;
    [cancel.hidden, remove.hidden] = [!active, active];
    if (moves) remove.focus();
    replace(chip, stateChip(run));
    progress.set(run);
    words.textContent = far(run);
    replace(list, facts(run));
    error.hidden = !run.error;
    error.textContent = run.error ?? "";
    // Tables are made once a run is over: one that is open stays so.
    const over = active ? null : run.finished;
    if (over === ended) return;
    ended = over;
    replace(outcome, run.faults?.length ? faults(run) : null, result(run));
  }
  show(first);
  return { element, show, run: () => run };
}
