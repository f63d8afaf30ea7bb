// Who may do what: the five rules, and the checks that hold for every record.
import { h, newId, replace } from "../dom.js";
import { expressionField } from "../expression.js";
import { icon } from "../icons.js";

const RULES = [
  ["listRule", "List and search", "which records a list shows"],
  ["viewRule", "View", "which single record is shown; another is not found"],
  ["createRule", "Create", "sees the new record"],
  ["updateRule", "Update", "sees the stored record; @request.body is the change"],
  ["deleteRule", "Delete", "sees the stored record"],
];
const LEVELS = [
  ["nobody", "Superusers only"],
  ["anyone", "Anyone"],
  ["rule", "By a rule"],
];

const levelOf = (rule) => (rule === null || rule === undefined ? "nobody" : rule === "" ? "anyone" : "rule");

export function rulesTab(draft, { changed, tryOut }) {
  const one = ([key, label, hint]) => {
    const id = newId("rule");
    const group = newId("level");
    const place = h("div.rule-place");
    let text = draft[key] ?? "";
    const showInput = () => {
      if (levelOf(draft[key]) !== "rule" && !place.dataset.open) return replace(place);
      const listen = (event) => {
        text = event.target.value;
        draft[key] = text;
        changed();
      };
      const { element, input } = expressionField({
        label: h("span.heard", null, `${label}: the rule`),
        value: text,
        placeholder: "@request.auth.id != '' && owner = @request.auth.id",
        listen,
        path: key,
      });
      element.lastElementChild.dataset.faultOf = key;
      replace(place, element);
      return input;
    };
    const choose = (level) => {
      place.dataset.open = level === "rule" ? "true" : "";
      draft[key] = level === "nobody" ? null : level === "anyone" ? "" : text || "@request.auth.id != ''";
      if (level === "rule") text = draft[key];
      showInput()?.focus();
      changed();
    };
    const now = levelOf(draft[key]);
    const element = h(
      "section.card.padded.stack.tight",
      { "aria-labelledby": id },
      h(
        "div.card-head",
        null,
        h("div", null, h("h2.rule-name", { id }, label), h("p.hint", null, hint)),
        h(
          "div.segments",
          { role: "radiogroup", "aria-labelledby": id },
          LEVELS.map(([level, words]) =>
            h(
              "label",
              null,
              h("input", {
                type: "radio",
                name: group,
                value: level,
                checked: level === now,
                on: { change: () => choose(level) },
              }),
              h(
                "span",
                null,
                level === "nobody" ? icon("lock") : level === "anyone" ? icon("globe") : icon("filter"),
                words,
              ),
            ),
          ),
        ),
      ),
      place,
    );
    showInput();
    return element;
  };
  return h(
    "div.stack",
    null,
    h(
      "p.quiet.small",
      null,
      "Superusers are asked no rule. A rule is an expression over the record and ",
      h("code", null, "@request.auth"),
      ".",
    ),
    RULES.map(one),
    tryOut &&
      h("div", null, h("button.button", { type: "button", on: { click: tryOut } }, icon("users"), "May this caller…?")),
  );
}

export function checksTab(draft, { changed }) {
  draft.checks ??= [];
  const listElement = h("ol.defs");
  const input = (check, path, key, label, properties = {}) => {
    const id = newId("check");
    const set = (event) => {
      if (event.target.value) check[key] = event.target.value;
      else delete check[key];
      changed();
    };
    const element = h(
      properties.tag ?? "input.input",
      { id, autocomplete: "off", dataset: { path: `${path}.${key}` }, on: { input: set, change: set } },
      properties.options,
    );
    element.value = check[key] ?? "";
    return h(
      "div.field",
      null,
      h("label", { for: id }, label),
      element,
      h("p.fault", { hidden: true, dataset: { faultOf: `${path}.${key}` } }),
    );
  };
  const show = () =>
    replace(
      listElement,
      draft.checks.map((check, at) => {
        const path = `checks.${at}`;
        const listen = (event) => {
          check.expr = event.target.value;
          changed();
        };
        const expression = expressionField({
          label: "Holds of every record",
          value: check.expr,
          placeholder: "status != 'paid' || total > 0",
          listen,
          path: `${path}.expr`,
        });
        expression.element.lastElementChild.dataset.faultOf = `${path}.expr`;
        const remove = () => {
          draft.checks.splice(at, 1);
          show();
          changed();
        };
        const fieldNames = ["", ...draft.fields.map((field) => field.name)];
        return h(
          "li.def",
          null,
          h(
            "div.def-body.first",
            null,
            expression.element,
            h(
              "div.def-grid",
              null,
              input(check, path, "name", "Name"),
              input(check, path, "message", "Message if it does not"),
              input(check, path, "field", "At the field", {
                tag: "select.input",
                options: fieldNames.map((one) => h("option", { value: one }, one || "–")),
              }),
            ),
            h(
              "div",
              null,
              h("button.button.plain.little.warns", { type: "button", on: { click: remove } }, icon("trash"), "Remove"),
            ),
          ),
        );
      }),
    );
  const add = () => {
    draft.checks.push({ name: `check_${draft.checks.length + 1}`, expr: "", message: "" });
    show();
    changed();
    listElement.lastElementChild.querySelector("textarea").focus();
  };
  show();
  return h(
    "div.stack",
    null,
    h("p.quiet.small", null, "Business rules: a write that breaks one is answered 422 with its message."),
    listElement,
    h("div", null, h("button.button", { type: "button", on: { click: add } }, icon("plus"), "Add a check")),
  );
}
