// How far something has come, as a bar: what is done, and behind it what of that has failed.
import { h } from "./dom.js";

const percent = (part) => `${(100 * part).toFixed(1)}%`;

/** `{element, set(done, failed)}`, both parts of one. */
export function bar(label) {
  const done = h("span");
  const failed = h("span.failed");
  const element = h(
    "div.progress",
    { role: "progressbar", "aria-label": label, "aria-valuemin": 0, "aria-valuemax": 100 },
    done,
    failed,
  );
  const set = (part, of = 0) => {
    done.style.setProperty("--part", percent(part));
    failed.style.setProperty("--part", percent(of));
    element.setAttribute("aria-valuenow", Math.round(100 * (part + of)));
  };
  return { element, set };
}
