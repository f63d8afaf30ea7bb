// Jobs: what is done with a collection's records, by the clock or by hand, and how its runs are getting on. Runs come along
// over the stream of changes; so do jobs that somebody else changes.
import * as api from "../api.js";
import { arrange, debounced, h, replace } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { jobCard, openJob } from "../jobs/card.js";
import { far, isActive, isBehind, JOBS, RUNS, runItem } from "../jobs/run.js";
import { parameters, setParameters } from "../router.js";
import { empty, pageHead, told } from "../shell.js";
import { listen } from "../sse.js";

/** Runs that are shown at first, and that each "More" adds. */
const RUNS_SHOWN = 20;
/** There are no more jobs than this. */
const JOBS_SHOWN = 200;
const AGAIN_MS = 10_000;
const CHANGED_MS = 150;

export async function jobsView(signal) {
  const place = h("div.cards.wide");
  const list = h("ol.stack.runs", { "aria-label": "Runs, newest first" });
  const head = h("h2", null, "Runs");
  const none = h("p.quiet", null, "None yet.");
  const news = h("p.heard", { role: "status" });
  const state = h("span.chip", { role: "status" }, "connecting…");
  const which = h("select.input.little", { "aria-label": "Runs of which job" });
  const more = h("button.button", { type: "button" }, "More");
  let jobs = [];
  let cards = new Map();
  /** The last run of each job, by the job's id. */
  const last = new Map();
  /** The runs that are shown, by their ids. */
  const items = new Map();
  let limit = RUNS_SHOWN;
  let asked = parameters().get("job") ?? "";

  /** Those that were deleted here: what the stream says of it is known. */
  const gone = new Set();
  let total = 0;

  /** Shows a run at its job, unless a later one is known. */
  function note(run) {
    const known = last.get(run.job);
    if (known && (known.id === run.id ? isBehind(run, known) : run.created < known.created)) return;
    last.set(run.job, run);
    cards.get(run.job)?.show(run);
  }

  function sizes() {
    replace(head, `Runs${total ? ` (${count(total)})` : ""}`);
    none.hidden = items.size > 0;
    more.hidden = items.size >= total;
  }

  function put() {
    arrange(
      list,
      [...items.values()].map((item) => item.element),
    );
    sizes();
  }

  const isAsked = (run) => !asked || run.name === asked;

  function drop(run) {
    items.get(run.id)?.element.remove();
    items.delete(run.id);
    if (!gone.delete(run.id) && isAsked(run)) total -= 1;
    sizes();
    if (last.get(run.job)?.id !== run.id) return;
    last.delete(run.job);
    cards.get(run.job)?.show(undefined);
    lastOf(run.job).catch(() => {});
  }

  /** What a click on a run came to. */
  const clicked = (run) => (answer) => {
    if (answer) return show(answer);
    drop(run);
    gone.add(run.id);
  };

  /** Shows a run where it is, or as a new one at its place. */
  function show(run) {
    note(run);
    const there = items.get(run.id);
    if (there) {
      const wasActive = isActive(there.run());
      there.show(run);
      if (wasActive && !isActive(run)) news.textContent = `The run of ${run.name}: ${run.state}, ${far(run)}`;
      return;
    }
    if (!isAsked(run)) return;
    const all = [...items.values()];
    const next = all.find((item) => item.run().created <= run.created);
    if (!next && all.length >= limit) return;
    const item = runItem(run, clicked(run));
    items.clear();
    for (const one of all) {
      if (one === next) items.set(run.id, item);
      if (items.size < limit) items.set(one.run().id, one);
    }
    if (!next) items.set(run.id, item);
    total += 1;
    put();
  }

  async function loadRuns() {
    const filter = asked ? `name = ${api.literal(asked)}` : null;
    const of = asked;
    const found = await api.list(RUNS, { perPage: limit, sort: "-created,-id", filter }, signal);
    if (of !== asked) return;
    const known = new Map(items);
    items.clear();
    for (const run of found.items) {
      const item = known.get(run.id) ?? runItem(run, clicked(run));
      item.show(run);
      items.set(run.id, item);
      note(run);
    }
    total = found.totalItems;
    put();
  }

  /** Asks for the last run of a job: all of them may be older than those that are shown. */
  async function lastOf(job) {
    const filter = `job = ${api.literal(job)}`;
    const found = await api.list(RUNS, { perPage: 1, sort: "-created,-id", filter }, signal);
    if (found.items[0]) note(found.items[0]);
  }

  /** What a job's card is made of: not what its schedule has been due for. */
  const madeOf = ({ scheduled, ...job }) => JSON.stringify(job);

  async function loadJobs() {
    const found = await api.list(JOBS, { perPage: JOBS_SHOWN, sort: "name" }, signal);
    const [known, were] = [cards, new Map(jobs.map((job) => [job.id, madeOf(job)]))];
    jobs = found.items;
    cards = new Map();
    for (const job of jobs) {
      const stays = were.get(job.id) === madeOf(job);
      cards.set(job.id, stays ? known.get(job.id) : jobCard(job, { reload: loadJobs, began: show }));
      cards.get(job.id).show(last.get(job.id));
    }
    arrange(place, jobs.length ? [...cards.values()].map((one) => one.element) : [nothing]);
    const names = [...new Set([...jobs.map((job) => job.name), ...(asked ? [asked] : [])])];
    const options = [...which.options].map((option) => option.value);
    if (JSON.stringify(options) !== JSON.stringify(["", ...names]))
      replace(
        which,
        h("option", { value: "" }, "of all jobs"),
        names.map((name) => h("option", { value: name }, name)),
      );
    which.value = asked;
    await Promise.all(jobs.filter((job) => !last.has(job.id)).map((job) => lastOf(job.id)));
  }

  const load = () => Promise.all([loadJobs(), loadRuns()]);
  const again = debounced(() => load().catch(() => {}), CHANGED_MS);
  const jobsAgain = debounced(() => loadJobs().catch(() => {}), CHANGED_MS);

  // Many changes of a run between two pictures are shown as one.
  const waiting = new Map();
  let frame = null;
  function later(run) {
    waiting.set(run.id, run);
    frame ??= requestAnimationFrame(() => {
      frame = null;
      for (const one of waiting.values()) show(one);
      waiting.clear();
    });
  }

  const stream = {
    event(name, { action, record, collection }) {
      if (!record) return again();
      const of = collection ?? record.collectionName;
      if (of === JOBS) return jobsAgain();
      if (action === "delete" || action === "leave") {
        waiting.delete(record.id);
        return drop(record);
      }
      later(record);
    },
    state(word) {
      state.className = `chip ${word === "live" ? "good live" : "warn"}`;
      state.textContent = word === "live" ? "live" : "connecting again…";
      // What happened before the stream began is asked for.
      if (word === "live") again();
    },
    refused(error) {
      state.className = "chip bad";
      state.textContent = error.message;
    },
  };

  which.addEventListener("change", () => {
    asked = which.value;
    limit = RUNS_SHOWN;
    setParameters({ job: asked });
    loadRuns().catch(stream.refused);
  });
  more.addEventListener(
    "click",
    told(() => {
      limit += RUNS_SHOWN;
      return loadRuns();
    }),
  );
  const create = told(async () => {
    if (await openJob(null)) await loadJobs();
  });
  const button = (tag) => h(tag, { type: "button", on: { click: create } }, icon("plus"), "New job");

  const nothing = h(
    "div.card",
    null,
    empty(
      "clock",
      "No jobs yet",
      "A job does something with the records of a collection, by the clock or when it is told to: writes into them, deletes them, sends them, adds them up, or exports them.",
      button("button.button"),
    ),
  );

  await loadRuns();
  await loadJobs();
  listen({ subscribe: `${RUNS}/*,${JOBS}/*` }, stream, signal);
  // Times that are told as "ago" go on.
  const timer = setInterval(() => {
    if (document.visibilityState !== "visible") return;
    for (const item of items.values()) item.show(item.run());
    for (const job of jobs) cards.get(job.id)?.show(last.get(job.id));
  }, AGAIN_MS);
  signal.addEventListener("abort", () => {
    clearInterval(timer);
    again.stop();
    jobsAgain.stop();
    if (frame !== null) cancelAnimationFrame(frame);
  });
  return h(
    "div.page",
    null,
    pageHead(
      {
        title: "Jobs",
        sub: "What is done with a collection's records, by the clock or by hand. A run that is cut off goes on where it was.",
      },
      state,
      button("button.button.primary"),
    ),
    place,
    h(
      "section.stack",
      { "aria-label": "Runs" },
      h("div.card-head", null, head, which),
      none,
      list,
      h("div", null, more),
    ),
    news,
  );
}
