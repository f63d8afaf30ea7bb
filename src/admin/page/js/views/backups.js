// Backups that the server keeps: made while it works, fetched, brought back.
import * as api from "../api.js";
import { h, newId, replace } from "../dom.js";
import { confirm, open } from "../dialog.js";
import { ago, bytes, date } from "../format.js";
import { icon } from "../icons.js";
import { empty, pageHead, told } from "../shell.js";
import { toast } from "../toast.js";
import { table } from "../table.js";

const PATH = "/api/backups";
const pathOf = (key) => `${PATH}/${encodeURIComponent(key)}`;

/** Asks for a file and sends it, with its progress. */
function openUpload() {
  let request = null;
  return open({ title: "Bring in a backup" }, ({ body, foot, close }) => {
    const file = h("input.input", { type: "file", id: newId("file") });
    const result = h("div.stack.tight", { role: "status" });
    const send = () => {
      if (!file.files[0])
        return replace(result, h("div.notice.warn", null, icon("warning"), h("span", null, "Choose a file.")));
      const inner = h("span");
      const words = h("p.quiet.small", null, "Sending…");
      replace(result, h("div.progress", null, inner), words);
      request = new XMLHttpRequest();
      request.open("POST", `${PATH}/upload${api.query({ name: file.files[0].name })}`);
      for (const [name, value] of api.headers()) request.setRequestHeader(name, value);
      request.setRequestHeader("Content-Type", "application/octet-stream");
      request.upload.addEventListener("progress", ({ loaded, total }) => {
        inner.style.setProperty("--part", `${((100 * loaded) / (total || 1)).toFixed(1)}%`);
        words.textContent = `${bytes(loaded)} of ${bytes(total)}`;
      });
      request.addEventListener("loadend", () => {
        if (request.status >= 200 && request.status < 300) return close(true);
        let message = "The server can't be reached.";
        try {
          message = JSON.parse(request.responseText).message;
        } catch {
          // No answer.
        }
        replace(result, h("div.notice.bad", null, icon("warning"), h("span", null, message)));
      });
      request.send(file.files[0]);
    };
    body.append(h("div.field", null, h("label", { for: file.id }, "A backup's file"), file), result);
    foot.append(
      h("button.button", { type: "button", on: { click: () => close() } }, "Cancel"),
      h("button.button.primary", { type: "button", on: { click: send } }, icon("upload"), "Send"),
    );
  }).finally(() => request?.abort());
}

export async function backupsView(signal) {
  const frame = h("div");

  async function download(key) {
    const { token } = await api.call("POST", "/api/files/token");
    h("a", { href: `${pathOf(key)}${api.query({ token })}`, download: key }).click();
  }

  async function remove(key) {
    if (!(await confirm({ title: "Delete this backup?", text: key, yes: "Delete" }))) return;
    await api.call("DELETE", pathOf(key));
    await reload();
  }

  async function restore(key) {
    const text = "The server starts again on what is in the backup. What was written since is set aside.";
    if (!(await confirm({ title: `Go back to ${key}?`, text, yes: "Go back", word: key }))) return;
    await api.call("POST", `${pathOf(key)}/restore`);
    toast("The server starts again on it");
  }

  async function reload() {
    const found = await api.call("GET", PATH, { signal });
    const row = (one) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, h("code", null, one.key)),
        h("td.number", null, bytes(one.size)),
        h("td", null, h("time", { title: date(one.modified) }, ago(one.modified))),
        h("td", null, one.position ? h("code", null, one.position) : "–"),
        h(
          "td",
          null,
          h(
            "span.row.tight.one-line",
            null,
            h(
              "button.button.little",
              { type: "button", "aria-label": `Fetch ${one.key}`, on: { click: told(() => download(one.key)) } },
              icon("download"),
              "Fetch",
            ),
            h(
              "button.button.little",
              { type: "button", "aria-label": `Go back to it: ${one.key}`, on: { click: told(() => restore(one.key)) } },
              "Go back to it",
            ),
            h(
              "button.button.plain.little.square",
              { type: "button", "aria-label": `Delete ${one.key}`, on: { click: told(() => remove(one.key)) } },
              icon("trash"),
            ),
          ),
        ),
      );
    const head = ["Name", ["Size", "number"], "Made", "Position", "What to do"];
    replace(
      frame,
      found.length
        ? table("Backups", head, found.map(row))
        : h(
            "div.card",
            null,
            empty("disk", "No backups yet", "One is made while the server works; no write waits for it."),
          ),
    );
  }

  const make = told(async (event) => {
    const button = event.currentTarget;
    button.disabled = true;
    try {
      await api.call("POST", PATH);
      toast("The backup is made");
      await reload();
    } finally {
      button.disabled = false;
    }
  });
  const bring = told(async () => {
    if (!(await openUpload())) return;
    toast("It is here");
    await reload();
  });
  await reload();
  return h(
    "div.page.narrow",
    null,
    pageHead(
      { title: "Backups", sub: "Copies of everything at one position." },
      h("button.button", { type: "button", on: { click: bring } }, icon("upload"), "Bring one in"),
      h("button.button.primary", { type: "button", on: { click: make } }, icon("plus"), "Make a backup"),
    ),
    frame,
  );
}
