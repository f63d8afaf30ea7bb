// Elements made by functions. Data become text nodes, attributes and properties; nothing on this page parses markup.

/** Properties that are set as such: their attributes mean something else, or nothing. */
const AS_PROPERTY = new Set(["value", "checked", "indeterminate", "selected", "disabled", "readOnly", "textContent"]);

/**
 * An element: `h("button.primary", {type: "button", on: {click}}, "Save")`. Of the properties, `on` are listeners,
 * `dataset` and `vars` (CSS variables) are objects, and one that is null, undefined or false is left out.
 */
export function h(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElement(name);
  if (classes.length) element.classList.add(...classes);
  return fill(element, properties, children);
}

const SVG = "http://www.w3.org/2000/svg";

/** The same of an SVG element. */
export function svg(tag, properties, ...children) {
  const [name, ...classes] = tag.split(".");
  const element = document.createElementNS(SVG, name);
  if (classes.length) element.classList.add(...classes);
  return fill(element, properties, children);
}

function fill(element, properties, children) {
  for (const [name, value] of Object.entries(properties ?? {})) set(element, name, value);
  append(element, children);
  return element;
}

function set(element, name, value) {
  if (name === "on") {
    for (const [event, listener] of Object.entries(value)) element.addEventListener(event, listener);
  } else if (name === "dataset") {
    for (const [key, text] of Object.entries(value)) if (text != null) element.dataset[key] = text;
  } else if (name === "vars") {
    for (const [key, text] of Object.entries(value)) element.style.setProperty(key, text);
  } else if (name === "class") {
    if (value) element.classList.add(...value.split(" ").filter(Boolean));
  } else if (AS_PROPERTY.has(name)) {
    if (value != null) element[name] = value;
  } else if (value != null && value !== false) {
    element.setAttribute(name, value === true ? "" : value);
  }
}

/** Adds children: elements, texts, numbers, lists of these; null and false are left out. */
export function append(element, children) {
  for (const child of [children].flat(Infinity)) {
    if (child == null || child === false || child === true) continue;
    element.append(child instanceof Node ? child : String(child));
  }
}

/** Puts children in the place of those that are there. */
export function replace(element, ...children) {
  element.replaceChildren();
  append(element, children);
  return element;
}

/** Puts elements in the place of those that are there, if these are others; the focus goes to what is called the same. */
export function arrange(place, elements) {
  if (elements.length === place.children.length && elements.every((element, at) => element === place.children[at]))
    return;
  const focused = place.contains(document.activeElement) ? document.activeElement : null;
  place.replaceChildren(...elements);
  if (!focused) return;
  const called = (element) => element.getAttribute("aria-label") === focused.getAttribute("aria-label");
  const heir = focused.isConnected ? focused : [...place.querySelectorAll("button, input")].find(called);
  heir?.focus();
}

let lastId = 0;

/** An id that no other element has. */
export const newId = (stem = "e") => `${stem}-${(lastId += 1)}`;

/** Calls `work` once `ms` have gone by without another call. `.now()` calls at once, `.stop()` not at all. */
export function debounced(work, ms) {
  let timer;
  const later = (...given) => {
    clearTimeout(timer);
    timer = setTimeout(() => work(...given), ms);
  };
  later.stop = () => clearTimeout(timer);
  later.now = (...given) => {
    clearTimeout(timer);
    return work(...given);
  };
  return later;
}
