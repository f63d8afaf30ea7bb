// Short news at the corner, read out by screen readers. They go by themselves, but not while the pointer is on them.
import { h } from "./dom.js";
import { icon } from "./icons.js";

const TIME_MS = 5_000;

/** The region, in front of the dialog that is open: what is behind one can't be seen or heard. */
function region() {
  const toasts = document.getElementById("toasts");
  const dialogs = document.querySelectorAll("dialog[open]");
  const place = dialogs.length ? dialogs[dialogs.length - 1] : document.body;
  if (toasts.parentNode !== place) {
    place.append(toasts);
    if (place !== document.body) place.addEventListener("close", () => document.body.append(toasts), { once: true });
  }
  return toasts;
}

export function toast(text, { bad = false } = {}) {
  const box = h("div.toast", { class: bad ? "bad" : "" }, icon(bad ? "warning" : "check"), h("span.grow", null, text));
  let timer;
  const wait = () => (timer = setTimeout(() => box.remove(), bad ? 2 * TIME_MS : TIME_MS));
  box.addEventListener("mouseenter", () => clearTimeout(timer));
  box.addEventListener("mouseleave", wait);
  box.append(
    h(
      "button.button.plain.little.square",
      { type: "button", "aria-label": "Dismiss", on: { click: () => box.remove() } },
      icon("close"),
    ),
  );
  region().append(box);
  wait();
}

/** Tells of an error; of one that was taken back nothing is said. */
export function tell(error) {
  if (error.name === "AbortError") return;
  console.warn(error);
  toast(error.message, { bad: true });
}
