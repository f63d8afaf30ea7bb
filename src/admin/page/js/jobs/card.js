// A job as a card: what it does and when, its last run, and what can be done with it; and its form.
import * as api from "../api.js";
import { h, replace } from "../dom.js";
import { confirm } from "../dialog.js";
import { openRecord } from "../form/record.js";
import { ago, date } from "../format.js";
import { icon } from "../icons.js";
import { told } from "../shell.js";
import { collection as find, collections } from "../store.js";
import { toast } from "../toast.js";
import { asked, HINTS, jobInputs, kindOf, TASKS } from "./inputs.js";
import { far, isActive, JOBS, runBar, stateChip } from "./run.js";

const SIGNS = { update: "pencil", delete: "trash", webhook: "hook", aggregate: "number", export: "download" };

/** What the form asks for, in this order. */
const ASKED = [
  "name",
  "source",
  "task",
  "store",
  "schedule",
  "timeZone",
  "enabled",
  "chunk",
  "parallel",
  "stopOnError",
];
const AND = ["timeout", "keep", "notify", "secret"];

/** The form of a job, null for a new one; the promise is of whether anything was changed. */
export async function openJob(job) {
  const [definition, all] = await Promise.all([find(JOBS), collections()]);
  return openRecord(definition, job?.id ?? null, {
    title: job?.name ?? "New job",
    only: [...ASKED, ...AND],
    inputs: jobInputs(all),
    hints: HINTS,
    shows: asked,
  });
}

/** What a refusal says, with what it finds at fault in the job. */
function refused(error) {
  const faults = Object.entries(error.faults ?? {}).map(([path, { message }]) => `${path} ${message}`);
  if (faults.length) error.message = `${error.message}: ${faults.join("; ")}`;
  throw error;
}

/** Names with their expressions, in a line. */
const line = (named) =>
  typeof named === "string"
    ? named
    : Object.entries(named ?? {})
        .map(([name, text]) => `${name} = ${text}`)
        .join(", ");

/** What a job's task does, in short. */
function does(job) {
  const kind = kindOf(job.task);
  const said = job.task?.[kind] ?? {};
  if (kind === "update") return line(said);
  if (kind === "webhook") return said.url ?? "";
  if (kind === "export") return said.format ?? "ndjson";
  return kind === "aggregate" ? line(said.values) : "";
}

/** `{element, show(run)}`: a job, with its last run. */
export function jobCard(job, { reload, began }) {
  const kind = kindOf(job.task);
  const chip = h("span");
  const progress = runBar(job);
  const words = h("span.small.quiet.number");
  const run = h(
    "button.button.little",
    { type: "button", "aria-label": `Run now: ${job.name}` },
    icon("play"),
    "Run now",
  );
  run.addEventListener(
    "click",
    told(async () => {
      run.disabled = true;
      try {
        began(await api.call("POST", `/api/jobs/${encodeURIComponent(job.name)}/run`).catch(refused));
      } finally {
        run.disabled = false;
      }
    }),
  );
  const enabled = h("input.switch", {
    type: "checkbox",
    role: "switch",
    checked: job.enabled !== false,
    "aria-label": `${job.name} is enabled`,
  });
  enabled.addEventListener(
    "change",
    told(async () => {
      const wanted = enabled.checked;
      try {
        await api.call("PATCH", api.recordPath(JOBS, job.id), { body: { enabled: wanted } }).catch(refused);
      } catch (error) {
        enabled.checked = !wanted;
        throw error;
      }
      toast(wanted ? "Its schedule holds" : "Its schedule no longer holds; it can be run by hand");
    }),
  );
  const change = told(async () => {
    if (await openJob(job)) await reload();
  });
  const remove = told(async () => {
    const text = "It is no longer carried out. What its runs did stays.";
    if (!(await confirm({ title: `Delete ${job.name}?`, text, yes: "Delete" }))) return;
    await api.call("DELETE", api.recordPath(JOBS, job.id));
    toast("Deleted");
    await reload();
  });
  const element = h(
    "article.card.padded.stack",
    { "aria-label": job.name },
    h(
      "div.card-head",
      null,
      h("h2.ellipsis", null, job.name),
      h("span.chip", { title: TASKS[kind] ?? null }, icon(SIGNS[kind] ?? "bolt"), kind),
      enabled,
    ),
    h(
      "p.small",
      null,
      h("span.quiet", null, `${TASKS[kind] ?? kind} · ${job.source?.collection ?? "?"}`),
      job.source?.filter && [" where ", h("code", null, job.source.filter)],
      h("br"),
      h("span.clip.mono.ellipsis", null, does(job)),
    ),
    h(
      "p.row.tight.small",
      null,
      icon("clock"),
      job.schedule ? [h("code", null, job.schedule), h("span.quiet", null, job.timeZone || "UTC")] : "by hand only",
      job.enabled === false && h("span.chip", null, icon("pause"), "not enabled"),
    ),
    h("div.stack.tight", null, h("div.row.tight", null, chip, words), progress.element),
    h(
      "div.row",
      null,
      run,
      h(
        "button.button.little",
        { type: "button", "aria-label": `Change ${job.name}`, on: { click: change } },
        icon("pencil"),
        "Change",
      ),
      h(
        "button.button.plain.little.square",
        { type: "button", "aria-label": `Delete ${job.name}`, title: "Delete", on: { click: remove } },
        icon("trash"),
      ),
    ),
  );
  function show(last) {
    progress.element.hidden = !last || !isActive(last);
    if (!last) {
      replace(chip, h("span.chip", null, "never run"));
      words.textContent = "";
      return;
    }
    replace(chip, stateChip(last));
    const at = last.finished ?? last.started ?? last.created;
    words.textContent = isActive(last) ? far(last) : `${far(last)} · ${ago(at)}`;
    words.title = at ? `${date(at)} UTC` : "";
    progress.set(last);
  }
  return { element, show };
}
