// A definition while it is being edited: plain data in the server's own shape, with what is the server's alone left out;
// and what the server thinks of it, by the import that only pretends (`dryRun`).
import { call } from "../api.js";
import { debounced } from "../dom.js";

const CHECK_AFTER_MS = 350;
/** What the server writes into a definition and takes from nobody. */
const TOLD = ["created", "updated", "system"];
const TOLD_OF_INDEX = ["state", "progress", "error", "duplicates"];

export const RULES = ["listRule", "viewRule", "createRule", "updateRule", "deleteRule"];

export function fresh() {
  return {
    name: "",
    type: "base",
    fields: [
      { name: "name", type: "text", required: true, max: 200 },
      { name: "created", type: "autodate", onCreate: true },
    ],
    indexes: [],
    ...Object.fromEntries(RULES.map((rule) => [rule, null])),
  };
}

/** A stored definition, to be edited. */
export function of(definition) {
  const copy = structuredClone(definition);
  for (const key of TOLD) delete copy[key];
  copy.fields = copy.fields.filter((field) => !field.system);
  for (const index of copy.indexes)
    for (const key of Object.keys(index)) if (TOLD_OF_INDEX.includes(key)) delete index[key];
  return copy;
}

/** Without the keys that say nothing, so that what the server shows and what is typed are the same. */
export function body(draft) {
  const clean = structuredClone(draft);
  for (const field of clean.fields)
    for (const [key, value] of Object.entries(field)) if (value === undefined || value === "") delete field[key];
  if (clean.checks?.length === 0) delete clean.checks;
  return clean;
}

/**
 * Asks the server about `read()` after each call of the function that is given back; `told(verdict)` gets
 * `{faults, message, changes}`: faults by their path, or what would be changed.
 */
export function checker(read, told, signal) {
  let asking = null;
  const ask = async () => {
    asking?.abort();
    asking = new AbortController();
    try {
      const answer = await call("PUT", "/api/collections/import", {
        body: { collections: [body(read())], dryRun: true },
        signal: asking.signal,
      });
      told({ faults: {}, message: "", changes: answer });
    } catch (error) {
      if (error.name === "AbortError") return;
      told({ faults: ownFaults(error.faults), message: error.message, changes: null, status: error.status });
    }
  };
  signal.addEventListener("abort", () => {
    asking?.abort();
    soon.stop();
  });
  const soon = debounced(ask, CHECK_AFTER_MS);
  return soon;
}

/** Paths as they are in the one definition. */
export function ownFaults(faults) {
  return Object.fromEntries(
    Object.entries(faults ?? {}).map(([path, fault]) => [
      path.replace(/^collections\.0\.?/, "") || "definition",
      fault,
    ]),
  );
}

/** What an import would change, in words. */
export function changesInWords({ created, changed }) {
  if (created.length) return "It is valid, and new.";
  if (!changed.length) return "Nothing is changed.";
  const [one] = changed;
  const parts = [];
  if (one.newName) parts.push(`renamed to ${one.newName}`);
  if (one.fields.length) parts.push(`fields ${one.fields.join(", ")}`);
  if (one.fieldsDeleted.length) parts.push(`without ${one.fieldsDeleted.join(", ")}, whose values go`);
  if (one.indexes.length) parts.push(`indexes ${one.indexes.join(", ")}`);
  if (one.indexesDeleted.length) parts.push(`without the indexes ${one.indexesDeleted.join(", ")}`);
  if (one.rules.length) parts.push(one.rules.join(", "));
  if (one.checks) parts.push("checks");
  if (one.output) parts.push("output");
  const records = { unseen: "", checked: " Every record is checked first.", converted: " Every record is converted." }[
    one.records
  ];
  return `Changes: ${parts.join("; ") || "settings"}.${records}`;
}
