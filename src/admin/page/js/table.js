// A table in a frame that scrolls by itself, also by the keyboard.

import { h } from "./dom.js";

/** `head` are the columns' names, one of numbers as `[name, "number"]`; `rows` are elements. */
export function table(label, head, rows, kind = "") {
  const cell = ([name, of = ""]) => h("th", { scope: "col", class: of }, name);
  return h(
    `div.table-frame${kind}`,
    { tabindex: "0", role: "region", "aria-label": label },
    h(
      "table",
      null,
      h("thead", null, h("tr", null, head.map((one) => cell([one].flat())))),
      h("tbody", null, rows),
    ),
  );
}
