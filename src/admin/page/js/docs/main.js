// The reference of the API, made of `/api/openapi.json`. With the token of a superuser who is signed in in this tab, or in
// developer mode, the server's own collections are in it.
import { call, setToken } from "../api.js";
import { h, replace } from "../dom.js";
import { icon, mark } from "../icons.js";
import { callElement } from "./call.js";

const app = document.getElementById("app");
const anchor = (tag) => `tag-${tag.replace(/\W/g, "-")}`;

function byTag(openapi) {
  const groups = new Map(openapi.tags.map(({ name, description }) => [name, { description, calls: [] }]));
  for (const [path, item] of Object.entries(openapi.paths))
    for (const [method, operation] of Object.entries(item))
      groups.get(operation.tags[0])?.calls.push([path, method, operation]);
  return [...groups].filter(([, { calls }]) => calls.length);
}

function themeButton() {
  const toggle = () => globalThis.millpondTheme.toggle();
  return h(
    "button.button.plain.little.square",
    { type: "button", "aria-label": "Light or dark colours", on: { click: toggle } },
    icon("moon"),
  );
}

function search(groups) {
  const input = h("input.input", {
    type: "search",
    placeholder: "Find a call",
    "aria-label": "Find a call",
    autocomplete: "off",
  });
  input.addEventListener("input", () => {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    for (const { section, calls } of groups) {
      for (const { element, text } of calls) element.hidden = !words.every((word) => text.includes(word));
      section.hidden = calls.every(({ element }) => element.hidden);
    }
  });
  return input;
}

/** Opens the call that the address names. */
function openNamed() {
  const named = document.getElementById(decodeURIComponent(location.hash.slice(1)));
  if (named instanceof HTMLDetailsElement) {
    named.open = true;
    named.scrollIntoView();
  }
}

function show(openapi) {
  const groups = byTag(openapi).map(([tag, { description, calls }]) => {
    const elements = calls.map(([path, method, operation]) => ({
      element: callElement(openapi, path, method, operation),
      text: `${method} ${path} ${operation.summary} ${operation.operationId}`.toLowerCase(),
    }));
    const section = h(
      "section.stack.tight",
      { "aria-labelledby": anchor(tag) },
      h("h2", { id: anchor(tag) }, tag),
      description && h("p.quiet.small", null, description),
      elements.map(({ element }) => element),
    );
    return { tag, section, calls: elements };
  });
  const links = groups.map(({ tag, calls }) =>
    h(
      "li",
      null,
      h(
        "a.link",
        { href: `#${anchor(tag)}` },
        h("span.grow.ellipsis", null, tag),
        h("span.quiet.small", null, calls.length),
      ),
    ),
  );
  const elsewhere = [
    ["/api/openapi.json", "openapi.json"],
    ["/_/", "Admin page"],
  ];
  replace(
    app,
    h(
      "div.shell",
      null,
      h("a.skip", { href: "#main" }, "Skip to content"),
      h("header.topbar", null, h("a.brand", { href: "#" }, mark(), "Millpond API"), themeButton()),
      h(
        "aside.side",
        null,
        h("a.brand", { href: "#" }, mark(), "Millpond API"),
        search(groups),
        h("nav", { "aria-label": "Calls" }, h("ul", null, links)),
        h(
          "div.side-foot",
          null,
          h(
            "span.row.tight.grow.small",
            null,
            elsewhere.map(([href, text]) => h("a", { href }, text)),
          ),
          themeButton(),
        ),
      ),
      h(
        "main.main",
        { id: "main", tabindex: "-1" },
        h(
          "div.page.narrow",
          null,
          h("header", null, h("h1", null, "API"), h("p.sub.quiet", null, `Version ${openapi.info.version}`)),
          h("p", null, openapi.info.description.replaceAll("`", "")),
          h(
            "p.small.quiet",
            null,
            "Collections are in it for superusers: sign in on the admin page, and come here in the same tab.",
          ),
          groups.map(({ section }) => section),
        ),
      ),
    ),
  );
  openNamed();
}

/** With the token, where there is one that is good. */
async function read() {
  try {
    return await call("GET", "/api/openapi.json");
  } catch (error) {
    if (error.status !== 401) throw error;
    setToken(null);
    return call("GET", "/api/openapi.json");
  }
}

addEventListener("hashchange", openNamed);
try {
  show(await read());
} catch (error) {
  replace(app, h("main.main", null, h("h1", null, "No answer"), h("p", null, error.message)));
}
