// One call of the document: what it takes, what it answers, what it refuses, and a line that tries it.
import { h } from "../dom.js";
import { resolve, schemaTable } from "./schema.js";
import { table } from "../table.js";

const json = (value) => JSON.stringify(value, null, 2);

/** A piece of text that scrolls by itself. */
const code = (text, label) => h("pre.sample", { tabindex: "0", role: "region", "aria-label": label }, text);

const shell = (text) => `'${text.replaceAll("'", "'\\''")}'`;

/** The call as a line for curl. */
function curl(document, path, method, operation) {
  const address = `${location.origin}${path.replace("{id}", "ID").replace("{collection}", "COLLECTION")}`;
  const lines = [`curl ${method === "get" ? "" : `-X ${method.toUpperCase()} `}${address}`];
  if (operation.security?.length !== 0) lines.push(`-H "Authorization: $TOKEN"`);
  const [type, content] = Object.entries(operation.requestBody?.content ?? {})[0] ?? [];
  if (type) {
    lines.push(`-H 'Content-Type: ${type}'`);
    const [schema] = resolve(document, content.schema);
    const example = content.example ?? schema?.example;
    lines.push(type === "application/json" ? `-d ${shell(JSON.stringify(example ?? {}))}` : "--data-binary @FILE");
  }
  return lines.join(" \\\n  ");
}

function parameterTable(document, operation, label) {
  const all = (operation.parameters ?? []).map((one) => resolve(document, one)[0]);
  if (!all.length) return null;
  const row = (one) =>
    h(
      "tr",
      null,
      h("th", { scope: "row" }, h("code", { class: one.required ? "required" : "" }, one.name)),
      h("td", null, one.in),
      h(
        "td.wraps",
        null,
        one.description,
        one.example !== undefined && [" Such as ", h("code", null, String(one.example)), "."],
      ),
    );
  return [
    h("h3", null, "Parameters"),
    table(`Parameters of ${label}`, ["Name", "In", "About"], all.map(row)),
  ];
}

function body(document, operation, label) {
  const entries = Object.entries(operation.requestBody?.content ?? {});
  if (!entries.length) return null;
  const [type, content] = entries[0];
  return [
    h("h3", null, "Body"),
    h("p.small.quiet", null, entries.map(([one]) => one).join(" or ")),
    type === "application/json" && schemaTable(document, content.schema, `Body of ${label}`),
    content.example !== undefined && code(json(content.example), `Example of a body of ${label}`),
  ];
}

function answers(document, operation, label) {
  const all = Object.entries(operation.responses).map(([status, one]) => [status, resolve(document, one)[0]]);
  const good = all.filter(([status]) => Number(status) < 300);
  const refused = all.filter(([status]) => Number(status) >= 300);
  const told = ([status, one]) => {
    const [type, content] = Object.entries(one.content ?? {})[0] ?? [];
    return [
      h("p", null, h("span.chip.good", null, status), ` ${one.description}${type ? `: ${type}` : ""}`),
      content && type === "application/json" && schemaTable(document, content.schema, `Answer of ${label}`),
      content?.example !== undefined && code(json(content.example), `Example of an answer of ${label}`),
    ];
  };
  const fault = ([status, one]) => {
    const example = one.content?.["application/problem+json"]?.example;
    return h(
      "li",
      null,
      h(
        "details",
        null,
        h("summary", null, h("span.chip.warn", null, status), " ", one.description),
        example ? code(json(example), `Example of ${status}`) : h("p.small.quiet", null, "Without a body."),
      ),
    );
  };
  return [
    h("h3", null, "Answer"),
    good.map(told),
    h("h3", null, "Refusals"),
    h("ul.refused", null, refused.map(fault)),
  ];
}

/** The call as an element; what is inside is made when it is opened. */
export function callElement(document, path, method, operation) {
  const label = `${method.toUpperCase()} ${path}`;
  const inner = h("div.call-body");
  const element = h(
    "details.call.card",
    { id: operation.operationId },
    h(
      "summary",
      null,
      h(`span.method.${method}`, null, method.toUpperCase()),
      h("code.path", null, path),
      h("span.quiet.small.sum", null, operation.summary),
    ),
    inner,
  );
  element.addEventListener("toggle", () => {
    if (!element.open || inner.childElementCount) return;
    for (const part of [
      operation.description && h("p", null, operation.description),
      code(curl(document, path, method, operation), `${label} with curl`),
      parameterTable(document, operation, label),
      body(document, operation, label),
      answers(document, operation, label),
    ].flat(3))
      if (part) inner.append(part);
  });
  return element;
}
