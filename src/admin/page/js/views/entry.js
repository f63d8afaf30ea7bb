// What is shown to who is not signed in: the sign-in, and the making of the first superuser by the server's link.
import { h, replace } from "../dom.js";
import { mark, icon } from "../icons.js";
import * as session from "../session.js";

const PASSWORD_CHARS_MIN = 8;

function frame(title, text, form) {
  return h(
    "main.entry",
    null,
    h("div.card.entry-card", null, mark(), h("h1", null, title), h("p.quiet", null, text), form),
  );
}

function input(name, label, properties) {
  const fault = h("p.fault", { id: `${name}-fault`, role: "alert", hidden: true });
  const element = h("input.input", {
    id: name,
    name,
    required: true,
    "aria-describedby": `${name}-fault`,
    ...properties,
  });
  const show = (message) => {
    fault.hidden = !message;
    replace(fault, message && [icon("warning"), message]);
    if (message) element.setAttribute("aria-invalid", "true");
    else element.removeAttribute("aria-invalid");
  };
  element.addEventListener("input", () => show(""));
  return { element, show, field: h("div.field", null, h("label", { for: name }, label), element, fault) };
}

function form(inputs, action, submit) {
  const fault = h("div.notice.bad", { role: "alert", hidden: true });
  const button = h("button.button.primary", { type: "submit" }, action);
  const say = (message) => {
    fault.hidden = !message;
    replace(fault, message && [icon("warning"), h("span", null, message)]);
  };
  const send = async (event) => {
    event.preventDefault();
    say("");
    const values = Object.fromEntries(Object.entries(inputs).map(([name, { element }]) => [name, element.value]));
    const empty = Object.values(inputs).filter(({ element }) => !element.value);
    for (const { show } of empty) show("is required");
    if (empty.length) return empty[0].element.focus();
    button.disabled = true;
    try {
      await submit(values);
    } catch (error) {
      button.disabled = false;
      let told = false;
      for (const [name, { message }] of Object.entries(error.faults ?? {}))
        if (inputs[name]) {
          inputs[name].show(message);
          if (!told) inputs[name].element.focus();
          told = true;
        }
      if (!told) say(error.message);
    }
  };
  return h(
    "form.stack",
    { novalidate: true, on: { submit: send } },
    Object.values(inputs).map(({ field }) => field),
    fault,
    button,
  );
}

export function signInView(done) {
  const inputs = {
    email: input("email", "E-mail address", { type: "email", autocomplete: "username" }),
    password: input("password", "Password", { type: "password", autocomplete: "current-password" }),
  };
  const submit = async ({ email, password }) => {
    await session.signIn(email, password);
    await done();
  };
  const view = frame("Sign in", "To this server's admin page, as a superuser.", form(inputs, "Sign in", submit));
  view.firstElementChild.append(
    h(
      "p.quiet.small.entry-note",
      null,
      "The first superuser is made by the link that ",
      h("code", null, "millpond serve"),
      " prints, or by ",
      h("code", null, "millpond superuser create"),
      ".",
    ),
  );
  return view;
}

export function setupView(token, done) {
  const inputs = {
    email: input("email", "E-mail address", { type: "email", autocomplete: "username" }),
    password: input("password", "Password", { type: "password", autocomplete: "new-password" }),
    again: input("again", "Password once more", { type: "password", autocomplete: "new-password" }),
  };
  const submit = async ({ email, password, again }) => {
    const wrong = (field, message) => Object.assign(new Error(message), { faults: { [field]: { message } } });
    if ([...password].length < PASSWORD_CHARS_MIN)
      throw wrong("password", `must have ${PASSWORD_CHARS_MIN} characters at least`);
    if (password !== again) throw wrong("again", "is not the same password");
    await session.setUp(token, email, password);
    // The link is used up: it has no business in the address or in the history any more.
    history.replaceState(null, "", "#");
    await done();
  };
  return frame(
    "Welcome to Millpond",
    "This link makes the first superuser, who may do everything here. It works once.",
    form(inputs, "Begin", submit),
  );
}
