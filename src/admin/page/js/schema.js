// JSON Schema (2020-12), so much of it as the server publishes: the first layer of validation, before anything is sent.
// What it finds is told like the server tells it: `{field: {code, message}}`, in the server's words.

/** The faults of a body; an empty object where there are none. */
export function faultsOf(schema, body) {
  const faults = {};
  const add = (path, code, message) => {
    faults[path || "body"] ??= { code, message };
  };
  object(schema, body, "", add);
  return faults;
}

function typeOf(value) {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  return typeof value;
}

const NAMES = {
  string: "a text",
  number: "a number",
  integer: "a whole number",
  boolean: "true or false",
  object: "an object",
  array: "a list",
  null: "null",
};

function fits(type, value) {
  const is = typeOf(value);
  if (type === "integer") return is === "number" && Number.isInteger(value);
  return is === type;
}

function any(schema, value, path, add) {
  if (schema === true) return;
  if (schema === false || (schema.not && Object.keys(schema.not).length === 0)) {
    add(path, "read_only", "is set by the server");
    return;
  }
  const types = schema.type === undefined ? [] : [schema.type].flat();
  if (types.length && !types.some((type) => fits(type, value))) {
    const wanted = types.find((type) => type !== "null");
    if (value === null) add(path, "required", "is required");
    else add(path, "wrong_type", `must be ${NAMES[wanted]}, not ${NAMES[typeOf(value)]}`);
    return;
  }
  if (schema.enum && !schema.enum.includes(value)) {
    if (value === null) add(path, "required", "is required");
    else add(path, "not_an_option", `must be one of ${schema.enum.filter((one) => one !== null).join(", ")}`);
    return;
  }
  const check = { string: text, number, array, object }[typeOf(value)];
  check?.(schema, value, path, add);
}

const FORMATS = {
  "date-time": [
    (value) => /^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$/.test(value) && exists(value),
    "not_a_date",
    "must be a date that exists, such as 2001-02-28 12:30:00.000Z",
  ],
  email: [(value) => /^[^\s@]+@[^\s@]+$/.test(value), "not_an_email", "must be an e-mail address"],
  uri: [(value) => URL.canParse(value), "not_a_url", "must be an address that begins with http:// or https://"],
};

function exists(value) {
  const [year, month, day] = value.slice(0, 10).split("-").map(Number);
  const at = new Date(Date.UTC(year, month - 1, day));
  return at.getUTCMonth() === month - 1 && at.getUTCDate() === day;
}

function text(schema, value, path, add) {
  const length = [...value].length;
  const [good, code, message] = FORMATS[schema.format] ?? [];
  if (length < (schema.minLength ?? 0)) {
    if (length === 0) add(path, "required", "is required");
    else add(path, "too_short", `must have ${schema.minLength} characters at least`);
  } else if (length > (schema.maxLength ?? Infinity))
    add(path, "too_long", `must have ${schema.maxLength} characters at most`);
  else if (good && !good(value)) add(path, code, message);
  else if (schema.pattern && !matches(schema.pattern, value)) add(path, "bad_pattern", `must match ${schema.pattern}`);
}

function matches(pattern, value) {
  try {
    return new RegExp(pattern, "u").test(value);
  } catch {
    return true; // The server has the last word.
  }
}

function number(schema, value, path, add) {
  if (value < (schema.minimum ?? -Infinity)) add(path, "too_small", `must be at least ${schema.minimum}`);
  else if (value > (schema.maximum ?? Infinity)) add(path, "too_big", `must be at most ${schema.maximum}`);
}

function array(schema, value, path, add) {
  if (value.length < (schema.minItems ?? 0)) {
    if (value.length === 0) add(path, "required", "is required");
    else add(path, "too_few", `must have ${schema.minItems} at least`);
  } else if (value.length > (schema.maxItems ?? Infinity))
    add(path, "too_many", `must have ${schema.maxItems} at most`);
  if (schema.uniqueItems && new Set(value.map((item) => JSON.stringify(item))).size < value.length)
    add(path, "duplicate", "must not have one twice");
  if (schema.items) value.forEach((item) => any(schema.items, item, path, add));
}

function object(schema, value, path, add) {
  const inner = (name) => (path ? `${path}.${name}` : name);
  for (const name of schema.required ?? [])
    if (!(name in value) || value[name] === undefined) add(inner(name), "required", "is required");
  for (const [name, item] of Object.entries(value)) {
    if (item === undefined) continue;
    const known = schema.properties?.[name];
    if (known !== undefined) any(known, item, inner(name), add);
    else if (schema.additionalProperties === false) add(inner(name), "unknown_field", "there is no such field");
  }
  // "One of these is required": a field with aliases. Its own name comes first.
  for (const { anyOf } of schema.allOf ?? []) {
    const names = (anyOf ?? []).flatMap((one) => one.required ?? []);
    if (names.length && !names.some((name) => value[name] !== undefined))
      add(inner(names[0]), "required", "is required");
  }
  for (const [name, rule] of Object.entries(schema.dependentSchemas ?? {})) {
    if (value[name] === undefined) continue;
    for (const [other, allowed] of Object.entries(rule.properties ?? {}))
      if (allowed === false && value[other] !== undefined)
        add(inner(other), "duplicate", `is the same field as ${name}`);
  }
}
