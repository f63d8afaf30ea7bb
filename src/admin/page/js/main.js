// Where the page begins: who is it, then the frame and the view of this place.
import { onExpired, Refusal } from "./api.js";
import { h, replace } from "./dom.js";
import * as router from "./router.js";
import * as session from "./session.js";
import { load } from "./store.js";
import { shell, show } from "./shell.js";
import { routes } from "./routes.js";
import { setupView, signInView } from "./views/entry.js";

const app = document.getElementById("app");

async function begin() {
  const [first, token] = router.parts();
  if (first === "setup" && token) {
    replace(app, setupView(token, enter));
    return;
  }
  let inside;
  try {
    inside = await session.isIn();
  } catch (error) {
    if (!(error instanceof Refusal)) throw error;
    replace(app, away(error));
    return;
  }
  if (!inside) {
    session.signOut();
    replace(app, signInView(enter));
    app.querySelector("input")?.focus();
    return;
  }
  await enter();
}

async function enter() {
  onExpired(expired);
  replace(app, shell());
  session.refresh();
  load().catch(() => {}); // The view that needs them tells of it.
  await router.start(routes, show);
}

let left = false;

/** The token is over: once signed in again, the page is where it was. */
function expired() {
  if (left) return;
  left = true;
  session.signOut();
  location.reload();
}

function away(error) {
  const again = h("button.button.primary", { type: "button", on: { click: begin } }, "Try again");
  return h(
    "main.entry",
    null,
    h("div.card.entry-card", null, h("h1", null, "No answer"), h("p", null, error.message), again),
  );
}

begin();
