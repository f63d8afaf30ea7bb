// The definitions, read once and shared: the side, pickers and forms look here. Whoever changes one calls `load`.
import * as api from "./api.js";

let known = null;
let asked = null;
const listeners = new Set();

export const onCollections = (listener) => listeners.add(listener);

/** Reads the definitions anew. */
export function load() {
  asked = api.collections().then((found) => {
    known = found;
    for (const listener of listeners) listener(found);
    return found;
  });
  return asked;
}

/** The definitions as last read. */
export const collections = () => (known ? Promise.resolve(known) : (asked ?? load()));

export const forget = () => {
  known = null;
  asked = null;
};

export async function collection(name) {
  const of = (all) => all.find((one) => one.name === name || one.id === name);
  const found = of(await collections()) ?? of(await load());
  if (!found) throw new api.Refusal(404, { message: `There is no collection ${name}.` });
  return found;
}

export const isOwn = (definition) => definition.name.startsWith("_");

/** The field by which a record of this collection is best known, if it has one. */
export function labelField(definition) {
  const shown = definition.fields.filter((field) => !field.hidden && ["text", "email", "url"].includes(field.type));
  const named = ["name", "title", "label", "email", "subject"].map((name) =>
    shown.find((field) => field.name === name),
  );
  return named.find(Boolean) ?? shown[0] ?? null;
}

/** `embed` by which each relation shows its target's label beside its id. */
export async function labels(definition) {
  const all = await collections();
  const parts = definition.fields
    .filter((field) => field.type === "relation")
    .map((field) => {
      const target = all.find((one) => one.name === field.collection);
      const label = target && labelField(target);
      return `${field.name}(id${label ? `,${label.name}` : ""})`;
    });
  return parts.join(",");
}
