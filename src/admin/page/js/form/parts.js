// An input of several parts, for a field that holds an object. Each part has a path in it and its own place for a fault;
// what is read is what was given before for as long as nothing in it says otherwise.
import { h, newId, replace } from "../dom.js";
import { expressionField, showPlace } from "../expression.js";
import { icon } from "../icons.js";
import { BadInput, readNumber } from "./inputs.js";

/** A text without the order of its keys, to see whether two values are the same. */
function canonical(value) {
  if (value === null || typeof value !== "object") return JSON.stringify(value ?? null);
  if (Array.isArray(value)) return `[${value.map(canonical).join()}]`;
  const keys = Object.keys(value).filter((key) => value[key] !== undefined);
  return `{${keys.sort().map((key) => `${JSON.stringify(key)}:${canonical(value[key])}`)}}`;
}

/** An object without what is undefined; undefined where that leaves nothing. */
export function given(object) {
  const pairs = Object.entries(object).filter(([, value]) => value !== undefined);
  return pairs.length ? Object.fromEntries(pairs) : undefined;
}

/**
 * The field's input: `read()` makes its value of `parts()`, those that are asked for now, each
 * `{path, element, show(message, rest), focus(rest)}`.
 */
export function ofParts(value, { id, labelledBy, describedBy }, { parts, read, children }) {
  const element = h(
    "div.parts-input",
    { id, role: "group", "aria-labelledby": labelledBy, "aria-describedby": describedBy },
    children,
  );
  const first = value == null ? null : canonical(read());
  const all = new Set();
  return {
    element,
    read() {
      const now = read();
      return first !== null && canonical(now) === first ? value : now;
    },
    focus: () => element.querySelector("input, select, textarea")?.focus(),
    /** Shows a fault at its part, and gives what has the focus then; null where no part is meant. No path: none is at fault. */
    tell(path, message) {
      if (path === null) {
        for (const part of all) part.show("");
        all.clear();
        return null;
      }
      const meant = parts()
        .filter((part) => path === part.path || path.startsWith(`${part.path}.`))
        .sort((a, b) => b.path.length - a.path.length)[0];
      if (!meant) return null;
      const rest = path === meant.path ? undefined : path.slice(meant.path.length + 1);
      meant.show(message, rest);
      all.add(meant);
      return { focus: () => meant.focus(rest) };
    },
  };
}

/** A part with a label above it and a fault below. `input` is its element. */
function framed(path, { label, hint, input, required }) {
  input.id ||= newId("part");
  const fault = h("p.fault", { id: newId("fault"), hidden: true });
  const hintId = hint ? newId("hint") : null;
  input.setAttribute("aria-describedby", [hintId, fault.id].filter(Boolean).join(" "));
  if (required) input.setAttribute("aria-required", "true");
  const words = h("span", { class: required ? "required" : "" }, label);
  const element = h(
    "div.field",
    null,
    h("label", { for: input.id }, words),
    input,
    hint && h("p.hint", { id: hintId }, hint),
    fault,
  );
  return { path, element, input, show: (message) => showPlace(fault, input, message), focus: () => input.focus() };
}

/** A line of text; with `type: "number"` a number is read, with `list` it suggests what a datalist has. */
export function textPart(path, { label, hint, value, listen, type = "text", list, placeholder, required }) {
  const input = h("input.input", {
    type: type === "number" ? "text" : type,
    inputmode: type === "number" ? "numeric" : null,
    class: type === "number" ? "number" : "",
    list,
    placeholder,
    autocomplete: "off",
    spellcheck: "false",
    value: value ?? "",
    on: { input: listen },
  });
  const part = framed(path, { label, hint, input, required });
  const read = () => {
    const text = input.value.trim();
    if (text === "") return undefined;
    if (type !== "number") return text;
    try {
      return readNumber(text);
    } catch (error) {
      throw new BadInput(error.message, `.${path}`);
    }
  };
  return { ...part, read };
}

/** A choice of `options`, each `[value, words]`, which `fill` may change; what stands there stays. */
export function selectPart(path, { label, hint, value, options, listen, required }) {
  const input = h("select.input", { on: { change: listen } });
  const fill = (next, now = input.value) => {
    const known = next.some(([one]) => one === now);
    const shown = known || now === "" ? next : [...next, [now, now]];
    replace(
      input,
      shown.map(([one, words]) => h("option", { value: one }, words)),
    );
    input.value = now;
    if (input.selectedIndex < 0) input.selectedIndex = 0;
  };
  fill(options, value ?? "");
  const part = framed(path, { label, hint, input, required });
  return { ...part, fill, read: () => input.value || undefined };
}

/** An expression, with the column of a fault in it. */
export function expressionPart(path, { label, hint, value, placeholder, listen }) {
  const { element, input, show } = expressionField({ label, hint, value, placeholder, listen });
  return { path, element, input, show, focus: () => input.focus(), read: () => input.value.trim() || undefined };
}

/** A JSON text. */
export function jsonPart(path, { label, hint, value, placeholder, listen }) {
  const input = h("textarea.input.code.grows", { rows: 1, spellcheck: "false", placeholder, on: { input: listen } });
  input.value = value == null ? "" : JSON.stringify(value);
  const read = () => {
    if (input.value.trim() === "") return undefined;
    try {
      return JSON.parse(input.value);
    } catch (error) {
      throw new BadInput(`must be JSON: ${error.message}`, `.${path}`);
    }
  };
  return { ...framed(path, { label, hint, input }), read };
}

/** Names, each with an expression: an object. `name` is the word for one, `list` a datalist of what is known. */
export function pairsPart(path, { label, hint, name = "name", value, list, listen, add, placeholder }) {
  const labelId = newId("label");
  const fault = h("p.fault", { hidden: true, id: newId("fault") });
  const place = h("div.stack.tight");
  let rows = [];

  function number() {
    for (const [at, { key, text, drop }] of rows.entries()) {
      key.setAttribute("aria-label", `${label}: ${name} ${at + 1}`);
      text.setAttribute("aria-label", `${label}: expression ${at + 1}`);
      drop.setAttribute("aria-label", `${label}: remove ${at + 1}`);
    }
  }

  function row(known = "", expression = "") {
    const own = h("p.fault", { hidden: true, id: newId("fault") });
    const described = { "aria-describedby": own.id, autocomplete: "off", spellcheck: "false", on: { input: listen } };
    const key = h("input.input.code", { list, placeholder: name, value: known, ...described });
    const text = h("textarea.input.code.grows", { rows: 1, placeholder, ...described });
    text.value = expression;
    const drop = h("button.button.plain.square", { type: "button", on: { click: () => remove(one) } }, icon("close"));
    const element = h("div.pair-row", null, key, text, drop, own);
    const one = { key, text, drop, element, fault: own };
    rows.push(one);
    place.append(element);
    return one;
  }

  function remove(one) {
    const at = rows.indexOf(one);
    rows = rows.filter((other) => other !== one);
    one.element.remove();
    number();
    (rows[at] ?? rows[at - 1])?.key.focus();
    if (!rows.length) more.focus();
    listen();
  }

  const more = h(
    "button.button.little",
    {
      type: "button",
      on: {
        click() {
          row().key.focus();
          number();
        },
      },
    },
    icon("plus"),
    add,
  );
  for (const [known, expression] of Object.entries(value ?? {})) row(known, expression);
  if (!rows.length && value === undefined) row();
  number();
  const element = h(
    "div.field",
    { role: "group", "aria-labelledby": labelId, "aria-describedby": fault.id },
    h("span.label", { id: labelId }, label),
    place,
    h("div", null, more),
    hint && h("p.hint", null, hint),
    fault,
  );
  const named = (rest) => rows.find(({ key }) => key.value.trim() === rest);
  const target = (rest) => (rest === undefined ? undefined : named(rest));
  return {
    path,
    element,
    show(message, rest) {
      if (!message) {
        for (const one of rows) {
          showPlace(one.fault, one.text, "");
          one.key.removeAttribute("aria-invalid");
        }
        fault.hidden = true;
        return;
      }
      const one = target(rest);
      if (one) return showPlace(one.fault, one.text, message);
      fault.hidden = false;
      replace(fault, icon("warning"), h("span", null, rest ? `${rest}: ${message}` : message));
    },
    focus: (rest) => (target(rest)?.text ?? rows[0]?.key ?? more).focus(),
    read() {
      const object = {};
      for (const { key, text } of rows) {
        const [known, expression] = [key.value.trim(), text.value.trim()];
        if (known === "" && expression === "") continue;
        if (known === "") throw new BadInput(`needs a ${name}`, `.${path}.`);
        if (expression === "") throw new BadInput("needs an expression", `.${path}.${known}`);
        if (known in object) throw new BadInput("is there twice", `.${path}.${known}`);
        object[known] = expression;
      }
      return given(object);
    },
  };
}
