// Places of the page, in the fragment of its address: `#collections/orders`. A view is a function that is given the
// place's parts and a signal that is aborted when the page goes on to another; it returns the elements to show.

let routes = [];
let outlet;
let leaving;
/** What isn't saved, each `{dirty(), ask()}`. */
const guards = new Set();
let here = "";

const unsaved = () => [...guards].find((guard) => guard.dirty());

/** `table` is `[pattern, title, view]`, where `:name` stands for any part. */
export function start(table, show) {
  routes = table.map(([pattern, title, view]) => ({ parts: pattern.split("/").filter(Boolean), title, view }));
  outlet = show;
  addEventListener("hashchange", changed);
  addEventListener("beforeunload", (event) => {
    if (unsaved()) event.preventDefault();
  });
  return render();
}

async function changed() {
  const guard = unsaved();
  if (guard && location.hash !== here) {
    const wanted = location.hash;
    history.replaceState(null, "", here || "#");
    if (!(await guard.ask())) return;
    history.pushState(null, "", wanted);
  }
  await render();
}

/** Keeps what isn't saved from being lost by a click, until the signal: where `dirty()`, `ask()` has to agree. */
export function guardWith(guard, signal) {
  guards.add(guard);
  signal.addEventListener("abort", () => guards.delete(guard));
}

/** The signal of the view that is shown; there is none before the first. */
export const viewSignal = () => leaving?.signal;

/** Another address for what is shown, as a step that can be gone back from. */
export function setPlace(hash, isStep) {
  here = hash;
  if (location.hash === hash) return;
  if (isStep) history.pushState(null, "", hash);
  else history.replaceState(null, "", hash);
}

export const parts = () => location.hash.slice(1).split("?")[0].split("/").filter(Boolean).map(decode);

function decode(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

/** What stands behind a `?` in the fragment. */
export const parameters = () => new URLSearchParams(location.hash.split("?")[1] ?? "");

/** Another query of the same place, without going anywhere. */
export function setParameters(next) {
  const pairs = new URLSearchParams(Object.entries(next).filter(([, value]) => value));
  const text = pairs.toString();
  here = location.hash.split("?")[0] + (text ? `?${text}` : "");
  history.replaceState(null, "", here || "#");
}

export const to = (...names) => `#${names.map(encodeURIComponent).join("/")}`;

export function go(hash) {
  if (location.hash === hash) render();
  else location.hash = hash;
}

/** Shows the view of this place anew. */
export async function render() {
  leaving?.abort();
  leaving = new AbortController();
  here = location.hash;
  const given = parts();
  const found = routes.find(
    ({ parts }) =>
      parts.length === given.length && parts.every((part, at) => part.startsWith(":") || part === given[at]),
  );
  const values = found ? given.filter((_, at) => found.parts[at].startsWith(":")) : [];
  const title = found ? (typeof found.title === "function" ? found.title(...values) : found.title) : "Nothing here";
  await outlet({ view: found?.view, values, title, signal: leaving.signal });
}
