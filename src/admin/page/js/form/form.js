// A record's form, made from its collection's definition. What is given is validated by the published JSON Schema before
// it is sent; what the server then refuses is shown at the same places.
import { faultsOf } from "../schema.js";
import { debounced, h, newId, replace } from "../dom.js";
import { date } from "../format.js";
import { icon } from "../icons.js";
import { BadInput, inputFor } from "./inputs.js";

const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null);

/** A field that is asked for as a choice of known values; what stands there and is no longer known stays. */
function chosenFrom(choice, field, first) {
  if (!choice) return field;
  const values = [...new Set([...choice.values, ...[first ?? []].flat()])];
  return { ...field, type: "select", values, maxSelect: choice.many ? Infinity : 1 };
}

/** Whether a client may set it. */
export const isGiven = (field) => !field.computed && field.type !== "autodate" && field.type !== "secret";

/** What a new record has before anything is typed: plain defaults. Expressions are the server's to evaluate. */
function initial(field, values) {
  if (values) return values[field.name] ?? undefined;
  const given = field.default;
  const isExpression =
    typeof given === "string" ? given.startsWith("@") : given !== null && typeof given === "object" && "expr" in given;
  return given === undefined || isExpression ? undefined : given;
}

function hintOf(field, creates) {
  const bounds = [];
  if (field.min != null) bounds.push(`from ${field.min}`);
  if (field.max != null) bounds.push(`to ${field.max}`);
  const unit = ["text", "editor", "password"].includes(field.type) && bounds.length ? " characters" : "";
  const parts = [];
  if (bounds.length) parts.push(bounds.join(" ") + unit);
  if (field.pattern) parts.push(`matches ${field.pattern}`);
  if (field.type === "date") parts.push("UTC");
  if (field.type === "editor") parts.push("HTML, made safe by the server");
  if (creates && field.default?.expr) parts.push(`else ${field.default.expr}`);
  else if (creates && field.default === "@now") parts.push("else the moment of the write");
  if (!creates && field.type === "password") parts.push("empty: stays as it is");
  return parts.join(" · ");
}

/**
 * A form over `definition`; `values` are the stored ones, null for a new record. `schema` is that of a create's body.
 * `shows(name, body, values)` says which fields are asked for now; `hints` are words below a field; `only` names what is shown;
 * `choices` are for fields that hold names of other things: the values of each, and whether `many` of them are taken.
 * `inputs` make a field's input of their own, `(value, frame)`; one of parts has `tell(path, message)` for faults in it.
 */
export function recordForm({
  definition,
  values = null,
  schema,
  shows = () => true,
  hints = {},
  only = null,
  choices = {},
  inputs = {},
}) {
  const creates = values === null;
  const fields = only
    ? only.map((name) => definition.fields.find((field) => field.name === name)).filter(Boolean)
    : definition.fields;
  const rows = new Map();
  const general = h("div.notice.bad", { role: "alert", hidden: true });
  let asked = false;

  const changed = debounced(() => {
    reveal();
    if (asked) show(check());
  }, 120);

  function row(field) {
    const { name } = field;
    const id = newId("in");
    const labelId = newId("label");
    const faultId = newId("fault");
    const hint = hints[name] ?? hintOf(field, creates);
    const hintId = hint ? newId("hint") : null;
    const required = field.required && (creates || field.type !== "password");
    const frame = {
      id,
      describedBy: [hintId, faultId].filter(Boolean).join(" "),
      labelledBy: labelId,
      required,
      listen: changed,
    };
    const first = initial(field, values);
    const own = inputs[name];
    const input = own ? own(first, frame) : inputFor(chosenFrom(choices[name], field, first), first, frame);
    const fault = h("p.fault", { id: faultId, hidden: true });
    const kinds = [own ? "" : field.type, field.maxSelect > 1 ? "list" : "", field.hidden ? "hidden" : ""];
    const kind = kinds.filter(Boolean).join(", ");
    const grouped = input.element.getAttribute("role") === "group";
    const label = h(
      grouped ? "span.label" : "label",
      { id: labelId, for: grouped ? null : id },
      icon(field.type),
      h("span", { class: required ? "required" : "" }, name),
      h("span.kind", null, kind),
    );
    const box = h(
      "div.field",
      { dataset: { field: name } },
      label,
      input.element,
      hint && h("p.hint", { id: hintId }, hint),
      fault,
    );
    rows.set(name, { field, input, first: first === undefined ? null : first, box, fault });
    return box;
  }

  function readOnly(field) {
    const value = values?.[field.name];
    const shown =
      value == null
        ? h("span.null", null, "null")
        : field.type === "autodate"
          ? date(value)
          : typeof value === "object"
            ? JSON.stringify(value)
            : String(value);
    return h(
      "div.fixed",
      null,
      h("dt", null, field.name),
      h("dd", null, shown),
      h("dd.hint", null, field.computed ? `= ${field.computed}` : ""),
    );
  }

  function idRow() {
    const id = newId("in");
    const faultId = newId("fault");
    const element = h("input.input.code", {
      id,
      "aria-describedby": faultId,
      placeholder: "made by the server",
      autocomplete: "off",
      spellcheck: "false",
      on: { input: changed },
    });
    const fault = h("p.fault", { id: faultId, hidden: true });
    const box = h(
      "div.field",
      { dataset: { field: "id" } },
      h("label", { for: id }, icon("key"), "id", h("span.kind", null, "id")),
      element,
      fault,
    );
    rows.set("id", {
      field: { name: "id" },
      input: { element, read: () => element.value || undefined, focus: () => element.focus() },
      first: null,
      box,
      fault,
    });
    return box;
  }

  const boxes = [...(creates && !only ? [idRow()] : []), ...fields.filter(isGiven).map(row)];
  const fixed = creates || only ? [] : fields.filter((field) => !isGiven(field) && field.type !== "secret");
  const element = h(
    "form.stack.record-form",
    { novalidate: true, "aria-label": definition.name },
    general,
    boxes,
    fixed.length
      ? h(
          "section",
          { "aria-label": "Set by the server" },
          h("h3", null, "Set by the server"),
          h("dl.fixed-list", null, fixed.map(readOnly)),
        )
      : null,
    // Enter in an input submits.
    h("button", { type: "submit", hidden: true }),
  );

  /** What stands in the form, and what of it is no value: `[{name: value}, faults]`. */
  function read() {
    const body = {};
    const faults = {};
    for (const [name, { input, box }] of rows) {
      if (box.hidden) continue;
      try {
        const value = input.read();
        if (value !== undefined) body[name] = value;
      } catch (error) {
        if (!(error instanceof BadInput)) throw error;
        faults[name + error.path] = { code: "bad_input", message: error.message };
      }
    }
    return [body, faults];
  }

  function reveal() {
    const [body] = read();
    for (const [name, { box }] of rows) box.hidden = !shows(name, body, values);
  }

  /** All faults that can be told here. */
  function check() {
    const [body, faults] = read();
    const missing = faultsOf(creates ? schema : ofChange(schema), body);
    // What has a part at fault was given.
    for (const path of Object.keys(faults)) delete missing[path.split(".")[0]];
    const found = { ...missing, ...faults };
    // What isn't asked for here is not at fault here.
    for (const name of Object.keys(found)) if (only && !rows.has(name.split(".")[0])) delete found[name];
    return found;
  }

  /** The row of a fault's path; a path may use a field's other name, and go on into a list. */
  function rowOf(path) {
    const name = path.split(".")[0];
    if (rows.has(name)) return rows.get(name);
    return [...rows.values()].find(({ field }) => field.aliases?.includes(name));
  }

  function show(faults, message = "") {
    for (const { box, fault, input } of rows.values()) {
      box.classList.remove("faulty");
      fault.hidden = true;
      input.element.removeAttribute("aria-invalid");
      input.tell?.(null);
    }
    const others = [];
    let first = null;
    for (const [path, { message }] of Object.entries(faults)) {
      const row = rowOf(path);
      if (!row || row.box.hidden) {
        others.push(`${path}: ${message}`);
        continue;
      }
      const part = row.input.tell?.(path.split(".").slice(1).join("."), message);
      if (part) {
        first ??= { input: part };
        continue;
      }
      row.box.classList.add("faulty");
      row.fault.hidden = false;
      replace(row.fault, icon("warning"), h("span", null, message));
      if (!["group"].includes(row.input.element.getAttribute("role")))
        row.input.element.setAttribute("aria-invalid", "true");
      first ??= row;
    }
    const count = Object.keys(faults).length;
    const text = others.length ? [message, ...others].filter(Boolean).join(" · ") : message;
    general.hidden = !text;
    replace(general, text && [icon("warning"), h("span", null, text)]);
    return count || message ? (first ?? { input: { focus: () => general.scrollIntoView() } }) : null;
  }

  reveal();
  return {
    element,
    /** What is sent: of a new record all that was given, of a stored one what is another than it was. */
    body() {
      const [body] = read();
      if (creates) return body;
      const changes = {};
      for (const [name, { first, field }] of rows) {
        const now = body[name] ?? null;
        if (field.type === "password" && now === null) continue;
        if (!same(now, first)) changes[name] = now;
      }
      return changes;
    },
    /** Whether anything may be sent; if not, the faults are shown and the first has the focus. */
    valid() {
      asked = true;
      const first = show(check());
      first?.input.focus();
      return first === null;
    },
    /** Shows what the server said. */
    refused(error) {
      asked = false;
      const known = Object.keys(error.faults ?? {}).some((path) => rowOf(path));
      show(error.faults ?? {}, known ? "" : error.message)?.input.focus();
    },
    isDirty() {
      const [body, faults] = read();
      return Object.keys(faults).length > 0 || [...rows].some(([name, { first }]) => !same(body[name], first));
    },
    /** All values as JSON would have them. */
    all: () => read()[0],
  };
}

/** Of a stored record a password isn't asked for again. */
function ofChange(schema) {
  const isSecret = (name) => schema.properties?.[name]?.writeOnly;
  return { ...schema, required: (schema.required ?? []).filter((name) => !isSecret(name)) };
}
