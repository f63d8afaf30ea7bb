// The server's calls. Every request of the page goes through `call`; it knows the token, and nothing of the page.
// Invariant: the token is in sessionStorage alone, so it ends with the tab, and in no address.

const KEY = "millpond-token";
let token = sessionStorage.getItem(KEY);
const expired = new Set();

export const hasToken = () => token !== null;

export function setToken(next) {
  token = next;
  if (next === null) sessionStorage.removeItem(KEY);
  else sessionStorage.setItem(KEY, next);
}

/** What is called when the server no longer takes the token. */
export const onExpired = (listener) => expired.add(listener);

/** A refusal (RFC 9457), or no answer at all (`status` 0). `faults` are `{field: {code, message}}`. */
export class Refusal extends Error {
  constructor(status, problem) {
    super(problem.message ?? problem.detail ?? `The server answered ${status}.`);
    this.status = status;
    this.code = problem.code ?? "";
    this.faults = problem.data && typeof problem.data === "object" ? problem.data : {};
    this.requestId = problem.requestId;
  }
}

export function headers(more) {
  const all = new Headers(more);
  if (token) all.set("Authorization", token);
  return all;
}

/** Sends a request; the response where it is good, else a `Refusal` is thrown. */
export async function send(method, path, { body, type = "application/json", signal, head } = {}) {
  const all = headers(head);
  if (body !== undefined) all.set("Content-Type", type);
  let response;
  try {
    const content = body === undefined || type !== "application/json" ? body : JSON.stringify(body);
    response = await fetch(path, { method, headers: all, body: content, signal, cache: "no-store" });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Refusal(0, { message: "The server can't be reached." });
  }
  if (response.ok) return response;
  throw await refusal(response);
}

export async function refusal(response) {
  const problem = await response.json().catch(() => ({}));
  const refused = new Refusal(response.status, problem);
  if (response.status === 401 && token) for (const listener of expired) listener();
  return refused;
}

/** Sends a request and reads the JSON of its answer; null where there is none. */
export async function call(method, path, options) {
  const response = await send(method, path, options);
  return response.status === 204 ? null : response.json();
}

/** A query string of what is neither null nor undefined. An empty text is kept: `embed=` has a meaning. */
export function query(parameters) {
  const pairs = Object.entries(parameters).filter(([, value]) => value != null);
  return pairs.length ? `?${new URLSearchParams(pairs)}` : "";
}

/** A text as a literal of the filter language. */
export const literal = (text) => `'${String(text).replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;

export const recordsPath = (collection) => `/api/collections/${encodeURIComponent(collection)}/records`;
export const recordPath = (collection, id) => `${recordsPath(collection)}/${encodeURIComponent(id)}`;
export const collectionPath = (name) => `/api/collections/${encodeURIComponent(name)}`;

/** All definitions. */
export async function collections(signal) {
  const found = [];
  for (let page = 1; ; page += 1) {
    const answer = await call("GET", `/api/collections${query({ page, perPage: 500 })}`, { signal });
    found.push(...answer.items);
    if (page >= answer.totalPages) return found;
  }
}

export const list = (collection, parameters, signal) =>
  call("GET", recordsPath(collection) + query(parameters), { signal });

/** A record as it is stored, relations as ids, with its version for `If-Match`. */
export async function record(collection, id, signal) {
  const response = await send("GET", recordPath(collection, id) + query({ fields: "*", embed: "" }), { signal });
  return { record: await response.json(), version: response.headers.get("ETag") };
}

export const schemaOf = (collection) => call("GET", `${collectionPath(collection)}/schema`);

/** Whether the server has a path; false for 404 alone. */
export async function has(path) {
  try {
    await send("GET", path);
    return true;
  } catch (error) {
    return error.status !== 404;
  }
}
