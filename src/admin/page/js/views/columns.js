// Which fields are columns of a collection's table: chosen by the reader, remembered in this browser.
import { h, newId, replace } from "../dom.js";
import { icon } from "../icons.js";

const key = (collection) => `millpond-columns-${collection.id}`;
/** Columns that are shown before anybody chose. */
const AT_FIRST = 10;

const candidates = (collection) => collection.fields.filter((field) => !["password", "secret"].includes(field.type));

function hiddenOnes(collection) {
  try {
    const kept = JSON.parse(localStorage.getItem(key(collection)));
    if (Array.isArray(kept)) return new Set(kept);
  } catch {
    // As if nobody had chosen.
  }
  return new Set(
    candidates(collection)
      .slice(AT_FIRST)
      .map((field) => field.id),
  );
}

export function shownColumns(collection) {
  const hidden = hiddenOnes(collection);
  return candidates(collection).filter((field) => !hidden.has(field.id));
}

/** The button with its list of boxes; `changed` is called after each choice. */
export function columnsButton(collection, changed) {
  const id = newId("columns");
  const list = h("div.popover.card", { id, popover: "auto", role: "group", "aria-label": "Columns" });
  const button = h(
    "button.button.square",
    { type: "button", "aria-label": "Columns", title: "Columns", popovertarget: id },
    icon("columns"),
  );
  const show = () => {
    const hidden = hiddenOnes(collection);
    const box = (field) => {
      const input = h("input", { type: "checkbox", checked: !hidden.has(field.id) });
      input.addEventListener("change", () => {
        if (input.checked) hidden.delete(field.id);
        else hidden.add(field.id);
        localStorage.setItem(key(collection), JSON.stringify([...hidden]));
        changed();
      });
      return h("label.check", null, input, icon(field.type), field.name);
    };
    replace(list, candidates(collection).map(box));
  };
  list.addEventListener("beforetoggle", (event) => {
    if (event.newState !== "open") return;
    show();
    const place = button.getBoundingClientRect();
    list.style.setProperty("--top", `${Math.round(place.bottom + 6)}px`);
    list.style.setProperty("--right", `${Math.round(document.documentElement.clientWidth - place.right)}px`);
  });
  return h("span", null, button, list);
}
