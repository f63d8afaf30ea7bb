// A collection's records as a table: filter, order, search, pages by cursor, columns, choosing many; a record opens in a
// drawer. What is looked at stands in the address, so that it can be shared and gone back to.
import * as api from "../api.js";
import { cell, isNumeric } from "../cells.js";
import { debounced, h, newId, replace } from "../dom.js";
import { confirm } from "../dialog.js";
import { openRecord } from "../form/record.js";
import { count, many } from "../format.js";
import { icon } from "../icons.js";
import { parameters, setParameters, setPlace, to } from "../router.js";
import { empty, pageHead, told } from "../shell.js";
import { collection as find, isOwn, labels } from "../store.js";
import { tell, toast } from "../toast.js";
import { columnsButton, shownColumns } from "./columns.js";
import { openExport, openImport } from "./transfer.js";

const PER_PAGE = 50;
const TYPING_MS = 350;
/** Requests of one batch: a piece of a bulk delete. */
const PIECE = 200;

export async function recordsView(name, id, signal) {
  const collection = await find(name);
  const asked = parameters();
  const look = { filter: asked.get("filter") ?? "", sort: asked.get("sort") ?? "", search: asked.get("search") ?? "" };
  const embed = await labels(collection);
  /** The cursors of the pages before this one; null is the first page's. */
  let trail = [null];
  let page = { items: [], totalItems: 0, nextCursor: null };
  const chosen = new Set();
  let asking = null;

  const status = h("span.quiet.number", { role: "status" });
  const filterFault = h("p.fault", { id: newId("fault"), role: "alert", hidden: true });
  const filter = h("input.input.code", {
    type: "search",
    value: look.filter,
    placeholder: "Filter, such as  name ~ 'ada' && created > @todayStart",
    "aria-label": "Filter",
    "aria-describedby": filterFault.id,
    spellcheck: "false",
    autocomplete: "off",
  });
  const frame = h("div.table-frame.records", {
    tabindex: "0",
    role: "region",
    "aria-label": `Records of ${collection.name}`,
  });
  const bulk = h("div.bulk", { role: "region", "aria-label": "Chosen records", hidden: true });
  const pager = h("nav.row", { "aria-label": "Pages" });

  async function load() {
    asking?.abort();
    asking = new AbortController();
    frame.classList.add("stale");
    try {
      const wanted = {
        filter: look.filter || null,
        sort: look.sort || null,
        search: look.search || null,
        perPage: PER_PAGE,
        cursor: trail.at(-1),
        fields: "*",
        embed,
      };
      page = await api.list(collection.name, wanted, asking.signal);
      showFault(null);
      showTable();
    } catch (error) {
      if (error.name === "AbortError") return;
      if (["bad_filter", "bad_search", "bad_sort"].includes(error.code)) showFault(error);
      else throw error;
    } finally {
      frame.classList.remove("stale");
    }
  }

  const reload = () => load().catch(tell);
  const anew = () => {
    trail = [null];
    chosen.clear();
    setParameters(look);
    reload();
  };

  function showFault(error) {
    filterFault.hidden = !error;
    filter.toggleAttribute("aria-invalid", Boolean(error));
    if (error) filter.setAttribute("aria-invalid", "true");
    if (!error) return;
    const [, column, message] = error.message.match(/column (\d+): (.*)$/s) ?? [];
    const jump = () => {
      filter.focus();
      filter.setSelectionRange(column - 1, column);
    };
    replace(
      filterFault,
      icon("warning"),
      column
        ? [h("button.as-link", { type: "button", on: { click: jump } }, `Column ${column}`), `: ${message}`]
        : error.message,
    );
  }

  function sorter(field) {
    const now = look.sort === field.name ? "ascending" : look.sort === `-${field.name}` ? "descending" : null;
    const next = now === "ascending" ? `-${field.name}` : now === "descending" ? "" : field.name;
    const sort = () => {
      look.sort = next;
      anew();
    };
    const sortable = !["json", "geoPoint", "password", "secret"].includes(field.type) && !(field.maxSelect > 1);
    const inner = [
      icon(field.type === "text" && field.name === "id" ? "key" : field.type),
      field.name,
      now && icon(now === "ascending" ? "up" : "down"),
    ];
    return h(
      "th",
      { scope: "col", class: isNumeric(field) ? "number" : "", "aria-sort": now },
      sortable ? h("button.sorter", { type: "button", on: { click: sort } }, inner) : h("span.sorter", null, inner),
    );
  }

  function row(record, columns) {
    const pick = h("input.tick", {
      type: "checkbox",
      "aria-label": `Choose ${record.id}`,
      checked: chosen.has(record.id),
    });
    const line = h("tr.opens", { class: chosen.has(record.id) ? "chosen" : "" });
    pick.addEventListener("change", () => {
      if (pick.checked) chosen.add(record.id);
      else chosen.delete(record.id);
      line.classList.toggle("chosen", pick.checked);
      showBulk();
    });
    line.addEventListener("click", (event) => {
      if (event.target.closest("a, input, button") || getSelection().toString()) return;
      edit(record.id);
    });
    const link = h(
      "a.mono",
      {
        href: to("collections", collection.name, record.id),
        on: { click: (event) => plainClick(event) && edit(record.id) },
      },
      record.id,
    );
    line.append(
      h("td.tick", null, pick),
      h("th", { scope: "row" }, link),
      ...columns.map((field) => h("td", { class: isNumeric(field) ? "number" : "" }, cell(field, record[field.name]))),
    );
    return line;
  }

  function showTable() {
    const columns = shownColumns(collection);
    for (const one of chosen) if (!page.items.some((record) => record.id === one)) chosen.delete(one);
    const all = h("input.tick", { type: "checkbox", "aria-label": "Choose all of this page" });
    all.addEventListener("change", () => {
      for (const record of page.items) all.checked ? chosen.add(record.id) : chosen.delete(record.id);
      showTable();
    });
    all.checked = page.items.length > 0 && chosen.size === page.items.length;
    all.indeterminate = chosen.size > 0 && !all.checked;
    status.textContent = page.totalItems < 0 ? "" : many(page.totalItems, "record");
    if (page.items.length === 0) {
      const isFiltered = look.filter || look.search;
      replace(
        frame,
        isFiltered
          ? empty(
              "filter",
              "Nothing meets this",
              "No record meets the filter.",
              h("button.button", { type: "button", on: { click: clear } }, "Clear"),
            )
          : empty(
              "table",
              "No records yet",
              "Make the first one here, import a file, or send one to the API.",
              newButton("button.button"),
            ),
      );
    } else {
      const top = frame.scrollLeft;
      replace(
        frame,
        h(
          "table",
          null,
          h("caption.heard", null, `Records of ${collection.name}`),
          h(
            "thead",
            null,
            h(
              "tr",
              null,
              h("th.tick", { scope: "col" }, all),
              sorter({ name: "id", type: "text" }),
              columns.map(sorter),
            ),
          ),
          h(
            "tbody",
            null,
            page.items.map((record) => row(record, columns)),
          ),
        ),
      );
      frame.scrollLeft = top;
    }
    showPager();
    showBulk();
  }

  function showPager() {
    const at = trail.length - 1;
    const turn = (next) => () => {
      trail = next;
      chosen.clear();
      load().then(() => frame.scrollTo(0, 0), tell);
    };
    const from = at * PER_PAGE + 1;
    pager.hidden = at === 0 && !page.nextCursor;
    replace(
      pager,
      h(
        "span.quiet.number.small",
        null,
        page.items.length ? `${count(from)} to ${count(from + page.items.length - 1)}` : "",
      ),
      h(
        "button.button.little",
        { type: "button", disabled: at === 0, on: { click: turn(trail.slice(0, -1)) } },
        icon("left"),
        "Back",
      ),
      h(
        "button.button.little",
        { type: "button", disabled: !page.nextCursor, on: { click: turn([...trail, page.nextCursor]) } },
        "Next",
        icon("right"),
      ),
    );
  }

  function showBulk() {
    bulk.hidden = chosen.size === 0;
    replace(
      bulk,
      h("span", { role: "status" }, `${count(chosen.size)} chosen`),
      h("button.button.little", { type: "button", on: { click: () => (chosen.clear(), showTable()) } }, "Choose none"),
      h("button.button.little.danger", { type: "button", on: { click: told(removeChosen) } }, icon("trash"), "Delete"),
    );
  }

  async function removeChosen() {
    const ids = [...chosen];
    const sure = await confirm({
      title: `Delete ${many(ids.length, "record")}?`,
      text: "They are deleted in one transaction for each 200: all of them or none.",
      yes: "Delete",
    });
    if (!sure) return;
    for (let from = 0; from < ids.length; from += PIECE) {
      const piece = ids.slice(from, from + PIECE);
      const requests = piece.map((one) => ({ method: "DELETE", url: api.recordPath(collection.name, one) }));
      await api.call("POST", "/api/batch", { body: { requests } });
      for (const one of piece) chosen.delete(one);
    }
    toast(`${many(ids.length, "record")} deleted`);
    await load();
  }

  async function edit(which) {
    setPlace(to("collections", collection.name, which) + query(), true);
    let changed;
    try {
      changed = await openRecord(collection, which);
    } finally {
      if (!signal.aborted) setPlace(to("collections", collection.name) + query(), false);
    }
    if (changed) await load();
  }

  const query = () => {
    const text = new URLSearchParams(Object.entries(look).filter(([, value]) => value)).toString();
    return text ? `?${text}` : "";
  };
  const clear = () => {
    look.filter = look.search = filter.value = "";
    anew();
  };
  const create = told(async () => {
    if (await openRecord(collection, null)) await load();
  });
  const newButton = (tag) => h(tag, { type: "button", on: { click: create } }, icon("plus"), "New record");

  const typed = debounced(() => {
    look.filter = filter.value.trim();
    anew();
  }, TYPING_MS);
  filter.addEventListener("input", typed);
  filter.addEventListener("keydown", (event) => event.key === "Enter" && typed.now());
  const search = collection.search && searchBox(look, anew);

  await load();
  if (id) queueMicrotask(() => edit(id).catch(tell));
  signal.addEventListener("abort", () => asking?.abort());
  const settings = isOwn(collection)
    ? null
    : h("a.button", { href: to("define", collection.name) }, icon("gear"), "Definition");
  return h(
    "div.page",
    null,
    pageHead(
      { title: collection.name, sub: status, crumbs: h("a", { href: "#collections" }, icon("left"), "Collections") },
      h(
        "button.button",
        { type: "button", on: { click: () => openImport(collection).then((done) => done && reload()) } },
        icon("upload"),
        "Import",
      ),
      h(
        "button.button",
        { type: "button", on: { click: () => openExport(collection, look.filter) } },
        icon("download"),
        "Export",
      ),
      settings,
      newButton("button.button.primary"),
    ),
    h(
      "div.row.toolbar",
      { role: "search" },
      search,
      h("div.grow", null, filter, filterFault),
      h(
        "button.button.square",
        { type: "button", "aria-label": "Read again", title: "Read again", on: { click: reload } },
        icon("refresh"),
      ),
      columnsButton(collection, showTable),
    ),
    bulk,
    frame,
    pager,
  );
}

const plainClick = (event) => {
  if (event.ctrlKey || event.metaKey || event.shiftKey) return false;
  event.preventDefault();
  return true;
};

function searchBox(look, anew) {
  const input = h("input.input", {
    type: "search",
    value: look.search,
    placeholder: "Search",
    "aria-label": "Search",
    autocomplete: "off",
  });
  input.addEventListener(
    "input",
    debounced(() => {
      look.search = input.value.trim();
      anew();
    }, TYPING_MS),
  );
  return h("div.search-box", null, input);
}
