// A stream of the server's events over fetch, which unlike EventSource can bear the token in a header. After a break it
// goes on behind the last event: nothing is lost, and nothing told twice.
import { headers, query, refusal } from "./api.js";

const WAIT_MS = [500, 1_000, 2_000, 5_000];

/** The events in a text that ends anywhere: `[events, rest]`. */
export function split(text) {
  const blocks = text.replaceAll("\r\n", "\n").split("\n\n");
  const rest = blocks.pop();
  const events = blocks.map((block) => {
    const event = { id: null, name: "message", data: [] };
    for (const line of block.split("\n")) {
      const [, key, value] = line.match(/^(\w+): ?(.*)$/s) ?? [];
      if (key === "id") event.id = value;
      else if (key === "event") event.name = value;
      else if (key === "data") event.data.push(value);
    }
    return { ...event, data: event.data.join("\n") };
  });
  return [events, rest];
}

/**
 * Listens until the signal. `on` has `event(name, data)`, `state(word)` ("live", "waiting") and `refused(error)`, with which
 * it ends.
 */
export async function listen({ subscribe, filter }, on, signal) {
  let since = null;
  let failed = 0;
  while (!signal.aborted) {
    try {
      const address = `/api/realtime${query({ subscribe, filter: filter || null, since, fields: "*", embed: "" })}`;
      const response = await fetch(address, {
        headers: headers({ Accept: "text/event-stream" }),
        signal,
        cache: "no-store",
      });
      if (!response.ok) {
        const error = await refusal(response);
        if (error.status < 500) return on.refused(error);
        throw error;
      }
      on.state("live");
      failed = 0;
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let text = ""; ;) {
        const { done, value } = await reader.read();
        if (done) break;
        const [events, rest] = split(text + value);
        text = rest;
        for (const { id, name, data } of events) {
          if (id) since = id;
          if (data) on.event(name, JSON.parse(data));
        }
      }
    } catch (error) {
      if (error.name === "AbortError" || signal.aborted) return;
    }
    if (signal.aborted) return;
    on.state("waiting");
    await new Promise((resolve) => setTimeout(resolve, WAIT_MS[Math.min(failed, WAIT_MS.length - 1)]));
    failed += 1;
  }
}
