// The fields of a definition: their list, and what each type can be told.
import { h, newId, replace } from "../dom.js";
import { expressionField } from "../expression.js";
import { icon } from "../icons.js";

const TYPES = {
  text: "Text",
  editor: "Rich text",
  number: "Number",
  bool: "Yes or no",
  date: "Date",
  autodate: "Date, set by the server",
  select: "Select",
  relation: "Relation",
  email: "E-mail",
  url: "URL",
  json: "JSON",
  geoPoint: "Place on the globe",
};

/** Settings of each type: `[key, label, kind, hint]`. */
const SETTINGS = {
  text: [
    ["min", "Characters at least", "count"],
    ["max", "Characters at most", "count"],
    ["pattern", "Pattern", "code", "a regular expression"],
  ],
  editor: [["max", "Characters at most", "count"]],
  number: [
    ["min", "At least", "number"],
    ["max", "At most", "number"],
    ["integer", "Whole numbers, exact to 2^63", "switch"],
  ],
  bool: [],
  date: [
    ["min", "Not before", "text"],
    ["max", "Not after", "text"],
  ],
  autodate: [
    ["onCreate", "At creation", "switch"],
    ["onUpdate", "At every change", "switch"],
  ],
  select: [
    ["values", "Values, by commas", "list"],
    ["minSelect", "Chosen at least", "count"],
    ["maxSelect", "Chosen at most", "count", "more than 1 makes a list"],
  ],
  relation: [
    ["collection", "Collection", "collection"],
    ["onDelete", "When the target is deleted", "choice", "", ["restrict", "cascade", "setNull"]],
    ["minSelect", "Chosen at least", "count"],
    ["maxSelect", "Chosen at most", "count", "more than 1 makes a list"],
  ],
  email: [],
  url: [],
  json: [["maxSize", "Bytes at most", "count"]],
  geoPoint: [],
};
const SANITIZERS = ["trim", "nfc", "lower", "collapse", "stripHtml"];
/** Settings that go along when the type is another. */
const KEPT = ["id", "name", "type", "required", "hidden", "aliases"];

export function fieldsTab(draft, { collections, changed }) {
  const listElement = h("ol.defs");
  const openOnes = new Set();

  function input(field, path, [key, label, kind, hint, choices]) {
    const id = newId("set");
    const set = (value) => {
      if (value === "" || value === null || (Array.isArray(value) && !value.length)) delete field[key];
      else field[key] = value;
      changed();
    };
    const common = { id, dataset: { path: `${path}.${key}` } };
    if (kind === "switch") {
      const box = h("input.switch", {
        ...common,
        type: "checkbox",
        role: "switch",
        checked: Boolean(field[key]),
        on: { change: (event) => set(event.target.checked) },
      });
      return h("label.check", { for: id }, box, label);
    }
    let element;
    if (kind === "choice" || kind === "collection") {
      const names = kind === "collection" ? collections.map((one) => one.name) : choices;
      if (kind === "collection" && draft.name && !names.includes(draft.name)) names.push(draft.name);
      if (!field[key]) field[key] = names[0];
      element = h(
        "select.input",
        { ...common, on: { change: (event) => set(event.target.value) } },
        names.map((one) => h("option", { value: one }, one)),
      );
      element.value = field[key];
    } else {
      const read = {
        count: (text) => (text === "" ? "" : Number.isNaN(Number(text)) ? text : Number(text)),
        number: (text) => (text === "" ? "" : Number.isNaN(Number(text)) ? text : Number(text)),
        list: (text) =>
          text
            .split(",")
            .map((one) => one.trim())
            .filter(Boolean),
        text: (text) => text,
        code: (text) => text,
      }[kind];
      const shown = kind === "list" ? (field[key] ?? []).join(", ") : (field[key] ?? "");
      element = h("input.input", {
        ...common,
        class: kind === "code" ? "code" : "",
        value: shown,
        inputmode: ["count", "number"].includes(kind) ? "decimal" : null,
        autocomplete: "off",
        spellcheck: "false",
        on: { input: (event) => set(read(event.target.value)) },
      });
    }
    return h(
      "div.field",
      { class: kind === "list" ? "whole" : "" },
      h("label", { for: id }, label),
      element,
      hint && h("p.hint", null, hint),
      h("p.fault", { hidden: true, dataset: { faultOf: `${path}.${key}` } }),
    );
  }

  function defaultInput(field, path) {
    const isExpression = field.default !== null && typeof field.default === "object" && "expr" in field.default;
    const shown =
      field.default === undefined
        ? ""
        : isExpression
          ? `= ${field.default.expr}`
          : typeof field.default === "string"
            ? field.default
            : JSON.stringify(field.default);
    const id = newId("set");
    const set = (event) => {
      const text = event.target.value.trim();
      if (text === "") delete field.default;
      else if (text.startsWith("=")) field.default = { expr: text.slice(1).trim() };
      else if (["text", "editor", "email", "url", "date", "select"].includes(field.type) && !text.startsWith("["))
        field.default = text;
      else {
        try {
          field.default = JSON.parse(text);
        } catch {
          field.default = text;
        }
      }
      changed();
    };
    return h(
      "div.field",
      null,
      h("label", { for: id }, "Default"),
      h("input.input", {
        id,
        value: shown,
        autocomplete: "off",
        spellcheck: "false",
        dataset: { path: `${path}.default` },
        on: { input: set },
      }),
      h(
        "p.hint",
        null,
        field.type === "date" ? "a date, @now, or = and an expression" : "a value, or = and an expression",
      ),
      h("p.fault", { hidden: true, dataset: { faultOf: `${path}.default` } }),
    );
  }

  function computed(field, path) {
    const set = (event) => {
      if (event.target.value.trim()) field.computed = event.target.value;
      else delete field.computed;
      changed();
    };
    const { element, input } = expressionField({
      label: "Computed",
      value: field.computed,
      placeholder: "round(total * 0.25, 2)",
      hint: "evaluated at every write and stored",
      listen: set,
      path: `${path}.computed`,
    });
    element.classList.add("whole");
    element.lastElementChild.dataset.faultOf = input.dataset.path;
    return element;
  }

  function sanitizers(field) {
    const boxes = SANITIZERS.map((one) => {
      const box = h("input", { type: "checkbox", checked: field.sanitize?.includes(one) });
      box.addEventListener("change", () => {
        const chosen = new Set(field.sanitize ?? []);
        if (box.checked) chosen.add(one);
        else chosen.delete(one);
        field.sanitize = [...chosen];
        changed();
      });
      return h("label.check", null, box, one);
    });
    const id = newId("group");
    return h(
      "div.field.whole",
      null,
      h("span.label", { id }, "Sanitize, in the order chosen"),
      h("div.options", { role: "group", "aria-labelledby": id }, boxes),
    );
  }

  function details(field, path) {
    const settings = [
      ...SETTINGS[field.type].map((setting) => input(field, path, setting)),
      ...(field.type === "autodate" ? [] : [defaultInput(field, path)]),
      input(field, path, ["aliases", "Other names on input, by commas", "list"]),
      ...(["text", "email", "url"].includes(field.type) ? [sanitizers(field)] : []),
      ...(field.type === "autodate" ? [] : [computed(field, path)]),
    ];
    return h(
      "div.def-body",
      null,
      h("div.def-grid", null, settings),
      h("div.row", null, input(field, path, ["hidden", "Hidden from all but superusers", "switch"])),
    );
  }

  function item(field, at) {
    const path = `fields.${at}`;
    const nameId = newId("name");
    const typeId = newId("type");
    const isOpen = openOnes.has(field);
    const name = h("input.input", {
      id: nameId,
      value: field.name,
      placeholder: "name",
      "aria-label": `Name of field ${at + 1}`,
      autocomplete: "off",
      spellcheck: "false",
      dataset: { path: `${path}.name` },
    });
    name.addEventListener("input", () => {
      field.name = name.value;
      changed();
    });
    const type = h(
      "select.input",
      { id: typeId, "aria-label": `Type of ${field.name || "the field"}`, dataset: { path: `${path}.type` } },
      Object.entries(TYPES).map(([one, words]) => h("option", { value: one }, words)),
    );
    type.value = field.type;
    type.addEventListener("change", () => {
      for (const key of Object.keys(field)) if (!KEPT.includes(key)) delete field[key];
      field.type = type.value;
      if (field.type === "autodate") field.onCreate = true;
      if (["select", "relation"].includes(field.type)) openOnes.add(field);
      show();
      changed();
      document.getElementById(listElement.children[at].querySelector("select").id)?.focus();
    });
    const required = h("input.switch", {
      type: "checkbox",
      role: "switch",
      checked: Boolean(field.required),
      dataset: { path: `${path}.required` },
    });
    required.addEventListener("change", () => {
      field.required = required.checked;
      changed();
    });
    const canBeRequired = field.type !== "autodate";
    const move = (by) => () => {
      const to = at + by;
      [draft.fields[at], draft.fields[to]] = [draft.fields[to], draft.fields[at]];
      show();
      changed();
      listElement.children[to].querySelector(by < 0 ? ".mover-up" : ".mover-down")?.focus();
    };
    const toggle = h(
      "button.button.plain.little",
      { type: "button", "aria-expanded": String(isOpen), "aria-label": `Settings of ${field.name || "the field"}` },
      icon(isOpen ? "up" : "down"),
      "Settings",
    );
    toggle.addEventListener("click", () => {
      if (isOpen) openOnes.delete(field);
      else openOnes.add(field);
      show();
      listElement.children[at].querySelector("[aria-expanded]").focus();
    });
    const remove = () => {
      draft.fields.splice(at, 1);
      show();
      changed();
      (listElement.children[at] ?? listElement.lastElementChild)?.querySelector("input")?.focus();
    };
    return h(
      "li.def",
      { dataset: { path } },
      h(
        "div.def-head",
        null,
        icon(field.type),
        name,
        type,
        canBeRequired ? h("label.check", null, required, "Required") : h("span"),
        h(
          "span.row.tight.one-line",
          null,
          toggle,
          h(
            "button.button.plain.little.square.mover-up",
            { type: "button", disabled: at === 0, "aria-label": `Move ${field.name} up`, on: { click: move(-1) } },
            icon("up"),
          ),
          h(
            "button.button.plain.little.square.mover-down",
            {
              type: "button",
              disabled: at === draft.fields.length - 1,
              "aria-label": `Move ${field.name} down`,
              on: { click: move(1) },
            },
            icon("down"),
          ),
          h(
            "button.button.plain.little.square",
            { type: "button", "aria-label": `Remove ${field.name || "the field"}`, on: { click: remove } },
            icon("trash"),
          ),
        ),
      ),
      h("p.fault.def-fault", { hidden: true, dataset: { faultOf: path } }),
      isOpen && details(field, path),
    );
  }

  function show() {
    replace(listElement, draft.fields.map(item));
  }

  const add = () => {
    draft.fields.push({ name: "", type: "text" });
    show();
    changed();
    listElement.lastElementChild.querySelector("input").focus();
  };
  show();
  const isAuth = draft.type === "auth";
  return h(
    "div.stack",
    null,
    h(
      "p.quiet.small",
      null,
      "Beside these every record has an ",
      h("code", null, "id"),
      isAuth
        ? [
            ", and here ",
            h("code", null, "email"),
            ", ",
            h("code", null, "password"),
            " and ",
            h("code", null, "verified"),
            ".",
          ]
        : ".",
      " A field keeps its data when it is renamed.",
    ),
    listElement,
    h("div", null, h("button.button", { type: "button", on: { click: add } }, icon("plus"), "Add a field")),
  );
}
