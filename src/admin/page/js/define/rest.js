// How records are shown where a request doesn't say (`output`), how long tokens are good, and the whole as JSON.
import { h, newId } from "../dom.js";

export function outputTab(draft, { changed }) {
  const output = () => (draft.output ??= {});
  const tidy = () => {
    if (draft.output && Object.keys(draft.output).length === 0) delete draft.output;
    changed();
  };
  const id = newId("fields");
  const fields = h("input.input.code", {
    id,
    value: (draft.output?.fields ?? []).join(", "),
    placeholder: "all of them",
    autocomplete: "off",
    spellcheck: "false",
    dataset: { path: "output.fields" },
  });
  fields.addEventListener("input", () => {
    const names = fields.value
      .split(",")
      .map((one) => one.trim())
      .filter(Boolean);
    if (names.length) output().fields = names;
    else delete output().fields;
    tidy();
  });
  const relations = draft.fields.filter((field) => field.type === "relation" && field.name);
  const embed = relations.map((field) => {
    const inner = newId("embed");
    const input = h("input.input.code", {
      id: inner,
      value: (draft.output?.embed?.[field.name] ?? []).join(", "),
      placeholder: "the id alone",
      autocomplete: "off",
      spellcheck: "false",
      dataset: { path: `output.embed.${field.name}` },
    });
    input.addEventListener("input", () => {
      const names = input.value
        .split(",")
        .map((one) => one.trim())
        .filter(Boolean);
      const parts = (output().embed ??= {});
      if (names.length) parts[field.name] = names;
      else delete parts[field.name];
      if (Object.keys(parts).length === 0) delete draft.output.embed;
      tidy();
    });
    return h(
      "div.field",
      null,
      h("label", { for: inner }, `Of ${field.name}, in its place`),
      input,
      h("p.hint", null, `fields of ${field.collection}, by commas`),
      h("p.fault", { hidden: true, dataset: { faultOf: `output.embed.${field.name}` } }),
    );
  });
  return h(
    "div.stack",
    null,
    h("p.quiet.small", null, "What is shown of a record where a request names nothing else."),
    h(
      "section.card.padded.stack",
      null,
      h(
        "div.field",
        null,
        h("label", { for: id }, "Fields, by commas"),
        fields,
        h("p.fault", { hidden: true, dataset: { faultOf: "output.fields" } }),
      ),
      embed,
    ),
    draft.type === "auth" && tokens(draft, changed),
  );
}

function tokens(draft, changed) {
  const id = newId("token");
  const input = h("input.input", {
    id,
    inputmode: "numeric",
    value: draft.authToken?.duration ?? "",
    placeholder: "604800",
    dataset: { path: "authToken.duration" },
  });
  input.addEventListener("input", () => {
    const seconds = Number(input.value);
    if (input.value.trim() === "") delete draft.authToken;
    else draft.authToken = { duration: Number.isNaN(seconds) ? input.value : seconds };
    changed();
  });
  return h(
    "section.card.padded.stack",
    null,
    h("h3", null, "Tokens"),
    h(
      "div.field",
      null,
      h("label", { for: id }, "Good for, seconds"),
      input,
      h("p.fault", { hidden: true, dataset: { faultOf: "authToken.duration" } }),
    ),
  );
}

/** The whole definition as JSON; `take` gets what was typed, once it is JSON. */
export function jsonTab(draft, { take, body }) {
  const fault = h("p.fault", { hidden: true, id: newId("fault") });
  const area = h("textarea.input.code.json-area", {
    "aria-label": "The definition as JSON",
    "aria-describedby": fault.id,
    spellcheck: "false",
    rows: 30,
  });
  area.value = JSON.stringify(body(draft), null, 2);
  area.addEventListener("input", () => {
    try {
      const given = JSON.parse(area.value);
      if (given === null || typeof given !== "object" || !Array.isArray(given.fields ?? []))
        throw new Error("a definition is an object with fields");
      fault.hidden = true;
      take(given);
    } catch (error) {
      fault.hidden = false;
      fault.textContent = error.message;
    }
  });
  return h("div.stack.tight", null, h("p.quiet.small", null, "As the API takes and shows it."), area, fault);
}
