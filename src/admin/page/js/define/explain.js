// "May this caller…?": the server says whether, by which rule, and which part of it fails. Nothing is written.
import { call, collectionPath } from "../api.js";
import { h, newId, replace } from "../dom.js";
import { open } from "../dialog.js";
import { relationInput } from "../form/relation.js";
import { icon } from "../icons.js";

const ACTIONS = { list: "list it", view: "view it", create: "create it", update: "update it", delete: "delete it" };

/** A condition with whether it holds, and its parts: all of them are needed, or any. */
function part(told) {
  if (!told) return null;
  const inner = told.all ?? told.any;
  return h(
    "li",
    null,
    h(
      "span.row.tight",
      null,
      h(
        "span.chip",
        { class: told.holds ? "good" : "bad" },
        icon(told.holds ? "check" : "close"),
        told.holds ? "holds" : "fails",
      ),
      h("code", null, told.expr),
      inner && h("span.quiet.small", null, told.all ? "all of" : "any of"),
    ),
    inner && h("ul.parts", null, inner.map(part)),
  );
}

export function openExplain(definition, all) {
  return open({ title: `${definition.name}: may this caller…?`, kind: "modal wide" }, ({ body, foot, close }) => {
    const auths = all.filter((one) => one.type === "auth");
    const whoId = newId("who");
    const who = h(
      "select.input",
      { id: whoId },
      h("option", { value: "" }, "Nobody: no token"),
      auths.map((one) => h("option", { value: one.name }, `A record of ${one.name}`)),
    );
    const whoPlace = h("div.field");
    let account = null;
    who.addEventListener("change", () => {
      account = null;
      if (!who.value) return replace(whoPlace);
      const id = newId("account");
      const labelId = newId("label");
      account = relationInput({ name: "account", collection: who.value, maxSelect: 1 }, null, {
        id,
        listen() {},
        labelledBy: labelId,
      });
      replace(whoPlace, h("label", { id: labelId, for: id }, "Which one"), account.element);
    });
    const actionId = newId("action");
    const action = h(
      "select.input",
      { id: actionId },
      Object.entries(ACTIONS).map(([one, words]) => h("option", { value: one }, words)),
    );
    action.value = "view";
    const recordId = newId("record");
    const recordLabel = newId("label");
    const record = relationInput({ name: "record", collection: definition.name, maxSelect: 1 }, null, {
      id: recordId,
      listen() {},
      labelledBy: recordLabel,
    });
    const bodyId = newId("body");
    const sent = h("textarea.input.code.grows", { id: bodyId, rows: 3, spellcheck: "false", placeholder: "{}" });
    const result = h("div.stack.tight", { role: "status" });

    async function ask() {
      const question = { action: action.value, caller: null };
      if (who.value) question.caller = { collection: who.value, id: account.read() ?? "" };
      const id = record.read();
      if (id && action.value !== "create") question.id = id;
      try {
        if (sent.value.trim()) question.body = JSON.parse(sent.value);
        show(await call("POST", `${collectionPath(definition.name)}/explain-access`, { body: question }));
      } catch (error) {
        const faults = Object.entries(error.faults ?? {}).map(([path, { message }]) => `${path}: ${message}`);
        replace(
          result,
          h("div.notice.warn", null, icon("warning"), h("span", null, faults.join("; ") || error.message)),
        );
      }
    }

    function show(told) {
      const parts = told.parts && part(told.parts);
      replace(
        result,
        h(
          "div.notice",
          { class: told.allowed ? "good" : "bad" },
          icon(told.allowed ? "check" : "lock"),
          h(
            "span",
            null,
            told.allowed ? "Yes." : `No: ${told.reason}.`,
            told.superuser ? " A superuser is asked no rule." : "",
          ),
        ),
        h(
          "p.small",
          null,
          h("code", null, told.rule.name),
          " is ",
          told.rule.expr === null
            ? "null: superusers only"
            : told.rule.expr === ""
              ? "empty: anyone"
              : h("code", null, told.rule.expr),
        ),
        parts && h("ul.parts", null, parts),
        told.hidden.length ? h("p.small.quiet", null, `Hidden from this caller: ${told.hidden.join(", ")}`) : null,
      );
    }

    body.append(
      h("p.quiet.small", null, "Asked of the rules as they are saved."),
      h(
        "div.pair",
        null,
        h("div.field", null, h("label", { for: whoId }, "May"), who),
        h("div.field", null, h("label", { for: actionId }, "…"), action),
      ),
      whoPlace,
      h("div.field", null, h("label", { id: recordLabel, for: recordId }, "Which record"), record.element),
      h("div.field", null, h("label", { for: bodyId }, "What is sent, for create and update"), sent),
      result,
    );
    foot.append(
      h("button.button", { type: "button", on: { click: () => close() } }, "Close"),
      h("button.button.primary", { type: "button", on: { click: ask } }, "Ask"),
    );
  });
}
