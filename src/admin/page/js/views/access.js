// Who may come in: superusers, the collections of accounts, and API keys, whose text is shown once.
import * as api from "../api.js";
import { h, newId, replace } from "../dom.js";
import { open } from "../dialog.js";
import { openRecord } from "../form/record.js";
import { ago, date } from "../format.js";
import { icon } from "../icons.js";
import { to } from "../router.js";
import { account, signIn } from "../session.js";
import { empty, pageHead, told } from "../shell.js";
import { collection as find, collections, isOwn } from "../store.js";
import { toast } from "../toast.js";
import { table } from "../table.js";

const SUPERUSERS = "_superusers";
const KEYS = "_apiKeys";

/** A key's text, which the server shows this once and never again. */
function showKey(record) {
  return open({ title: `The key ${record.name}` }, ({ body, foot, close }) => {
    const id = newId("key");
    const text = h("input.input.code", { id, readonly: true, value: record.key });
    const copy = async () => {
      text.select();
      await navigator.clipboard?.writeText(record.key);
      toast("Copied");
    };
    body.append(
      h(
        "div.notice.warn",
        null,
        icon("warning"),
        h("span", null, "Keep it now: only a hash of it is stored, and it is never shown again."),
      ),
      h("div.field", null, h("label", { for: id }, "Authorization"), text),
    );
    foot.append(
      h("button.button", { type: "button", on: { click: copy } }, icon("copy"), "Copy"),
      h("button.button.primary", { type: "button", on: { click: () => close() } }, "I have it"),
    );
  });
}

/** The signed-in superuser's own password. */
function changePassword() {
  const who = account();
  return open({ title: "Another password" }, ({ body, foot, close }) => {
    const fault = h("p.fault", { hidden: true, id: newId("fault"), role: "alert" });
    const field = (label, autocomplete) => {
      const id = newId("password");
      const input = h("input.input", { id, type: "password", autocomplete, "aria-describedby": fault.id });
      return { input, box: h("div.field", null, h("label", { for: id }, label), input) };
    };
    const next = field("New password", "new-password");
    const again = field("Once more", "new-password");
    const say = (message) => {
      fault.hidden = false;
      replace(fault, icon("warning"), h("span", null, message));
    };
    const send = async () => {
      if (next.input.value !== again.input.value) return say("These are not the same.");
      try {
        await api.call("PATCH", api.recordPath(SUPERUSERS, who.id), { body: { password: next.input.value } });
        // It has ended every token, this page's too.
        await signIn(who.email, next.input.value);
        toast("Changed; all other sessions have ended");
        close();
      } catch (error) {
        say(error.faults?.password?.message ?? error.message);
      }
    };
    body.append(next.box, again.box, fault);
    foot.append(
      h("button.button", { type: "button", on: { click: () => close() } }, "Cancel"),
      h("button.button.primary", { type: "button", on: { click: send } }, "Change"),
    );
  });
}

export async function accessView(signal) {
  const superusers = h("section.stack.tight");
  const keys = h("section.stack.tight");
  const known = await collections();
  const auths = known.filter((one) => one.type === "auth" && !one.system);
  const keyForm = {
    only: ["name", "ownerCollection", "owner", "collections", "actions", "expires"],
    hints: {
      ownerCollection: "for whom it acts; neither: as a superuser",
      owner: "the id of the account",
      collections: "none chosen: all",
      actions: "none chosen: all",
    },
    choices: {
      ownerCollection: { values: auths.map((one) => one.name) },
      collections: { values: known.filter((one) => !isOwn(one)).map((one) => one.name), many: true },
    },
  };
  const me = account()?.id;

  async function reload() {
    const [people, all] = await Promise.all([
      api.list(SUPERUSERS, { perPage: 200, sort: "email" }),
      api.list(KEYS, { perPage: 200, sort: "-created" }),
    ]);
    if (signal.aborted) return;
    const opens = (name, id, special) =>
      told(async () => (await openRecord(await find(name), id, special)) && (await reload()));
    const person = (one) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, one.email, one.id === me && h("span.chip.accent.beside", null, "you")),
        h("td", null, h("time", { title: date(one.created) }, ago(one.created))),
        h(
          "td",
          null,
          one.id === me
            ? h("button.button.little", { type: "button", on: { click: changePassword } }, "Another password")
            : h(
                "button.button.little",
                { type: "button", on: { click: opens(SUPERUSERS, one.id, { title: one.email }) } },
                "Change",
              ),
        ),
      );
    const lists = (value) => (value?.length ? [].concat(value).join(", ") : "all");
    const ended = (one) => one.expires && Date.parse(one.expires.replace(" ", "T")) < Date.now();
    const key = (one) =>
      h(
        "tr",
        null,
        h("th", { scope: "row" }, one.name),
        h(
          "td",
          null,
          one.owner
            ? h("a", { href: to("collections", one.ownerCollection, one.owner) }, `${one.ownerCollection}/${one.owner}`)
            : "a superuser",
        ),
        h("td", null, lists(one.collections)),
        h("td", null, lists(one.actions)),
        h(
          "td",
          null,
          one.expires
            ? h("span.chip", { class: ended(one) ? "bad" : "" }, ended(one) ? "ended" : date(one.expires))
            : "never",
        ),
        h(
          "td",
          null,
          h(
            "button.button.little",
            {
              type: "button",
              "aria-label": `Change ${one.name}`,
              on: { click: opens(KEYS, one.id, { ...keyForm, title: one.name }) },
            },
            "Change",
          ),
        ),
      );
    const newKey = opens(KEYS, null, { ...keyForm, title: "New API key", made: showKey });
    const plus = (words, click) => h("button.button.little", { type: "button", on: { click } }, icon("plus"), words);
    replace(
      superusers,
      h(
        "div.card-head",
        null,
        h("div", null, h("h2", null, "Superusers"), h("p.hint", null, "No rule is asked of them.")),
        plus("New superuser", opens(SUPERUSERS, null, { title: "New superuser", only: ["email", "password"] })),
      ),
      table("Superusers", ["E-mail address", "Since", "What to do"], people.items.map(person)),
    );
    replace(
      keys,
      h(
        "div.card-head",
        null,
        h(
          "div",
          null,
          h("h2", null, "API keys"),
          h("p.hint", null, "For programs. A key acts as a superuser, or for one account."),
        ),
        plus("New key", newKey),
      ),
      all.items.length
        ? table("API keys", ["Name", "Acts as", "Collections", "Actions", "Ends", "What to do"], all.items.map(key))
        : h("div.card", null, empty("key", "No keys yet")),
    );
  }

  await reload();
  const shelf = auths.map((one) =>
    h(
      "li",
      null,
      h("a.card.shelf-item", { href: to("collections", one.name) }, icon("users"), h("span.grow", null, one.name)),
    ),
  );
  return h(
    "div.page.narrow",
    null,
    pageHead({ title: "Users & keys", sub: "Who may come in, and as whom." }),
    superusers,
    h(
      "section.stack.tight",
      null,
      h("h2", null, "Accounts"),
      auths.length
        ? h("ul.shelf", null, shelf)
        : h(
            "p.quiet",
            null,
            "No collection has accounts yet: a ",
            h("a", { href: "#new" }, "new collection"),
            " can be of accounts that sign in.",
          ),
    ),
    keys,
  );
}
