// Lines about requests: which, when, how long, and why one was refused.
import * as api from "../api.js";
import { bars } from "../charts.js";
import { debounced, h, newId, replace } from "../dom.js";
import { open } from "../dialog.js";
import { showPlace } from "../expression.js";
import { ago, count, date, duration, many } from "../format.js";
import { icon } from "../icons.js";
import { parameters, setParameters } from "../router.js";
import { empty, pageHead } from "../shell.js";
import { tell } from "../toast.js";

const PER_PAGE = 50;
const TYPING_MS = 350;
const LEVELS = [
  ["", "All"],
  ["level >= 0", "Refused or worse"],
  ["level >= 4", "Slow or worse"],
  ["level >= 8", "Faults"],
];
const LEVEL = { "-4": ["answered", "good"], 0: ["refused", "warn"], 4: ["slow", "warn"], 8: ["fault", "bad"] };

function details(line) {
  return open({ title: line.message, kind: "drawer" }, ({ body }) => {
    const { details: inner, ...data } = line.data;
    const rows = [
      ["When", date(line.created)],
      ...Object.entries(data).filter(([, value]) => value !== "" && value !== null),
    ];
    body.append(
      h(
        "dl.fixed-list",
        null,
        rows.map(([name, value]) =>
          h(
            "div.fixed",
            null,
            h("dt", null, name),
            h("dd.mono.wraps", null, typeof value === "object" ? JSON.stringify(value) : String(value)),
          ),
        ),
      ),
      ...(inner ? [h("h3", null, "Why"), h("pre.event-json", { tabindex: "0" }, JSON.stringify(inner, null, 2))] : []),
    );
  });
}

function row(line) {
  const [words, kind] = LEVEL[line.level] ?? [String(line.level), ""];
  const { status, execTime, auth, userIP } = line.data;
  const look = () => details(line);
  return h(
    "tr.opens",
    { on: { click: (event) => !event.target.closest("button") && look() } },
    h(
      "td",
      null,
      h("time.number", { datetime: line.created.replace(" ", "T"), title: date(line.created) }, ago(line.created)),
    ),
    h("td", null, h("span.chip", { class: kind }, words)),
    h("td.number", null, status ?? ""),
    h("th", { scope: "row" }, h("button.as-link.mono.clip", { type: "button", on: { click: look } }, line.message)),
    h("td.number", null, execTime === undefined ? "" : duration(execTime / 1000)),
    h("td", null, auth || h("span.quiet", null, "nobody")),
    h("td", null, userIP ?? ""),
    h("td.wraps.quiet", null, line.data.error ?? ""),
  );
}

export async function logsView(signal) {
  const asked = parameters();
  const look = { filter: asked.get("filter") ?? "", level: asked.get("level") ?? "" };
  let page = 1;
  const status = h("span", { role: "status" });
  const fault = h("div.fault", { hidden: true, id: newId("fault"), role: "alert" });
  const filter = h("input.input.code", {
    type: "search",
    value: look.filter,
    placeholder: "Filter, such as  data.status >= 500 || message ~ 'orders'",
    "aria-label": "Filter",
    "aria-describedby": fault.id,
    spellcheck: "false",
    autocomplete: "off",
  });
  const level = h(
    "select.input",
    { "aria-label": "Level" },
    LEVELS.map(([value, words]) => h("option", { value }, words)),
  );
  level.value = look.level;
  const frame = h("div.table-frame.records", { tabindex: "0", role: "region", "aria-label": "Requests" });
  const histogram = h("div.card.padded.histogram");
  const pager = h("nav.row", { "aria-label": "Pages" });

  const wanted = () => [look.level, look.filter && `(${look.filter})`].filter(Boolean).join(" && ") || null;

  async function load() {
    try {
      const [lines, stats] = await Promise.all([
        api.call("GET", `/api/logs${api.query({ filter: wanted(), page, perPage: PER_PAGE })}`, { signal }),
        api.call("GET", `/api/logs/stats${api.query({ filter: wanted() })}`, { signal }),
      ]);
      showPlace(fault, filter, "");
      show(lines, stats);
    } catch (error) {
      if (error.code !== "bad_filter") throw error;
      // The filter stands behind what the level says.
      const before = look.level ? look.level.length + " && (".length : 1;
      showPlace(
        fault,
        filter,
        error.message.replace(/column (\d+)/, (_, column) => `column ${Math.max(1, column - before)}`),
      );
    }
  }

  function show(lines, stats) {
    status.textContent = many(lines.totalItems, "line");
    const hours = [...stats].sort((a, b) => a.date.localeCompare(b.date)).slice(-72);
    histogram.hidden = hours.length < 2;
    replace(
      histogram,
      hours.length > 1 &&
        bars({
          label: `Lines in each hour, ${many(hours.length, "hour")}`,
          values: hours.map((hour) => hour.total),
          texts: hours.map((hour) => `${date(hour.date)}: ${count(hour.total)}`),
        }),
    );
    const head = ["When", "What", "Status", "Request", "Time", "Who", "From", "Why"];
    replace(
      frame,
      lines.items.length
        ? h(
            "table",
            null,
            h(
              "thead",
              null,
              h(
                "tr",
                null,
                head.map((name) =>
                  h("th", { scope: "col", class: ["Status", "Time"].includes(name) ? "number" : "" }, name),
                ),
              ),
            ),
            h("tbody", null, lines.items.map(row)),
          )
        : empty(
            "list",
            "No lines",
            wanted()
              ? "None meets the filter."
              : "Refused, slow and failed requests make a line; answered ones only with --request-log-level debug.",
          ),
    );
    const turn = (by) => () => {
      page += by;
      load().catch(tell);
    };
    pager.hidden = lines.totalPages <= 1;
    replace(
      pager,
      h("span.quiet.small.number", null, `Page ${count(page)} of ${count(lines.totalPages)}`),
      h(
        "button.button.little",
        { type: "button", disabled: page <= 1, on: { click: turn(-1) } },
        icon("left"),
        "Newer",
      ),
      h(
        "button.button.little",
        { type: "button", disabled: page >= lines.totalPages, on: { click: turn(1) } },
        "Older",
        icon("right"),
      ),
    );
  }

  const anew = () => {
    look.filter = filter.value.trim();
    look.level = level.value;
    page = 1;
    setParameters(look);
    load().catch(tell);
  };
  filter.addEventListener("input", debounced(anew, TYPING_MS));
  level.addEventListener("change", anew);
  await load();
  const again = h(
    "button.button.square",
    { type: "button", "aria-label": "Read again", title: "Read again", on: { click: () => load().catch(tell) } },
    icon("refresh"),
  );
  return h(
    "div.page",
    null,
    pageHead({ title: "Logs", sub: status }),
    histogram,
    h("div.row.toolbar", { role: "search" }, h("div.grow", null, filter, fault), h("div", null, level), again),
    frame,
    pager,
  );
}
