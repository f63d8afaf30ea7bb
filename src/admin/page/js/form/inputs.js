// One input for each type of field. Each has an element, a `read()` of what stands in it (undefined: nothing was given;
// a `BadInput` is thrown for what is no value at all), and `focus()`.
import { h, newId } from "../dom.js";
import { relationInput } from "./relation.js";

/** What stands in an input is no value of its type; `path` leads to the part at fault, such as `.url`. */
export class BadInput extends Error {
  constructor(message, path = "") {
    super(message);
    this.path = path;
  }
}

const DAY_CHARS = 10;

/** `frame` is `{id, describedBy, listen}`: what the field's label and messages need. */
export function inputFor(field, value, frame) {
  const list = (field.maxSelect ?? 1) > 1;
  switch (field.type) {
    case "number":
      return number(field, value, frame);
    case "bool":
      return bool(field, value, frame);
    case "date":
      return date(value, frame);
    case "select":
      return list ? options(field, value, frame) : select(field, value, frame);
    case "relation":
      return relationInput(field, value, frame);
    case "json":
      return json(value, frame);
    case "geoPoint":
      return point(value, frame);
    case "password":
      return text({ type: "password", autocomplete: "new-password" }, "", frame);
    case "email":
    case "url":
      return text({ type: field.type, autocomplete: "off" }, value, frame);
    case "editor":
      return area("code", 5, value, frame);
    default:
      return (field.max ?? Infinity) <= 100 ? text({ type: "text" }, value, frame) : area("grows", 1, value, frame);
  }
}

const common = ({ id, describedBy, listen, required }) => ({
  id,
  "aria-describedby": describedBy,
  "aria-required": required ? "true" : null,
  on: { input: listen, change: listen },
});

const filled = (content) => (content === "" ? undefined : content);

export function text(properties, value, frame) {
  const element = h("input.input", {
    ...common(frame),
    spellcheck: "false",
    autocomplete: "off",
    ...properties,
    value: value ?? "",
  });
  return { element, read: () => filled(element.value), focus: () => element.focus() };
}

function area(kind, rows, value, frame) {
  const element = h("textarea.input", {
    ...common(frame),
    class: kind,
    rows,
    spellcheck: kind === "code" ? "false" : null,
  });
  element.value = value ?? "";
  return { element, read: () => filled(element.value), focus: () => element.focus() };
}

export function readNumber(content) {
  const number = Number(content);
  if (!Number.isFinite(number)) throw new BadInput("must be a number");
  return number;
}

function number(field, value, frame) {
  const input = text({ type: "text", inputmode: field.integer ? "numeric" : "decimal" }, value, frame);
  input.element.classList.add("number");
  return { ...input, read: () => (input.element.value.trim() === "" ? undefined : readNumber(input.element.value)) };
}

function bool(field, value, frame) {
  const choices = field.required && value != null ? ["true", "false"] : ["", "true", "false"];
  const words = { "": "–", true: "Yes", false: "No" };
  const element = h(
    "select.input",
    common(frame),
    choices.map((one) => h("option", { value: one }, words[one])),
  );
  element.value = value == null ? choices[0] : String(value);
  const read = () => (element.value === "" ? undefined : element.value === "true");
  return { element, read, focus: () => element.focus() };
}

function select(field, value, frame) {
  const element = h(
    "select.input",
    common(frame),
    h("option", { value: "" }, "–"),
    field.values.map((one) => h("option", { value: one }, one)),
  );
  element.value = value ?? "";
  return { element, read: () => filled(element.value), focus: () => element.focus() };
}

function options(field, value, { id, describedBy, listen, labelledBy }) {
  const chosen = new Set(value ?? []);
  const boxes = field.values.map((one) =>
    h("input", { type: "checkbox", value: one, checked: chosen.has(one), on: { change: listen } }),
  );
  const element = h(
    "div.options",
    { id, role: "group", "aria-labelledby": labelledBy, "aria-describedby": describedBy },
    boxes.map((box) => h("label.check", null, box, box.value)),
  );
  const read = () => {
    const values = boxes.filter((box) => box.checked).map((box) => box.value);
    return values.length ? values : undefined;
  };
  return { element, read, focus: () => boxes[0]?.focus() };
}

/** Dates are shown and given in UTC, as they are stored; what wasn't touched keeps its milliseconds. */
function date(value, frame) {
  const shown = value ? value.replace(" ", "T").slice(0, 19) : "";
  const element = h("input.input", { ...common(frame), type: "datetime-local", step: "1", value: shown });
  const read = () => {
    if (element.validity.badInput) throw new BadInput("must be a date that exists");
    if (element.value === "") return undefined;
    if (value && element.value === element.dataset.first) return value;
    const full = element.value.length === DAY_CHARS + 6 ? `${element.value}:00` : element.value.slice(0, 19);
    return `${full.replace("T", " ")}.000Z`;
  };
  element.dataset.first = element.value;
  return { element, read, focus: () => element.focus() };
}

function json(value, frame) {
  const input = area("code", 3, value == null ? "" : JSON.stringify(value, null, 2), frame);
  input.element.classList.add("grows");
  const read = () => {
    if (input.element.value.trim() === "") return undefined;
    try {
      return JSON.parse(input.element.value);
    } catch (error) {
      throw new BadInput(`must be JSON: ${error.message}`);
    }
  };
  return { ...input, read };
}

function point(value, { id, describedBy, listen, labelledBy }) {
  const part = (name, label, own) => {
    const inner = own ?? newId("part");
    const element = h("input.input.number", {
      id: inner,
      inputmode: "decimal",
      autocomplete: "off",
      value: value?.[name] ?? "",
      "aria-describedby": describedBy,
      on: { input: listen },
    });
    return { element, box: h("div.field", null, h("label", { for: inner }, label), element) };
  };
  const lon = part("lon", "Longitude", id);
  const lat = part("lat", "Latitude");
  const element = h("div.pair", { role: "group", "aria-labelledby": labelledBy }, lon.box, lat.box);
  const read = () => {
    const [x, y] = [lon, lat].map((one) => one.element.value.trim());
    if (x === "" && y === "") return undefined;
    if (x === "" || y === "") throw new BadInput("needs both longitude and latitude");
    return { lon: readNumber(x), lat: readNumber(y) };
  };
  return { element, read, focus: () => lon.element.focus() };
}
