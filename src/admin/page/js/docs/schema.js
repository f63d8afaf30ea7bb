// A JSON Schema as a table of its properties, and in a few words.
import { h } from "../dom.js";
import { table } from "../table.js";

const DEPTH = 4;

/** What a reference in the document stands for, with its name. */
export function resolve(document, schema) {
  const path = schema?.$ref;
  if (!path) return [schema, null];
  const parts = path.slice(2).split("/");
  return [parts.reduce((at, part) => at?.[part], document), parts.at(-1)];
}

/** A schema in a few words: `text or null`, `list of numbers`. */
export function inWords(document, given) {
  const [schema, name] = resolve(document, given);
  if (name) return name;
  if (!schema || Object.keys(schema).length === 0) return "anything";
  if (schema.enum) return schema.enum.map((one) => JSON.stringify(one)).join(" | ");
  if (schema.anyOf) return [...new Set(schema.anyOf.map((one) => inWords(document, one)))].join(" or ");
  const types = [schema.type ?? []].flat();
  const words = types.map((type) => (type === "array" ? `list of ${inWords(document, schema.items)}` : type));
  return words.join(" or ") || "anything";
}

function bounds(schema) {
  const said = [];
  if (schema.minLength) said.push(`${schema.minLength} characters at least`);
  if (schema.maxLength) said.push(`${schema.maxLength} characters at most`);
  if (schema.minimum !== undefined && Math.abs(schema.minimum) < 1e15) said.push(`at least ${schema.minimum}`);
  if (schema.maximum !== undefined && Math.abs(schema.maximum) < 1e15) said.push(`at most ${schema.maximum}`);
  if (schema.minItems) said.push(`${schema.minItems} items at least`);
  if (schema.maxItems) said.push(`${schema.maxItems} items at most`);
  if (schema.pattern) said.push(`matches ${schema.pattern}`);
  if (schema.format) said.push(schema.format);
  if (schema.default !== undefined) said.push(`default ${JSON.stringify(schema.default)}`);
  return said.join(", ");
}

/** The properties that an object has, also those of the parts that it is made of. */
function propertiesOf(document, given, depth = 0) {
  const [schema] = resolve(document, given);
  if (!schema || depth > DEPTH) return [[], []];
  const own = Object.entries(schema.properties ?? {});
  const required = [...(schema.required ?? [])];
  for (const part of schema.allOf ?? []) {
    const [more, asked] = propertiesOf(document, part, depth + 1);
    own.push(...more);
    required.push(...asked);
  }
  return [own, required];
}

/** A table of the properties, or the schema in words where it has none. */
export function schemaTable(document, given, label) {
  const [schema, name] = resolve(document, given);
  const inner = schema?.type === "array" ? schema.items : given;
  const [properties, required] = propertiesOf(document, inner);
  const shown = properties.filter(([, shape]) => shape !== false && !(shape?.readOnly && shape?.not));
  const head = h(
    "p.small.quiet",
    null,
    schema?.type === "array" ? "A list of " : "",
    h("code", null, name ?? inWords(document, inner)),
  );
  if (!shown.length) return head;
  const row = ([key, shape]) => {
    const about = [shape.description ?? "", shape === true ? "" : bounds(shape)].filter(Boolean).join("; ");
    return h(
      "tr",
      null,
      h("th", { scope: "row" }, h("code", { class: required.includes(key) ? "required" : "" }, key)),
      h("td", null, h("code", null, shape === true ? "anything" : inWords(document, shape))),
      h("td.wraps", null, about),
    );
  };
  return h(
    "div.stack.tight",
    null,
    head,
    table(label, ["Name", "Type", "About"], shown.map(row)),
  );
}
