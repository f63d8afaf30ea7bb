// An input for an expression, and the place of a fault in it as the server tells it: "column 6: there is no field".
import { h, newId, replace } from "./dom.js";
import { icon } from "./icons.js";

/** `[column, words]` of a message; no column where it tells none. */
export function placeOf(message) {
  const [, column, words] = message.match(/(?:^|: )column (\d+): (.*)$/s) ?? [];
  return column ? [Number(column), words] : [null, message];
}

/** Shows a message below `input`: the piece of the expression that it is about, and a way to go there. */
export function showPlace(place, input, message) {
  place.hidden = !message;
  if (!message) {
    input.removeAttribute("aria-invalid");
    replace(place);
    return;
  }
  input.setAttribute("aria-invalid", "true");
  const [column, words] = placeOf(message);
  if (column === null) {
    replace(place, icon("warning"), h("span", null, words));
    return;
  }
  const text = [...input.value];
  const before = text.slice(Math.max(0, column - 16), column - 1).join("");
  const at = text.slice(column - 1, column + 12).join("");
  const jump = () => {
    input.focus();
    const from = text.slice(0, column - 1).join("").length;
    input.setSelectionRange(from, Math.max(from + 1, from + (at.match(/^[\w.@]+/)?.[0].length ?? 1)));
  };
  replace(
    place,
    icon("warning"),
    h(
      "span",
      null,
      h("button.as-link", { type: "button", on: { click: jump } }, `Column ${column}`),
      `: ${words} `,
      h("code.excerpt", { "aria-hidden": "true" }, column > 16 ? "…" : "", before, h("mark", null, at || "␣")),
    ),
  );
}

/**
 * A field for an expression: `{element, input, show(message)}`. It grows with what is typed.
 */
export function expressionField({ label, value, placeholder, hint, listen, path }) {
  const id = newId("expr");
  const faultId = newId("fault");
  const hintId = hint ? newId("hint") : null;
  const input = h("textarea.input.code.grows", {
    id,
    rows: 1,
    spellcheck: "false",
    autocapitalize: "off",
    placeholder,
    dataset: { path },
    "aria-describedby": [hintId, faultId].filter(Boolean).join(" "),
    on: { input: listen },
  });
  input.value = value ?? "";
  const fault = h("div.fault", { id: faultId, hidden: true });
  const element = h(
    "div.field",
    null,
    h("label", { for: id }, label),
    input,
    hint && h("p.hint", { id: hintId }, hint),
    fault,
  );
  return { element, input, show: (message) => showPlace(fault, input, message) };
}
