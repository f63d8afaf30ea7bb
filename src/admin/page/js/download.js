// A file that only a caller with a token is given: read as a stream, then handed to the browser.
import * as api from "./api.js";
import { h } from "./dom.js";

const KEPT_MS = 60_000;

/** Saves what `path` answers as `name`; `came(bytes)` is told how much there is of it. The promise is of its size. */
export async function download(path, { name, type, signal, came = () => {} }) {
  const response = await api.send("GET", path, { signal });
  const parts = [];
  let size = 0;
  for (const reader = response.body.getReader(); ;) {
    const { done, value } = await reader.read();
    if (done) break;
    parts.push(value);
    size += value.length;
    came(size);
  }
  const link = h("a", { href: URL.createObjectURL(new Blob(parts, { type })), download: name });
  link.click();
  setTimeout(() => URL.revokeObjectURL(link.href), KEPT_MS);
  return size;
}
