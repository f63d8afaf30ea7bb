// The indexes of a definition, with how far the building of each is: it goes on while writes do.
import { call, collectionPath } from "../api.js";
import { h, newId, replace } from "../dom.js";
import { count } from "../format.js";
import { icon } from "../icons.js";

const POLL_MS = 700;
const FAULTS_SHOWN = 5;

/** What the server says of an index that is there: being built, failed, or ready. */
function standing(index) {
  if (index.state === "building") {
    const { rows = 0, of = 0 } = index.progress ?? {};
    const part = of ? rows / of : 0;
    const bar = h("span");
    bar.style.setProperty("--part", `${(100 * part).toFixed(1)}%`);
    return h(
      "div.stack.tight",
      null,
      h("span.small.quiet.number", null, `being built: ${count(rows)} of ${count(of)}; queries don't use it yet`),
      h(
        "div.progress",
        {
          role: "progressbar",
          "aria-label": `Building ${index.name}`,
          "aria-valuemin": 0,
          "aria-valuemax": 100,
          "aria-valuenow": Math.round(100 * part),
        },
        bar,
      ),
    );
  }
  if (index.state === "failed") {
    const doubles = (index.duplicates ?? [])
      .slice(0, FAULTS_SHOWN)
      .map(({ values, ids }) => `${values.map((value) => JSON.stringify(value)).join(", ")} in ${ids.join(" and ")}`);
    const long = (index.tooLong ?? []).slice(0, FAULTS_SHOWN).map((id) => `too long in ${id}`);
    return h(
      "div.notice.bad",
      null,
      icon("warning"),
      h(
        "span",
        null,
        `It can't be built: ${[...doubles, ...long].join("; ")}. Mend the records, remove the index, save, and add it again.`,
      ),
    );
  }
  return h("span.chip.good", null, icon("check"), "ready");
}

export function indexesTab(draft, { stored, changed, signal }) {
  const listElement = h("ol.defs");
  const live = new Map();

  function fieldPicker(index, path) {
    const id = newId("of");
    const place = h("ul.row.tight", { "aria-label": "Fields of the index" });
    const add = h("select.input.little", {
      id,
      "aria-label": "Add a field to the index",
      dataset: { path: `${path}.fields` },
    });
    const show = () => {
      replace(
        place,
        index.fields.map((name, at) => {
          const down = name.startsWith("-");
          const bare = name.replace(/^-/, "");
          const turn = () => {
            index.fields[at] = down ? bare : `-${bare}`;
            show();
            changed();
          };
          const drop = () => {
            index.fields.splice(at, 1);
            show();
            changed();
          };
          return h(
            "li.chip.accent",
            null,
            h(
              "button.as-link",
              {
                type: "button",
                "aria-label": `${bare}, ${down ? "descending" : "ascending"}: turn`,
                on: { click: turn },
              },
              bare,
              icon(down ? "down" : "up"),
            ),
            h(
              "button.chip-close",
              { type: "button", "aria-label": `Remove ${bare}`, on: { click: drop } },
              icon("close"),
            ),
          );
        }),
      );
      const taken = index.fields.map((name) => name.replace(/^-/, ""));
      const free = draft.fields.map((field) => field.name).filter((name) => name && !taken.includes(name));
      replace(
        add,
        h("option", { value: "" }, index.fields.length ? "and…" : "a field…"),
        free.map((name) => h("option", { value: name }, name)),
      );
      add.disabled = free.length === 0;
    };
    add.addEventListener("change", () => {
      index.fields.push(add.value);
      if (!index.name) index.name = `by_${add.value}`;
      show();
      changed();
      add.focus();
    });
    show();
    return h("div.row.tight", null, place, add);
  }

  function item(index, at) {
    const path = `indexes.${at}`;
    const nameId = newId("name");
    const name = h("input.input", {
      id: nameId,
      value: index.name ?? "",
      autocomplete: "off",
      spellcheck: "false",
      dataset: { path: `${path}.name` },
    });
    name.addEventListener("input", () => {
      index.name = name.value;
      changed();
    });
    const unique = h("input.switch", { type: "checkbox", role: "switch", checked: Boolean(index.unique) });
    unique.addEventListener("change", () => {
      index.unique = unique.checked;
      // Another kind of index is another index.
      delete index.id;
      changed();
    });
    const remove = () => {
      draft.indexes.splice(at, 1);
      show();
      changed();
    };
    const state = h("div");
    if (index.id) live.set(index.id, state);
    return h(
      "li.def",
      null,
      h(
        "div.def-body.first",
        null,
        h(
          "div.row.ends",
          null,
          h("div.field.grow", null, h("label", { for: nameId }, "Name"), name),
          h("label.check", null, unique, "Unique"),
          h(
            "button.button.plain.little.square",
            { type: "button", "aria-label": `Remove the index ${index.name ?? ""}`, on: { click: remove } },
            icon("trash"),
          ),
        ),
        fieldPicker(index, path),
        h("p.fault", { hidden: true, dataset: { faultOf: `${path}.fields` } }),
        h("p.fault", { hidden: true, dataset: { faultOf: `${path}.name` } }),
        h("p.fault", { hidden: true, dataset: { faultOf: path } }),
        state,
      ),
    );
  }

  function showStates(definition) {
    for (const index of definition.indexes) {
      const place = live.get(index.id);
      if (place) replace(place, standing(index));
    }
  }

  function show() {
    live.clear();
    replace(listElement, draft.indexes.map(item));
    if (stored()) showStates(stored());
  }

  /** Follows what is being built, while this is shown. */
  async function follow() {
    while (!signal.aborted && stored()) {
      const { name, indexes } = stored();
      if (listElement.isConnected && indexes.some((index) => index.state === "building")) {
        const now = await call("GET", collectionPath(name)).catch(() => null);
        if (now && !signal.aborted) {
          stored(now);
          showStates(now);
        }
      }
      await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    }
  }

  const add = () => {
    draft.indexes.push({ name: "", fields: [] });
    show();
    listElement.lastElementChild.querySelector("select").focus();
  };
  show();
  follow();
  return h(
    "div.stack",
    null,
    h(
      "p.quiet.small",
      null,
      "A filter or an order over indexed fields reads only what it shows. Relations have indexes of their own.",
    ),
    listElement,
    h("div", null, h("button.button", { type: "button", on: { click: add } }, icon("plus"), "Add an index")),
  );
}
