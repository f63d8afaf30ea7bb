// The drawer in which a record is made, read, changed and deleted: as a form or as JSON.
// Invariant: a change is sent with the version that was read, so it never takes away somebody else's unseen.
import * as api from "../api.js";
import { h, replace } from "../dom.js";
import { confirm, open } from "../dialog.js";
import { icon } from "../icons.js";
import { toast } from "../toast.js";
import { isGiven, recordForm } from "./form.js";

const NO_LONGER = 412;

/**
 * Opens the drawer; `id` is null for a new record. `special` may have what `recordForm` takes (`shows`, `hints`, `only`),
 * `title`, and `made(record)`, which is called once a new one is there. The promise is of whether anything was changed.
 */
export async function openRecord(definition, id, special = {}) {
  const creates = id === null;
  const [schema, stored] = await Promise.all([
    api.schemaOf(definition.name),
    creates ? null : api.record(definition.name, id),
  ]);
  let state = stored;
  let form;
  let jsonArea = null;
  const isDirty = () => (jsonArea ? jsonArea.value !== jsonArea.dataset.first : form?.isDirty());
  const title = special.title ?? (creates ? `New record of ${definition.name}` : id);

  const changed = await open({ title, kind: "drawer", isDirty }, ({ head, heading, body, foot, close, dismiss }) => {
    const notice = h("div.notice.warn", { role: "alert", hidden: true });
    const place = h("div.stack");
    const tabs = ["Form", "JSON"].map((name) =>
      h(
        "button.tab",
        { type: "button", role: "tab", "aria-selected": "false", on: { click: () => switchTo(name) } },
        name,
      ),
    );
    const save = h(
      "button.button.primary",
      { type: "button", on: { click: () => send() } },
      creates ? "Create" : "Save",
    );

    function build(values) {
      form = recordForm({ definition, values, schema, ...special });
      form.element.addEventListener("submit", (event) => {
        event.preventDefault();
        send();
      });
    }

    function switchTo(name) {
      if (name === "Form" && jsonArea) {
        const given = readJson();
        if (!given) return;
        jsonArea = null;
        build(creates ? given : { ...state.record, ...given });
        keepFirst();
      } else if (name === "JSON" && !jsonArea) {
        const shown = { ...(creates ? {} : onlyGiven(state.record)), ...form.all() };
        jsonArea = h("textarea.input.code.json-area", {
          "aria-label": "The record as JSON",
          spellcheck: "false",
          rows: 24,
        });
        jsonArea.value = JSON.stringify(shown, null, 2);
        jsonArea.dataset.first = form.isDirty() ? "" : jsonArea.value;
      }
      for (const tab of tabs) tab.setAttribute("aria-selected", String(tab.textContent === name));
      replace(place, jsonArea ?? form.element);
    }

    /** After a way over JSON a form begins with what was typed there; what is sent is still what differs from the stored. */
    function keepFirst() {
      const body = form.body;
      const stored = state?.record;
      if (creates) return;
      form.body = () => differences(onlyGiven(stored), { ...onlyGiven(stored), ...form.all() }, body());
    }

    function onlyGiven(record) {
      const names = definition.fields
        .filter((field) => isGiven(field) && field.type !== "password")
        .map((field) => field.name);
      return Object.fromEntries(names.filter((name) => name in record).map((name) => [name, record[name]]));
    }

    function readJson() {
      try {
        const given = JSON.parse(jsonArea.value);
        if (given === null || typeof given !== "object" || Array.isArray(given))
          throw new Error("it must be an object");
        notice.hidden = true;
        return given;
      } catch (error) {
        say(`This is no JSON that makes a record: ${error.message}`);
        return null;
      }
    }

    function say(text, ...actions) {
      notice.hidden = false;
      replace(notice, icon("warning"), h("span", null, text), actions);
    }

    async function send(unconditionally = false) {
      let given;
      if (jsonArea) {
        given = readJson();
        if (!given) return;
        if (!creates) given = differences(onlyGiven(state.record), given, {});
      } else {
        if (!form.valid()) return;
        given = form.body();
      }
      if (!creates && Object.keys(given).length === 0) return close(false);
      notice.hidden = true;
      save.disabled = true;
      try {
        const head = !creates && !unconditionally && state.version ? { "If-Match": state.version } : {};
        const look = api.query({ fields: "*", embed: "" });
        const made = creates
          ? await api.call("POST", api.recordsPath(definition.name) + look, { body: given })
          : await api.call("PATCH", api.recordPath(definition.name, id) + look, { body: given, head });
        toast(creates ? "Created" : "Saved");
        close(true);
        if (creates) special.made?.(made);
      } catch (error) {
        refuse(error);
      } finally {
        save.disabled = false;
      }
    }

    function refuse(error) {
      if (error.status === NO_LONGER) {
        say(
          "Somebody changed this record meanwhile.",
          h("button.button.little", { type: "button", on: { click: reload } }, "Load theirs"),
          h("button.button.little", { type: "button", on: { click: () => send(true) } }, "Save mine"),
        );
      } else if (jsonArea) {
        const faults = Object.entries(error.faults).map(([path, { message }]) => `${path} ${message}`);
        say(faults.length ? faults.join("; ") : error.message);
      } else form.refused(error);
    }

    async function reload() {
      state = await api.record(definition.name, id);
      jsonArea = null;
      notice.hidden = true;
      build(state.record);
      switchTo("Form");
    }

    async function remove() {
      const sure = await confirm({
        title: "Delete this record?",
        text: `${definition.name}/${id} will be gone. What points at it does what its relation says.`,
        yes: "Delete",
      });
      if (!sure) return;
      try {
        await api.call("DELETE", api.recordPath(definition.name, id), {
          head: state.version ? { "If-Match": state.version } : {},
        });
        toast("Deleted");
        close(true);
      } catch (error) {
        refuse(error);
      }
    }

    if (!creates) {
      heading.tabIndex = -1;
      heading.dataset.focus = "";
    }
    if (!creates)
      head.lastElementChild.before(
        h(
          "button.button.plain.little.square",
          {
            type: "button",
            "aria-label": "Copy the id",
            title: "Copy the id",
            on: { click: () => navigator.clipboard?.writeText(id).then(() => toast("Copied")) },
          },
          icon("copy"),
        ),
      );
    build(state?.record ?? null);
    if (!special.only) body.append(h("div.tabs", { role: "tablist", "aria-label": "How the record is shown" }, tabs));
    body.append(notice, place);
    switchTo("Form");
    if (!creates)
      foot.append(
        h("button.button.plain.warns.left", { type: "button", on: { click: remove } }, icon("trash"), "Delete"),
      );
    foot.append(h("button.button", { type: "button", on: { click: dismiss } }, "Cancel"), save);
  });
  return changed === true;
}

/** A merge patch that makes `next` of `stored`; `more` are changes that stand in neither, such as a password. */
function differences(stored, next, more) {
  const changes = { ...more };
  for (const name of new Set([...Object.keys(stored), ...Object.keys(next)])) {
    if (JSON.stringify(stored[name] ?? null) === JSON.stringify(next[name] ?? null)) delete changes[name];
    else changes[name] = next[name] ?? null;
  }
  return changes;
}
