// Who is signed in: the superuser's record, kept beside the token; and whether the server lets this machine in without one.
import * as api from "./api.js";

const KEY = "millpond-account";
const SUPERUSERS = "_superusers";

/** The signed-in superuser's record, or null: with `--dev` nobody has to be one. */
export function account() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null;
  }
}

function begin({ token, record }) {
  api.setToken(token);
  sessionStorage.setItem(KEY, JSON.stringify(record));
}

export async function signIn(identity, password) {
  begin(
    await api.call("POST", `${api.collectionPath(SUPERUSERS)}/auth-with-password`, { body: { identity, password } }),
  );
}

/** Makes the first superuser by the token of the link that the server printed, and signs it in. */
export async function setUp(token, email, password) {
  begin(await api.call("POST", "/api/setup", { body: { token, email, password } }));
}

export function signOut() {
  api.setToken(null);
  sessionStorage.removeItem(KEY);
}

/** Whether calls of a superuser are answered: with the token that is there, or without any. */
export async function isIn() {
  try {
    await api.call("GET", `/api/collections${api.query({ perPage: 1 })}`);
    return true;
  } catch (error) {
    if (error.status === 401 || error.status === 403) return false;
    throw error;
  }
}

/** A later token, while the one that is there is good. */
export async function refresh() {
  if (!account()) return;
  try {
    begin(await api.call("POST", `${api.collectionPath(SUPERUSERS)}/auth-refresh`));
  } catch {
    // The old one goes on for as long as it is good; a call that it isn't good for says so.
  }
}
