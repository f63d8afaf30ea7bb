// The page's modules that need no browser: the validator of JSON Schema against what the server refuses, figures of
// counters, pieces of a stream.
import assert from "node:assert/strict";
import { cp, mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, test } from "node:test";
import { startServer } from "./support.mjs";

let folder;
let server;
const load = (name) => import(join(folder, name));
before(async () => {
  folder = await mkdtemp(join(tmpdir(), "millpond-page-"));
  await cp(new URL("../../src/admin/page/js", import.meta.url), folder, { recursive: true });
  await writeFile(join(folder, "package.json"), '{"type": "module"}');
  // What modules look at when they are loaded.
  globalThis.sessionStorage = { getItem: () => null, setItem() {}, removeItem() {} };
  server = await startServer();
  await server.prepare();
});
after(async () => {
  await rm(folder, { recursive: true, force: true });
  await server?.stop();
});

const DEFINITION = {
  name: "things",
  fields: [
    { name: "title", type: "text", required: true, min: 3, max: 8, pattern: "^[a-z]+$" },
    { name: "rank", type: "number", integer: true, min: 2, max: 9 },
    { name: "price", type: "number" },
    { name: "open", type: "bool" },
    { name: "kind", type: "select", values: ["a", "b"] },
    { name: "marks", type: "select", values: ["x", "y", "z"], maxSelect: 2, minSelect: 1 },
    { name: "mail", type: "email" },
    { name: "site", type: "url" },
    { name: "at", type: "date", aliases: ["when"] },
    { name: "place", type: "geoPoint" },
    { name: "meta", type: "json" },
    { name: "twice", type: "number", computed: "rank * 2" },
  ],
};

/** Bodies that the server takes (`null`), or refuses for these fields. */
const BODIES = [
  [{ title: "pond" }, null],
  [{ title: "pond", rank: 2, price: 1.5, open: false, kind: "a", marks: ["x", "y"], meta: [1, { a: null }] }, null],
  [{ title: "pond", rank: null, at: "2001-02-28 12:30:00.000Z", place: { lon: 1, lat: -2 } }, null],
  [{ title: "pond", mail: "ada@example.com", site: "https://example.com/x?y", when: "2001-02-28T12:30:00Z" }, null],
  [{}, ["title"]],
  [{ title: "" }, ["title"]],
  [{ title: "po" }, ["title"]],
  [{ title: "pondpondpond" }, ["title"]],
  [{ title: "POND" }, ["title"]],
  [{ title: 7, rank: "x" }, ["rank", "title"]],
  [{ title: "pond", rank: 1 }, ["rank"]],
  [{ title: "pond", rank: 10 }, ["rank"]],
  [{ title: "pond", rank: 2.5, open: "yes" }, ["open", "rank"]],
  [{ title: "pond", kind: "c", marks: ["x", "q"] }, ["kind", "marks"]],
  [{ title: "pond", marks: ["x", "y", "z"] }, ["marks"]],
  [{ title: "pond", mail: "none", site: "example" }, ["mail", "site"]],
  [{ title: "pond", at: "2001-02-30T00:00:00Z" }, ["at"]],
  [{ title: "pond", place: { lon: 181, lat: 0 } }, ["place"]],
  [{ title: "pond", place: { lon: 1 } }, ["place"]],
  [{ title: "pond", nope: 1, twice: 2 }, ["nope", "twice"]],
];

test("the client's validation and the server's find the same fields at fault", async () => {
  const { faultsOf } = await load("schema.js");
  await server.api("POST", "/api/collections", DEFINITION);
  const schema = await server.api("GET", "/api/collections/things/schema");
  for (const [body, expected] of BODIES) {
    const fields = (faults) => [...new Set(Object.keys(faults).map((path) => path.split(".")[0]))].sort();
    const here = fields(faultsOf(schema, body));
    const answer = await server.ask("POST", "/api/collections/things/records", body);
    const there = answer.status === 201 ? [] : fields((await answer.json()).data);
    assert.deepEqual([here, there], [expected ?? [], expected ?? []], JSON.stringify(body));
  }
});

test("a field with other names is asked for once, and not given twice", async () => {
  const { faultsOf } = await load("schema.js");
  await server.api("POST", "/api/collections", {
    name: "named",
    fields: [{ name: "at", type: "text", required: true, aliases: ["when"] }],
  });
  const schema = await server.api("GET", "/api/collections/named/schema");
  const codes = (body) => Object.entries(faultsOf(schema, body)).map(([name, { code }]) => `${name} ${code}`);
  assert.deepEqual(codes({ when: "now" }), []);
  assert.deepEqual(codes({ at: "now" }), []);
  assert.deepEqual(codes({}), ["at required"]);
  assert.notDeepEqual(codes({ at: "now", when: "then" }), []);
});

test("counters become rates and quantiles", async () => {
  const { parse, quantile, rate, mean } = await load("metrics.js");
  const reading = (at, text) => ({ at, families: parse(text) });
  const lines = (fast, slow, sum) =>
    `# HELP x y\nx_bucket{route="/a{b}",le="0.001"} ${fast}\nx_bucket{route="/a{b}",le="0.002"} ${fast + slow}\nx_bucket{route="/a{b}",le="+Inf"} ${fast + slow}\nx_sum{route="/a{b}"} ${sum}\nx_count{route="/a{b}"} ${fast + slow}\n`;
  const [a, b] = [reading(0, lines(10, 10, 1)), reading(2, lines(20, 20, 2))];
  assert.equal(rate(a, b, "x_count"), 10);
  assert.equal(
    rate(a, b, "x_count", ({ route }) => route === "other"),
    0,
  );
  assert.equal(quantile(a, b, "x", 0.25), 0.0005);
  assert.equal(quantile(a, b, "x", 0.75), 0.0015);
  assert.equal(quantile(b, b, "x", 0.5), null);
  assert.equal(mean(a, b, "x"), 0.05);
  assert.equal(rate(b, a, "x_count"), 0, "a server that began anew");
});

test("a stream is cut into its events wherever it is cut into pieces", async () => {
  const { split } = await load("sse.js");
  const text = ':\nid: 1-2-3\n\nid: 1-2-4\nevent: reset\ndata: {"a":\ndata: 1}\n\nid: 9';
  const [events, rest] = split(text);
  assert.deepEqual(events, [
    { id: "1-2-3", name: "message", data: "" },
    { id: "1-2-4", name: "reset", data: '{"a":\n1}' },
  ]);
  assert.equal(rest, "id: 9");
});

test("the place of a fault is read from the server's words", async () => {
  const { placeOf } = await load("expression.js");
  assert.deepEqual(placeOf('column 6: there is no field "nme"'), [6, 'there is no field "nme"']);
  assert.deepEqual(placeOf("filter: column 7: a value is wanted here"), [7, "a value is wanted here"]);
  assert.deepEqual(placeOf("is required"), [null, "is required"]);
});
