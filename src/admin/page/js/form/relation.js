// The picker of related records: what is chosen as chips, and a search box with a list of what fits (the combobox pattern
// of the ARIA guide). Invariant: it holds ids; labels are for show and may be missing.
import { list, literal } from "../api.js";
import { debounced, h, newId, replace } from "../dom.js";
import { icon } from "../icons.js";
import { collection, labelField } from "../store.js";

const SHOWN = 20;
const WAIT_MS = 180;
/** Text fields of the target that are searched. */
const SEARCHED = 3;

function searchable(target) {
  const label = labelField(target);
  const texts = target.fields.filter((field) => !field.hidden && ["text", "email"].includes(field.type));
  const names = [label, ...texts].filter(Boolean).map((field) => field.name);
  return [...new Set(names)].slice(0, SEARCHED);
}

/** Finds records of a collection by words; each as `{id, label}`. */
async function find(name, words, signal) {
  const target = await collection(name);
  const names = searchable(target);
  const conditions = ["id", ...names].map((one) => `${one} ~ ${literal(words)}`);
  const fields = ["id", ...names].join(",");
  const wanted = { filter: words ? conditions.join(" || ") : null, perPage: SHOWN, skipTotal: 1, fields, embed: "" };
  const { items } = await list(name, wanted, signal);
  return items.map((item) => ({
    id: item.id,
    label: item[names[0]] ?? "",
    more: names
      .slice(1)
      .map((one) => item[one])
      .filter(Boolean)
      .join(" · "),
  }));
}

async function labelsOf(name, ids) {
  const label = labelField(await collection(name));
  if (!label || !ids.length) return new Map();
  const filter = `id in [${ids.map(literal).join(", ")}]`;
  const { items } = await list(name, { filter, perPage: 1000, skipTotal: 1, fields: `id,${label.name}` });
  return new Map(items.map((item) => [item.id, item[label.name]]));
}

export function relationInput(field, value, { id, describedBy, listen, required, labelledBy }) {
  const many = (field.maxSelect ?? 1) > 1;
  let chosen = value == null ? [] : [value].flat();
  const labels = new Map();
  const listId = newId("list");
  const chips = h("ul.chosen", { "aria-label": "Chosen" });
  const input = h("input", {
    id,
    role: "combobox",
    "aria-expanded": "false",
    "aria-controls": listId,
    "aria-autocomplete": "list",
    "aria-describedby": describedBy,
    "aria-required": required ? "true" : null,
    autocomplete: "off",
    spellcheck: "false",
    placeholder: `Search ${field.collection}`,
  });
  const options = h("ul.options-list", { id: listId, role: "listbox", "aria-labelledby": labelledBy, hidden: true });
  const status = h("span.heard", { role: "status" });
  const element = h("div.picker", null, h("div.input.picker-box", null, chips, input), options, status);
  let found = [];
  let at = -1;
  let asking = null;

  const show = () => {
    replace(
      chips,
      chosen.map((one) => {
        const label = labels.get(one);
        const remove = h(
          "button",
          { type: "button", "aria-label": `Remove ${label || one}`, on: { click: () => drop(one) } },
          icon("close"),
        );
        return h("li.chip.accent", { title: one }, h("span.ellipsis", null, label || one), remove);
      }),
    );
    chips.hidden = chosen.length === 0;
  };
  const drop = (one) => {
    chosen = chosen.filter((other) => other !== one);
    show();
    listen();
    input.focus();
  };
  const close = () => {
    options.hidden = true;
    input.setAttribute("aria-expanded", "false");
    input.removeAttribute("aria-activedescendant");
    at = -1;
  };
  const point = (next) => {
    at = next;
    [...options.children].forEach((option, index) => option.setAttribute("aria-selected", String(index === at)));
    const active = options.children[at];
    if (active?.id) {
      input.setAttribute("aria-activedescendant", active.id);
      active.scrollIntoView({ block: "nearest" });
    } else input.removeAttribute("aria-activedescendant");
  };
  const take = (one) => {
    labels.set(one.id, one.label);
    chosen = many ? [...chosen.filter((other) => other !== one.id), one.id] : [one.id];
    input.value = "";
    show();
    close();
    listen();
  };
  const search = async () => {
    asking?.abort();
    asking = new AbortController();
    try {
      found = (await find(field.collection, input.value.trim(), asking.signal)).filter(
        (one) => !chosen.includes(one.id),
      );
    } catch (error) {
      if (error.name === "AbortError") return;
      found = [];
    }
    if (document.activeElement !== input) return;
    const option = (one) =>
      h(
        "li",
        {
          id: newId("option"),
          role: "option",
          "aria-selected": "false",
          on: { mousedown: (event) => (event.preventDefault(), take(one)) },
        },
        h("span.ellipsis", null, one.label || one.id),
        h("span.quiet.small.ellipsis", null, one.label ? [one.more, one.id].filter(Boolean).join(" · ") : one.more),
      );
    replace(
      options,
      found.length
        ? found.map(option)
        : h("li.none", { role: "option", "aria-disabled": "true", "aria-selected": "false" }, "Nothing found"),
    );
    options.hidden = false;
    input.setAttribute("aria-expanded", "true");
    status.textContent = `${found.length} found`;
    at = -1;
    input.removeAttribute("aria-activedescendant");
  };
  const searchSoon = debounced(search, WAIT_MS);
  const keys = {
    ArrowDown: () => (options.hidden ? search() : point(Math.min(at + 1, found.length - 1))),
    ArrowUp: () => point(Math.max(at - 1, 0)),
    Enter: () => found[at] && take(found[at]),
    Escape: close,
  };
  input.addEventListener("keydown", (event) => {
    if (event.key === "Backspace" && input.value === "" && chosen.length) drop(chosen.at(-1));
    // Escape closes the list first, and only then the dialog that it stands in.
    const key = options.hidden && event.key === "Escape" ? null : keys[event.key];
    if (!key) return;
    event.preventDefault();
    event.stopPropagation();
    key();
  });
  input.addEventListener("input", searchSoon);
  input.addEventListener("click", () => options.hidden && search());
  input.addEventListener("blur", () => {
    searchSoon.stop();
    close();
  });
  show();
  labelsOf(field.collection, chosen)
    .then((known) => {
      for (const [one, label] of known) labels.set(one, label);
      show();
    })
    .catch(() => {}); // The ids stand there.
  const read = () => (many ? (chosen.length ? chosen : undefined) : chosen[0]);
  return { element, read, focus: () => input.focus() };
}
