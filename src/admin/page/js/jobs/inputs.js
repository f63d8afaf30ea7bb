// The inputs of a job's fields that hold objects: whose records, what is done with them, where the result goes, who is told.
// Which records and which fields there are is known from the definitions; what an expression may say is the server's to judge.
import { h, newId, replace } from "../dom.js";
import { isGiven } from "../form/form.js";
import { BadInput, text } from "../form/inputs.js";
import { expressionPart, given, jsonPart, ofParts, pairsPart, selectPart, textPart } from "../form/parts.js";
import { isOwn } from "../store.js";

/** What a job may do, in words. */
export const TASKS = {
  update: "Write into each",
  delete: "Delete each",
  webhook: "Send them as webhooks",
  aggregate: "Add them up",
  export: "Export them into a file",
};

/** The one kind of a task. */
export const kindOf = (task) => Object.keys(task ?? {})[0] ?? "update";

const FILES = [
  ["ndjson", "JSON, a line each"],
  ["csv", "CSV"],
];

function webhookParts(path, value, listen, required) {
  const parts = {
    url: textPart(`${path}.url`, {
      label: "URL",
      value: value?.url,
      type: "url",
      placeholder: "https://…",
      listen,
      required,
    }),
    headers: jsonPart(`${path}.headers`, {
      label: "Headers",
      hint: 'JSON, such as {"X-From": "millpond"}',
      value: value?.headers,
      listen,
    }),
    timeout: textPart(`${path}.timeout`, {
      label: "Timeout of a try",
      hint: "seconds",
      value: value?.timeout,
      type: "number",
      listen,
    }),
  };
  const read = () => given({ url: parts.url.read(), headers: parts.headers.read(), timeout: parts.timeout.read() });
  return { list: Object.values(parts), read };
}

/** Groups or values of an aggregate: an object, or a text as a query has it. */
function namedPart(path, options) {
  return typeof options.value === "string" ? expressionPart(path, options) : pairsPart(path, options);
}

/** Of each kind its parts, and how its object is read. */
function kinds(task, fields, listen) {
  const update = pairsPart("update", {
    label: "Fields to write",
    name: "field",
    add: "Another field",
    hint: "n, or n+ and n- to add to a number or a list and take from it; an expression over the record",
    value: task?.update,
    list: fields,
    placeholder: "n + 1",
    listen,
  });
  const webhook = webhookParts("webhook", task?.webhook, listen, true);
  const sum = task?.aggregate;
  const aggregate = {
    group: namedPart("aggregate.group", {
      label: "Group by",
      add: "Another group",
      value: task?.aggregate ? (sum.group ?? null) : undefined,
      placeholder: "kind",
      listen,
    }),
    values: namedPart("aggregate.values", {
      label: "Values",
      add: "Another value",
      hint: "such as sum(total), avg(total), max(total); none: their count",
      value: task?.aggregate ? (sum.values ?? null) : undefined,
      placeholder: "sum(total)",
      listen,
    }),
    having: expressionPart("aggregate.having", {
      label: "Only rows where",
      value: sum?.having,
      placeholder: "count > 1",
      listen,
    }),
    sort: textPart("aggregate.sort", { label: "Order", value: sum?.sort, placeholder: "-total", listen }),
    limit: textPart("aggregate.limit", { label: "Rows at most", value: sum?.limit, type: "number", listen }),
  };
  const format = selectPart("export.format", {
    label: "Form of the file",
    value: task?.export?.format ?? "ndjson",
    options: FILES,
    listen,
  });
  return {
    update: {
      parts: [update],
      read() {
        const set = update.read();
        if (!set) throw new BadInput("needs a field at least", ".update");
        return set;
      },
    },
    delete: { parts: [], read: () => ({}) },
    webhook: { parts: webhook.list, read: () => webhook.read() ?? {} },
    aggregate: {
      parts: Object.values(aggregate),
      read: () => given(Object.fromEntries(Object.entries(aggregate).map(([name, part]) => [name, part.read()]))) ?? {},
    },
    export: { parts: [format], read: () => ({ format: format.read() }) },
  };
}

/** The inputs for a form of `_jobs`, by their fields: they share what collection is chosen. */
export function jobInputs(all) {
  const data = all.filter((one) => !isOwn(one));
  const fields = h("datalist", { id: newId("fields") });
  const zones = h(
    "datalist",
    { id: newId("zones") },
    (Intl.supportedValuesOf?.("timeZone") ?? []).map((name) => h("option", { value: name })),
  );
  const find = (name) => data.find((one) => one.name === name || one.id === name);
  const fillFields = (name) =>
    replace(
      fields,
      (find(name)?.fields ?? []).filter(isGiven).map((field) => h("option", { value: field.name })),
    );

  function source(value, frame) {
    const collection = selectPart("collection", {
      label: "Collection",
      value: value?.collection,
      options: [["", "–"], ...data.map(({ name }) => [name, name])],
      required: true,
      listen() {
        fillFields(collection.read());
        frame.listen();
      },
    });
    const filter = expressionPart("filter", {
      label: "Only those where",
      hint: "an expression; empty: all of them",
      value: value?.filter,
      placeholder: "status = 'open'",
      listen: frame.listen,
    });
    fillFields(value?.collection);
    const read = () => given({ collection: collection.read(), filter: filter.read() });
    const parts = [collection, filter];
    return ofParts(value, frame, {
      parts: () => parts,
      children: [parts.map((part) => part.element), fields, zones],
      read() {
        const now = read();
        if (now && !now.collection) throw new BadInput("is required", ".collection");
        return now;
      },
    });
  }

  function task(value, frame) {
    const place = h("div.stack");
    const known = kinds(value, fields.id, frame.listen);
    const kind = selectPart("kind", {
      label: "What is done",
      value: kindOf(value),
      options: Object.entries(TASKS),
      listen() {
        show();
        frame.listen();
      },
    });
    const show = () =>
      replace(
        place,
        known[kind.read()].parts.map((part) => part.element),
      );
    show();
    return ofParts(value, frame, {
      parts: () => known[kind.read()].parts,
      children: [kind.element, place],
      read: () => ({ [kind.read()]: known[kind.read()].read() }),
    });
  }

  function store(value, frame) {
    const unique = (name) =>
      (find(name)?.indexes ?? [])
        .filter((index) => index.unique && index.fields.length === 1)
        .map(({ fields: [field] }) => (typeof field === "string" ? field : field.name).replace(/^-/, ""));
    const keys = (name) => [["", "– each row is a new record"], ...unique(name).map((one) => [one, one])];
    const key = selectPart("key", {
      label: "Replaces the record with the same",
      hint: "a field with a unique index of its own",
      value: value?.key,
      options: keys(value?.collection),
      listen: frame.listen,
    });
    const collection = selectPart("collection", {
      label: "Into",
      value: value?.collection,
      options: [
        ["", "– stays in the run alone"],
        ...data.filter(({ type }) => type !== "auth").map(({ name }) => [name, name]),
      ],
      listen() {
        key.input.value = "";
        key.fill(keys(collection.read()));
        key.element.hidden = !collection.read();
        frame.listen();
      },
    });
    key.element.hidden = !value?.collection;
    const parts = [collection, key];
    return ofParts(value, frame, {
      parts: () => parts,
      children: parts.map((part) => part.element),
      read: () => (collection.read() ? given({ collection: collection.read(), key: key.read() }) : undefined),
    });
  }

  function notify(value, frame) {
    const webhook = webhookParts("webhook", value?.webhook, frame.listen, false);
    return ofParts(value, frame, {
      parts: () => webhook.list,
      children: h(
        "div.stack",
        null,
        webhook.list.map((part) => part.element),
      ),
      read() {
        const said = webhook.read();
        return said && { webhook: said };
      },
    });
  }

  const line = (properties) => (value, frame) => text({ type: "text", ...properties }, value, frame);
  return {
    source,
    task,
    store,
    notify,
    schedule: line({ placeholder: "30 6 * * MON", class: "code" }),
    secret: line({ class: "code" }),
    timeZone: line({ placeholder: "UTC", list: zones.id }),
  };
}

/**
 * Which fields are asked for with what stands in the form, which began with `job`: the stored one, as it is now, and not as it
 * was when the page was shown. What is hidden though it is given would be taken away. What can't be read yet
 * hides nothing, nor is what a job has hidden where it does no harm.
 */
export const asked = (name, body, job) => {
  const kind = body.task && kindOf(body.task);
  if (name === "store") return kind === "aggregate";
  if (name === "timeZone") return Boolean(body.schedule);
  if (job?.[name] != null) return true;
  if (name === "secret") return kind === undefined || kind === "webhook" || body.notify !== undefined;
  return !["chunk", "parallel", "stopOnError"].includes(name) || !["aggregate", "export"].includes(kind);
};

/** What is said below the fields. */
export const HINTS = {
  schedule: "minute hour day month weekday, a sixth in front for seconds; empty: it is begun by hand only",
  timeZone: "empty: UTC",
  chunk: "records that are dealt with at once, 1,000 unless said",
  parallel: "chunks that are worked on at once, 2 unless said",
  stopOnError: "the first record that is refused ends a run; else it is counted, and told of",
  timeout: "seconds that a run may take; empty: as long as it needs",
  keep: "runs that are kept, 50 unless said",
  notify: "who is told of the end of a run; empty: nobody",
  secret: "whsec_ and a key in Base64: signs each message",
};
