// Defining a collection, and changing one: tabs over one draft. The server is asked what it thinks after each pause in
// typing; its faults are shown at their places, and nothing is changed before it is saved.
import * as api from "../api.js";
import { h, newId, replace } from "../dom.js";
import { confirm } from "../dialog.js";
import * as drafts from "../define/draft.js";
import { openExplain } from "../define/explain.js";
import { fieldsTab } from "../define/fields.js";
import { indexesTab } from "../define/indexes.js";
import { jsonTab, outputTab } from "../define/rest.js";
import { checksTab, rulesTab } from "../define/rules.js";
import { showPlace } from "../expression.js";
import { icon } from "../icons.js";
import * as router from "../router.js";
import { pageHead, told } from "../shell.js";
import { collection as find, collections, load } from "../store.js";
import { toast } from "../toast.js";

const TABS = { fields: "Fields", indexes: "Indexes", rules: "Rules", checks: "Checks", output: "Output", json: "JSON" };

/** Which tab a fault's path is on. */
const tabOf = (path) => {
  if (/Rule$/.test(path)) return "rules";
  const [first] = path.split(".");
  if (first === "authToken") return "output";
  return first in TABS ? first : null;
};

export const newCollectionView = (signal) => definitionView(null, signal);

export async function definitionView(name, signal) {
  let stored = name === null ? null : await find(name);
  if (stored?.system) throw new api.Refusal(403, { message: "The server's own collections stay as they are." });
  const all = await collections();
  let draft = stored ? drafts.of(stored) : drafts.fresh();
  let first = JSON.stringify(drafts.body(draft));
  let verdict = null;
  let tab = router.parameters().get("tab") ?? "fields";
  if (!(tab in TABS)) tab = "fields";
  let tried = false;

  const isDirty = () => JSON.stringify(drafts.body(draft)) !== first;
  const guard = {
    dirty: isDirty,
    ask: () =>
      confirm({
        title: "Leave without saving?",
        text: "What was changed in this definition is lost.",
        yes: "Leave",
      }),
  };
  router.guardWith(guard, signal);

  const place = h("div", { role: "tabpanel", id: newId("panel"), tabindex: "-1" });
  const tabs = h("div.tabs", { role: "tablist", "aria-label": "Parts of the definition" });
  const word = h("p.verdict", { role: "status" });
  const save = h("button.button.primary", { type: "button", on: { click: told(store) } }, stored ? "Save" : "Create");
  const nameFault = h("p.fault", { hidden: true, dataset: { faultOf: "name" }, id: newId("fault") });
  const nameId = newId("name");
  const nameInput = h("input.input", {
    id: nameId,
    autocomplete: "off",
    spellcheck: "false",
    dataset: { path: "name" },
    "aria-describedby": nameFault.id,
    placeholder: "orders",
  });
  nameInput.value = draft.name;
  nameInput.addEventListener("input", () => {
    draft.name = nameInput.value.trim();
    changed();
  });
  const typeId = newId("type");
  const type = h(
    "select.input",
    { id: typeId, disabled: Boolean(stored) },
    h("option", { value: "base" }, "Records"),
    h("option", { value: "auth" }, "Accounts, that can sign in"),
  );
  type.value = draft.type;
  type.addEventListener("change", () => {
    draft.type = type.value;
    if (draft.type !== "auth") delete draft.authToken;
    show();
    changed();
  });

  const check = drafts.checker(
    () => draft,
    (next) => {
      verdict = next;
      showVerdict();
    },
    signal,
  );

  function changed() {
    word.textContent = "…";
    if (tab !== "json") showTabs();
    check();
  }

  /** Faults that are told now: a name that nobody has typed yet is none. */
  function faults() {
    const found = Object.entries(verdict?.faults ?? {});
    return tried
      ? found
      : found.filter(
          ([path]) =>
            !(path === "name" && !draft.name) &&
            !(/^fields\.\d+\.name$/.test(path) && !draft.fields[path.split(".")[1]]?.name),
        );
  }

  function showVerdict() {
    const found = faults();
    showFaults(found);
    showTabs();
    save.disabled = Boolean(stored) && !isDirty();
    const hasFaults = Object.keys(verdict.faults).length > 0 || verdict.message;
    word.className = `verdict ${hasFaults && found.length ? "bad" : ""}`;
    if (!hasFaults) word.textContent = drafts.changesInWords(verdict.changes);
    else if (found.length) word.textContent = found.length === 1 ? describe(found[0]) : `${found.length} faults`;
    else word.textContent = Object.keys(verdict.faults).length ? "" : verdict.message;
  }

  const describe = ([path, { message }]) => `${path}: ${message}`;

  function showFaults(found) {
    for (const fault of [nameFault, ...place.querySelectorAll("[data-fault-of]")]) fault.hidden = true;
    for (const input of [nameInput, ...place.querySelectorAll("[data-path]")]) input.removeAttribute("aria-invalid");
    for (const [path, { message }] of found) {
      const at = nearest(path);
      if (!at) continue;
      const input =
        path === "name" ? nameInput : place.querySelector(`[data-path="${CSS.escape(at.dataset.faultOf)}"]`);
      if (input && "value" in input) showPlace(at, input, message);
      else {
        at.hidden = false;
        replace(at, icon("warning"), h("span", null, message));
      }
    }
  }

  /** The place for a path's fault: its own, or that of what it is part of. */
  function nearest(path) {
    if (path === "name") return nameFault;
    for (let rest = path; rest; rest = rest.split(".").slice(0, -1).join(".")) {
      const at = place.querySelector(`[data-fault-of="${CSS.escape(rest)}"]`);
      if (at) return at;
    }
    return null;
  }

  function showTabs() {
    const counts = { fields: draft.fields?.length, indexes: draft.indexes?.length, checks: draft.checks?.length };
    const bad = new Set(faults().map(([path]) => tabOf(path)));
    const focused = tabs.contains(document.activeElement);
    replace(
      tabs,
      Object.entries(TABS).map(([one, words]) => {
        const isNow = one === tab;
        const mark = bad.has(one)
          ? h("span.count.bad", null, "!", h("span.heard", null, " has faults"))
          : counts[one]
            ? h("span.count", null, counts[one])
            : null;
        return h(
          "button.tab",
          {
            type: "button",
            role: "tab",
            "aria-selected": String(isNow),
            "aria-controls": place.id,
            tabindex: isNow ? null : "-1",
            on: { click: () => switchTo(one), keydown: arrows },
          },
          words,
          mark,
        );
      }),
    );
    if (focused) tabs.querySelector('[aria-selected="true"]')?.focus();
  }

  function arrows(event) {
    const by = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (!by) return;
    event.preventDefault();
    const names = Object.keys(TABS);
    switchTo(names[(names.indexOf(tab) + by + names.length) % names.length]);
  }

  function switchTo(one) {
    tab = one;
    router.setParameters({ tab: one === "fields" ? "" : one });
    show();
    tabs.querySelector('[aria-selected="true"]').focus();
  }

  function show() {
    showTabs();
    const context = {
      changed,
      signal,
      collections: all,
      stored: (next) => (next ? (stored = next) : stored),
      tryOut: stored && (() => openExplain(stored, all)),
      body: drafts.body,
      take(given) {
        draft = given;
        draft.fields ??= [];
        draft.indexes ??= [];
        nameInput.value = draft.name ?? "";
        changed();
      },
    };
    const builders = {
      fields: fieldsTab,
      indexes: indexesTab,
      rules: rulesTab,
      checks: checksTab,
      output: outputTab,
      json: jsonTab,
    };
    replace(place, builders[tab](draft, context));
    if (verdict) showFaults(faults());
  }

  async function store() {
    tried = true;
    save.disabled = true;
    check.stop();
    word.textContent = stored ? "Saving…" : "Creating…";
    try {
      const body = drafts.body(draft);
      const made = stored
        ? await api.call("PATCH", api.collectionPath(stored.name), { body: { ...removed(body), ...body } })
        : await api.call("POST", "/api/collections", { body });
      stored = made;
      draft = drafts.of(made);
      first = JSON.stringify(drafts.body(draft));
      await load();
      toast(name === null ? `${made.name} is there` : "Saved");
      if (name === null) router.go(router.to("collections", made.name));
      else if (made.name !== name) router.go(router.to("define", made.name));
      else {
        verdict = null;
        word.textContent = "Saved.";
        word.className = "verdict";
        show();
      }
    } catch (error) {
      if (!(error instanceof api.Refusal)) throw error;
      verdict = { faults: error.faults, message: error.message, changes: null };
      save.disabled = false;
      const path = Object.keys(verdict.faults)[0];
      const on = path && tabOf(path);
      if (on && on !== tab) switchTo(on);
      showVerdict();
      save.disabled = false;
      if (error.status === 422 || !path) toast(error.message, { bad: true });
      if (path === "name") nameInput.focus();
    }
  }

  /** What was taken out of a definition is said to be gone: a PATCH leaves what it doesn't name. */
  function removed(body) {
    const gone = ["checks", "output", "authToken", "search"].filter((key) => key in stored && !(key in body));
    return Object.fromEntries(gone.map((key) => [key, key === "checks" ? [] : null]));
  }

  async function empty() {
    const sure = await confirm({
      title: `Remove all records of ${stored.name}?`,
      text: "The definition stays. This can't be undone.",
      yes: "Remove all",
      word: stored.name,
    });
    if (!sure) return;
    await api.call("DELETE", `${api.collectionPath(stored.name)}/truncate`);
    toast(`${stored.name} is empty`);
  }

  async function drop() {
    const sure = await confirm({
      title: `Delete ${stored.name}?`,
      text: "The definition and all its records go. This can't be undone.",
      yes: "Delete",
      word: stored.name,
    });
    if (!sure) return;
    await api.call("DELETE", api.collectionPath(stored.name));
    first = JSON.stringify(drafts.body(draft));
    await load();
    toast("Deleted");
    router.go("#collections");
  }

  show();
  save.disabled = Boolean(stored);
  if (stored) word.textContent = "Nothing is changed.";
  const back = stored
    ? h("a", { href: router.to("collections", stored.name) }, icon("left"), stored.name)
    : h("a", { href: "#collections" }, icon("left"), "Collections");
  const danger = stored
    ? [
        h("button.button.plain.warns", { type: "button", on: { click: told(empty) } }, "Remove all records"),
        h("button.button.plain.warns", { type: "button", on: { click: told(drop) } }, icon("trash"), "Delete"),
      ]
    : [];
  return h(
    "div.page.narrow.definition",
    null,
    pageHead({ title: stored ? `Definition of ${stored.name}` : "New collection", crumbs: back }, ...danger),
    h(
      "div.card.padded",
      null,
      h(
        "div.pair",
        null,
        h("div.field", null, h("label", { for: nameId }, "Name"), nameInput, nameFault),
        h("div.field", null, h("label", { for: typeId }, "Holds"), type),
      ),
    ),
    tabs,
    place,
    h(
      "footer.save-bar",
      null,
      word,
      h("a.button", { href: stored ? router.to("collections", stored.name) : "#collections" }, "Cancel"),
      save,
    ),
  );
}
