// A record's values in a table's cells: short, and told apart by their types.
import { h } from "./dom.js";
import { date, decimal, plain } from "./format.js";
import { to } from "./router.js";

const LIST_SHOWN = 3;

const nothing = () => h("span.null", null, "null");
const clip = (text) => h("span.clip", { title: text.length > 40 ? text : null }, text);

/** A relation's value: embedded as an object with its label, or an id alone. */
function related(field, value) {
  const id = typeof value === "object" ? value.id : value;
  const label =
    typeof value === "object" ? Object.entries(value).find(([name, one]) => name !== "id" && one != null)?.[1] : null;
  return h(
    "a.chip.accent",
    { href: to("collections", field.collection, id), title: id },
    h("span.ellipsis", null, label ?? id),
  );
}

function several(values, one) {
  const shown = values.slice(0, LIST_SHOWN).map(one);
  const more = values.length - shown.length;
  return h("span.row.tight.one-line", null, shown, more > 0 && h("span.quiet.small", null, `+${more}`));
}

export function cell(field, value) {
  if (value === null || value === undefined) return nothing();
  switch (field.type) {
    case "relation":
      return Array.isArray(value)
        ? value.length
          ? several(value, (one) => related(field, one))
          : nothing()
        : related(field, value);
    case "select":
      return several([value].flat(), (one) => h("span.chip", null, one));
    case "bool":
      return h("span.chip", { class: value ? "good" : "" }, value ? "yes" : "no");
    case "date":
    case "autodate":
      return h("time.number", { datetime: value.replace(" ", "T") }, date(value));
    case "number":
      return h("span.number", null, Number.isInteger(value) ? String(value) : decimal(value).replaceAll(",", ""));
    case "geoPoint":
      return h("span.number", null, `${value.lon.toFixed(4)}, ${value.lat.toFixed(4)}`);
    case "json":
      return h("code.clip", null, JSON.stringify(value));
    case "editor":
      return clip(plain(value));
    case "email":
      return clip(value);
    case "url":
      return h(
        "a.clip",
        { href: /^https?:/i.test(value) ? value : null, rel: "noreferrer noopener", target: "_blank" },
        value,
      );
    default:
      return value === "" ? h("span.null", null, "empty text") : clip(String(value));
  }
}

export const isNumeric = (field) => field.type === "number";
