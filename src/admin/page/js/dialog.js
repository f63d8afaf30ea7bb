// Dialogs over the page: a drawer from the side, a box in the middle, a question. The browser's own <dialog> keeps the
// focus in and gives it back; closing removes the element.
import { h, append, newId } from "./dom.js";
import { icon } from "./icons.js";
import { guardWith, viewSignal } from "./router.js";

/**
 * Shows a dialog. `build(frame)` fills `frame.body` and `frame.foot`; `frame.close(value)` ends it. The promise is of that
 * value, undefined where it was dismissed. Where `isDirty()`, it is asked before what was typed goes. It goes with its view.
 */
export function open({ title, kind = "modal", role, isDirty = () => false }, build) {
  const heading = newId("title");
  const body = h("div.dialog-body");
  const foot = h("div.dialog-foot");
  const head = h("header.dialog-head", null, h("h2.ellipsis", { id: heading }, title));
  const frame = h("div.dialog-frame", null, head, body, foot);
  const dialog = h("dialog", { class: kind, "aria-labelledby": heading, role }, frame);
  return new Promise((resolve) => {
    let value;
    const close = (given) => {
      value = given;
      dialog.close();
    };
    const ended = new AbortController();
    const mayGo = () => confirm({ title: "Discard what was typed?", text: "It has not been saved.", yes: "Discard" });
    const dismiss = async () => {
      if (!isDirty() || (await mayGo())) close(undefined);
    };
    guardWith({ dirty: isDirty, ask: mayGo }, ended.signal);
    viewSignal()?.addEventListener("abort", () => close(undefined), { signal: ended.signal });
    dialog.addEventListener("cancel", (event) => {
      event.preventDefault();
      dismiss();
    });
    dialog.addEventListener("close", () => {
      ended.abort();
      dialog.remove();
      resolve(value);
    });
    dialog.addEventListener("mousedown", (event) => {
      if (event.target === dialog) dismiss();
    });
    append(head, [
      h("button.button.plain.square", { type: "button", "aria-label": "Close", on: { click: dismiss } }, icon("close")),
    ]);
    build({ dialog, head, body, foot, close, dismiss, heading: head.firstElementChild });
    if (!foot.childNodes.length) foot.remove();
    document.body.append(dialog);
    dialog.showModal();
    const first = dialog.querySelector("[data-focus]") ?? body.querySelector("input, select, textarea");
    (first ?? head.lastElementChild).focus();
  });
}

/** Asks a question; whether the answer was yes. With `word`, that must be typed first. */
export function confirm({ title, text, yes, danger = true, word }) {
  return open({ title, role: "alertdialog" }, ({ body, foot, close }) => {
    append(body, [h("p", null, text)]);
    const accept = h(
      "button.button",
      {
        type: "button",
        class: danger ? "danger" : "primary",
        disabled: Boolean(word),
        on: { click: () => close(true) },
      },
      yes,
    );
    const cancel = h("button.button", { type: "button", on: { click: () => close(false) } }, "Cancel");
    if (word) {
      const id = newId("word");
      const check = (event) => (accept.disabled = event.target.value !== word);
      append(body, [
        h(
          "div.field",
          null,
          h("label", { for: id }, "Type ", h("code", null, word), " to go on"),
          h("input.input", { id, autocomplete: "off", spellcheck: "false", on: { input: check } }),
        ),
      ]);
    } else {
      cancel.dataset.focus = "";
    }
    append(foot, [cancel, accept]);
  }).then((answer) => answer === true);
}
