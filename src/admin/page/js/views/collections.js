// All collections at a glance.
import { query, call, recordsPath } from "../api.js";
import { h } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";
import { to } from "../router.js";
import { empty, pageHead } from "../shell.js";
import { isOwn, load } from "../store.js";
import { table } from "../table.js";

const LOCKED = "superusers only";

/** Who may list it, in words. */
const openness = (rule) => (rule === null ? LOCKED : rule === "" ? "anyone" : "by rule");

function total(collection, signal) {
  const place = h("span.number", null, "…");
  call("GET", recordsPath(collection.name) + query({ perPage: 1, fields: "id" }), { signal })
    .then(({ totalItems }) => (place.textContent = count(totalItems)))
    .catch(() => (place.textContent = "–"));
  return place;
}

function row(collection, signal) {
  const open = openness(collection.listRule);
  const building = collection.indexes.find((index) => index.state === "building");
  return h(
    "tr",
    null,
    h(
      "th",
      { scope: "row" },
      h(
        "a.strong",
        { href: to("collections", collection.name) },
        icon(collection.type === "auth" ? "users" : "table"),
        collection.name,
      ),
    ),
    h("td", null, collection.type),
    h("td.number", null, total(collection, signal)),
    h("td.number", null, collection.fields.length),
    h("td.number", null, collection.indexes.length, building && h("span.chip.warn", null, "building")),
    h(
      "td",
      null,
      h(
        "span.chip",
        { class: open === LOCKED ? "" : open === "anyone" ? "warn" : "accent" },
        icon(open === LOCKED ? "lock" : "globe"),
        open,
      ),
    ),
    h(
      "td",
      null,
      !collection.system &&
        h("a", { href: to("define", collection.name), "aria-label": `Definition of ${collection.name}` }, "Definition"),
    ),
  );
}

const COLUMNS = [
  "Name",
  "Type",
  ["Records", "number"],
  ["Fields", "number"],
  ["Indexes", "number"],
  "Listed by",
  "Definition",
];

const tableOf = (label, collections, signal) =>
  table(
    label,
    COLUMNS,
    collections.map((one) => row(one, signal)),
  );

export async function collectionsView(signal) {
  const all = await load();
  const own = all.filter(isOwn);
  const data = all.filter((one) => !isOwn(one));
  const create = h("a.button.primary", { href: "#new" }, icon("plus"), "New collection");
  return h(
    "div.page",
    null,
    pageHead({ title: "Collections", sub: "Typed records, with rules about who may see and change them." }, create),
    data.length
      ? tableOf("Collections", data, signal)
      : h(
          "div.card",
          null,
          empty(
            "table",
            "No collections yet",
            "A collection has fields with types, indexes, and rules. Define one, and its API is there at once.",
            create.cloneNode(true),
          ),
        ),
    h("h2", null, "The server's own"),
    tableOf("The server's own collections", own, signal),
  );
}
