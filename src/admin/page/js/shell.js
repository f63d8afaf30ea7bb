// The frame around every view: the side with its links, the bar of narrow screens, and the place where views are shown.
import { h, replace } from "./dom.js";
import { features } from "./features.js";
import { icon, mark } from "./icons.js";
import { account, signOut } from "./session.js";
import { isOwn, onCollections } from "./store.js";
import { tell } from "./toast.js";
import { parts, to } from "./router.js";
import { Refusal } from "./api.js";

/** Place, name, sign, and the feature that it needs. */
const SYSTEM = [
  ["live", "Live", "stream"],
  ["handlers", "Handlers", "hook"],
  ["jobs", "Jobs", "clock"],
  ["access", "Users & keys", "users"],
  ["followers", "Followers", "branch", "followers"],
  ["backups", "Backups", "disk", "backups"],
  ["cache", "Cache", "layers"],
  ["logs", "Logs", "list"],
];

const main = h("main.main", { id: "main", tabindex: "-1" });
let collections = [];
let there = new Set();
let sides = [];

function brand() {
  return h("a.brand", { href: "#" }, mark(), "Millpond");
}

function link(hash, text, sign, current) {
  return h(
    "a.link",
    { href: hash, "aria-current": current ? "page" : null },
    icon(sign),
    h("span.ellipsis", null, text),
  );
}

function themeButton() {
  const button = h("button.button.plain.little.square", { type: "button" });
  const show = () => {
    const dark = globalThis.millpondTheme.current() === "dark";
    button.setAttribute("aria-label", dark ? "Light colours" : "Dark colours");
    button.title = button.getAttribute("aria-label");
    replace(button, icon(dark ? "sun" : "moon"));
  };
  button.addEventListener("click", () => {
    globalThis.millpondTheme.toggle();
    show();
  });
  show();
  return button;
}

function foot() {
  const who = account();
  const leave = () => {
    signOut();
    location.hash = "";
    location.reload();
  };
  return h(
    "div.side-foot",
    null,
    h("span.who.ellipsis", { title: who?.email }, who ? who.email : "Developer mode"),
    themeButton(),
    who &&
      h(
        "button.button.plain.little.square",
        { type: "button", "aria-label": "Sign out", title: "Sign out", on: { click: leave } },
        icon("exit"),
      ),
  );
}

/** More collections than this can be searched. */
const MANY = 12;
let sought = "";

/** The links of collections, and a box that narrows them down where they are many. */
function collectionLinks(data, current) {
  const items = data.map((one) => {
    const sign = one.type === "auth" ? "users" : "table";
    return h("li", null, link(to("collections", one.name), one.name, sign, one.name === current));
  });
  const narrow = () => {
    for (const [at, item] of items.entries()) item.hidden = !data[at].name.toLowerCase().includes(sought.toLowerCase());
  };
  const list = h("ul", null, items);
  if (data.length <= MANY) return list;
  const input = h("input.input.little", {
    type: "search",
    value: sought,
    placeholder: "Find",
    "aria-label": "Find a collection",
    autocomplete: "off",
  });
  input.addEventListener("input", () => {
    sought = input.value;
    narrow();
  });
  narrow();
  return [h("div.side-search", null, input), list];
}

function links(nav) {
  const [first, second] = parts();
  const data = collections.filter((one) => !isOwn(one));
  replace(
    nav,
    h("div", null, link("#", "Overview", "pulse", first === undefined)),
    h(
      "div",
      null,
      h(
        "div.side-head",
        null,
        h(
          "h2",
          null,
          h(
            "a.quiet-link",
            { href: "#collections", "aria-current": first === "collections" && !second ? "page" : null },
            "Collections",
          ),
        ),
        h(
          "a.button.plain.little.square",
          { href: "#new", "aria-label": "New collection", title: "New collection" },
          icon("plus"),
        ),
      ),
      collectionLinks(data, ["collections", "define"].includes(first) ? second : null),
    ),
    h(
      "div",
      null,
      h("div.side-head", null, h("h2", null, "Server")),
      h(
        "ul",
        null,
        SYSTEM.filter(([, , , feature]) => !feature || there.has(feature)).map(([place, text, sign]) =>
          h("li", null, link(to(place), text, sign, first === place)),
        ),
        h("li", null, link("/api/docs", "API", "book", false)),
      ),
    ),
  );
}

function side() {
  const nav = h("nav", { "aria-label": "Main" });
  const element = h("aside.side", null, brand(), nav, foot());
  sides = sides.filter(({ element }) => element.isConnected);
  sides.push({ element, nav });
  links(nav);
  return element;
}

function refresh() {
  for (const { nav } of sides) links(nav);
}

function openSide() {
  const dialog = h("dialog.side-drawer", { "aria-label": "Menu" });
  dialog.append(side());
  const close = () => dialog.close();
  addEventListener("hashchange", close, { once: true });
  dialog.addEventListener("mousedown", (event) => event.target === dialog && close());
  dialog.addEventListener("close", () => {
    removeEventListener("hashchange", close);
    dialog.remove();
  });
  document.body.append(dialog);
  dialog.showModal();
}

/** The frame, for who is signed in. */
export function shell() {
  onCollections((found) => {
    collections = found;
    refresh();
  });
  features().then((found) => {
    there = found;
    refresh();
  });
  return h(
    "div.shell",
    null,
    h("a.skip", { href: "#main", on: { click: skip } }, "Skip to content"),
    h(
      "header.topbar",
      null,
      h("button.button.plain.square", { type: "button", "aria-label": "Menu", on: { click: openSide } }, icon("menu")),
      brand(),
      themeButton(),
    ),
    side(),
    main,
  );
}

function skip(event) {
  event.preventDefault();
  main.focus();
}

let shown = null;

/** Shows a view: what the router calls. */
export async function show({ view, values, title, signal }) {
  document.title = title ? `${title} · Millpond` : "Millpond";
  refresh();
  const place = parts().slice(0, 2).join("/");
  const another = place !== shown;
  if (another) replace(main, h("div.busy", null, h("span.heard", { role: "status" }, "Loading")));
  let content;
  try {
    content = view ? await view(...values, signal) : nothing();
  } catch (error) {
    if (error.name === "AbortError") return;
    if (!(error instanceof Refusal)) console.error(error);
    content = failed(error);
  }
  if (signal.aborted) return;
  replace(main, content);
  if (another && shown !== null) {
    main.focus({ preventScroll: true });
    scrollTo(0, 0);
  }
  shown = place;
}

function nothing() {
  return message("search", "Nothing here", "There is no such place.", h("a.button", { href: "#" }, "To the overview"));
}

function failed(error) {
  const again = h(
    "button.button",
    { type: "button", on: { click: () => location.reload() } },
    icon("refresh"),
    "Try again",
  );
  const id = error.requestId && ` Request ${error.requestId}.`;
  return message(
    "warning",
    error.status === 404 ? "Not found" : "That did not work",
    `${error.message}${id ?? ""}`,
    again,
  );
}

function message(sign, title, text, action) {
  return h("div.page", null, h("div.card.empty", null, icon(sign), h("h1", null, title), h("p", null, text), action));
}

/** The head of a view: its title, what is said below it, and what can be done. */
export function pageHead({ title, sub, crumbs }, ...actions) {
  return h(
    "header.page-head",
    null,
    h(
      "div.titles",
      null,
      crumbs && h("nav.crumbs", { "aria-label": "Place" }, crumbs),
      h("h1", null, title),
      sub && h("p.sub", null, sub),
    ),
    h("div.row", null, ...actions),
  );
}

/** What is shown where there is nothing. */
export const empty = (sign, title, text, ...actions) =>
  h(
    "div.empty",
    null,
    icon(sign),
    h("h2", null, title),
    text && h("p", null, text),
    actions.length ? h("div.row", null, ...actions) : null,
  );

/** A promise whose fault is told at the corner. */
export const told = (work) => (event) => Promise.resolve(work(event)).catch(tell);
