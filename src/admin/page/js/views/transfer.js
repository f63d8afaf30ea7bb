// Import and export of a collection's records, with their progress and what was refused.
import * as api from "../api.js";
import { h, newId, replace } from "../dom.js";
import { open } from "../dialog.js";
import { download } from "../download.js";
import { bytes, count, many } from "../format.js";
import { icon } from "../icons.js";
import { bar } from "../progress.js";
import { table } from "../table.js";

const FORMS = { ndjson: ["application/x-ndjson", "ndjson", "JSON, a line each"], csv: ["text/csv", "csv", "CSV"] };

function chooser(name, choices, value) {
  const id = newId(name);
  const group = newId("group");
  const boxes = choices.map(([one]) => h("input", { type: "radio", name: group, value: one, checked: one === value }));
  const element = h(
    "div.field",
    null,
    h("span.label", { id }, name),
    h(
      "div.row",
      { role: "radiogroup", "aria-labelledby": id },
      boxes.map((box, at) => h("label.check", null, box, choices[at][1])),
    ),
  );
  return { element, read: () => boxes.find((box) => box.checked).value };
}

/** The import's dialog; the promise is of whether anything came in. */
export function openImport(collection) {
  let wrote = false;
  let request = null;
  return open({ title: `Import into ${collection.name}` }, ({ body, foot, close }) => {
    const file = h("input.input", {
      type: "file",
      id: newId("file"),
      accept: ".ndjson,.jsonl,.csv,.json,application/x-ndjson,text/csv",
    });
    const pasted = h("textarea.input.code", {
      id: newId("text"),
      rows: 5,
      spellcheck: "false",
      placeholder: '{"name": "Ada"}\n{"name": "Bo"}',
    });
    const form = chooser(
      "Form",
      Object.entries(FORMS).map(([one, [, , words]]) => [one, words]),
      "ndjson",
    );
    const mode = chooser(
      "Lines whose id is there already",
      [
        ["insert", "are refused"],
        ["upsert", "replace it"],
      ],
      "insert",
    );
    const atomic = h("input", { type: "checkbox" });
    const result = h("div.stack.tight", { role: "status" });
    const start = h("button.button.primary", { type: "button", on: { click: () => send() } }, icon("upload"), "Import");
    file.addEventListener("change", () => {
      const name = file.files[0]?.name ?? "";
      for (const box of form.element.querySelectorAll("input"))
        box.checked = box.value === (name.endsWith(".csv") ? "csv" : "ndjson");
    });
    body.append(
      h("div.field", null, h("label", { for: file.id }, "A file"), file),
      h("div.field", null, h("label", { for: pasted.id }, "or lines"), pasted),
      form.element,
      mode.element,
      h("label.check", null, atomic, "All of it or nothing (up to 10,000 lines)"),
      result,
    );

    function send() {
      const content = file.files[0] ?? (pasted.value.trim() && new Blob([pasted.value]));
      if (!content) return say("warn", "Choose a file, or paste lines.");
      const progress = bar("Sent");
      const told = h("p.quiet.small", null, "Sending…");
      replace(result, progress.element, told);
      start.disabled = true;
      // Of all the browser's calls this alone tells how much of a body has been sent.
      request = new XMLHttpRequest();
      const path = `${api.collectionPath(collection.name)}/import${api.query({ mode: mode.read(), atomic: atomic.checked ? 1 : null })}`;
      request.open("POST", path);
      for (const [name, value] of api.headers()) request.setRequestHeader(name, value);
      request.setRequestHeader("Content-Type", FORMS[form.read()][0]);
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        progress.set(total ? loaded / total : 0);
        told.textContent =
          loaded < total ? `${bytes(loaded)} of ${bytes(total)} sent` : "All is sent; the server is at the rest…";
      });
      request.addEventListener("loadend", () => {
        start.disabled = false;
        finish(request.status, request.responseText);
      });
      request.send(content);
    }

    function finish(status, text) {
      let answer = {};
      try {
        answer = JSON.parse(text);
      } catch {
        // No answer.
      }
      if (status !== 200) {
        const done = answer.data?.lines ? ` ${many(answer.data.lines, "line")} were read before that.` : "";
        wrote ||= (answer.data?.created ?? 0) + (answer.data?.updated ?? 0) > 0;
        return say("bad", `${answer.message ?? "The server can't be reached, or the import was stopped."}${done}`);
      }
      wrote ||= answer.created + answer.updated > 0;
      const kind = answer.refused ? "warn" : "good";
      say(
        kind,
        `${count(answer.created)} created, ${count(answer.updated)} replaced, ${count(answer.refused)} refused.`,
      );
      if (answer.errors.length) result.append(refusals(answer));
    }

    function say(kind, text) {
      replace(
        result,
        h("div.notice", { class: kind }, icon(kind === "good" ? "check" : "warning"), h("span", null, text)),
      );
    }

    foot.append(
      h("button.button", { type: "button", on: { click: () => (request?.abort(), close()) } }, "Close"),
      start,
    );
  }).then(() => {
    request?.abort();
    return wrote;
  });
}

function refusals({ errors, truncated }) {
  const reason = ({ message, data }) => {
    const faults = Object.entries(data ?? {}).map(([field, fault]) => `${field} ${fault.message}`);
    return faults.length ? faults.join("; ") : message;
  };
  const rows = errors.map((error) =>
    h("tr", null, h("td.number", null, error.line), h("td.wraps", null, reason(error))),
  );
  return table("Refused lines", [["Line", "number"], truncated ? "Why (the first 100)" : "Why"], rows, ".refusals");
}

/** The export's dialog: what the filter lets through, read as a stream. */
export function openExport(collection, filter) {
  let reading = null;
  return open({ title: `Export ${collection.name}` }, ({ body, foot, close }) => {
    const form = chooser(
      "Form",
      Object.entries(FORMS).map(([one, [, , words]]) => [one, words]),
      "ndjson",
    );
    const told = h("p.quiet", { role: "status" });
    const start = h(
      "button.button.primary",
      { type: "button", on: { click: () => save() } },
      icon("download"),
      "Export",
    );
    body.append(
      form.element,
      filter
        ? h("p", null, "Only what meets ", h("code", null, filter), ".")
        : h("p", null, "All records, from one position of the log."),
      told,
    );

    async function save() {
      const kind = form.read();
      const [type, ending] = FORMS[kind];
      reading = new AbortController();
      start.disabled = true;
      try {
        const path = `${api.collectionPath(collection.name)}/export${api.query({ filter: filter || null, format: kind === "csv" ? "csv" : null })}`;
        const size = await download(path, {
          name: `${collection.name}.${ending}`,
          type,
          signal: reading.signal,
          came: (size) => (told.textContent = `${bytes(size)} read`),
        });
        told.textContent = `${bytes(size)} saved as ${collection.name}.${ending}`;
      } catch (error) {
        if (error.name !== "AbortError") told.textContent = error.message;
      } finally {
        start.disabled = false;
      }
    }

    foot.append(h("button.button", { type: "button", on: { click: () => close() } }, "Close"), start);
  }).then(() => reading?.abort());
}
