// PocketBase's own JavaScript client, unchanged, against this server: each of its calls either works or says that there is no
// such thing here; which of the two is what README.md has in a table, and no call of the client is missing there.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { after, before, test } from "node:test";
import { EventSource } from "eventsource";
import PocketBase, { BaseAuthStore, ClientResponseError } from "pocketbase";

import { EMAIL, PASSWORD, startServer } from "../support/server.mjs";

globalThis.EventSource = EventSource;

/** The largest time that an event is waited for. */
const PATIENCE_MS = 15_000;
/** The parts of the client, and the classes that they are of. */
const PARTS = {
  pb: "Client",
  "pb.authStore": "BaseAuthStore",
  "pb.health": "HealthService",
  "pb.collection()": "RecordService",
  "pb.createBatch()": "BatchService",
  "pb.createBatch().collection()": "SubBatchService",
  "pb.realtime": "RealtimeService",
  "pb.collections": "CollectionService",
  "pb.logs": "LogService",
  "pb.backups": "BackupService",
  "pb.files": "FileService",
  "pb.crons": "CronService",
  "pb.settings": "SettingsService",
  "pb.sql": "SQLService",
};

/** What each call came to: by part, the names of those that work and of those that there are not. */
const found = Object.fromEntries(Object.keys(PARTS).map((part) => [part, { works: new Set(), absent: new Set() }]));

/** Calls of one part that a test shows to work. */
function works(part, calls, name, body) {
  test(`${part} ${calls}: ${name}`, async (t) => {
    await body(t);
    for (const call of calls.split(" ")) found[part].works.add(call);
  });
}

/** A call for which there is nothing here: it is refused, as a path that isn't there if nothing else is said. */
function absent(part, call, body, statuses = [404, 405]) {
  test(`${part} ${call} is not here`, async () => {
    await assert.rejects(body, (error) => {
      assert.ok(error instanceof ClientResponseError, String(error));
      assert.ok(statuses.includes(error.status), `${error.status} ${JSON.stringify(error.response)}`);
      return true;
    });
    found[part].absent.add(call);
  });
}

/** A call that makes the address of a file: there is none. */
function noFile(part, call, url) {
  test(`${part} ${call} leads nowhere`, async () => {
    assert.equal((await fetch(url())).status, 404);
    found[part].absent.add(call);
  });
}

const refused = (status, field) => (error) => {
  assert.equal(error.status, status, JSON.stringify(error.response));
  assert.equal(typeof error.response.message, "string");
  if (field) assert.ok(error.response.data[field]?.code, JSON.stringify(error.response));
  return true;
};

/** Collects what a callback is told; `next()` waits for one. */
function listener() {
  const [told, waiting] = [[], []];
  const give = () => {
    while (told.length && waiting.length) waiting.shift()(told.shift());
  };
  return {
    hear: (event) => (told.push(event), give()),
    next: () =>
      new Promise((resolve, reject) => {
        const timer = setTimeout(() => reject(new Error("no event came")), PATIENCE_MS);
        waiting.push((event) => (clearTimeout(timer), resolve(event)));
        give();
      }),
  };
}

let server, pb;
const another = () => new PocketBase(server.base, new BaseAuthStore());
const ADA = { email: "ada@lovelace.example", password: "correct horse 8" };

before(async () => {
  server = await startServer("--request-log-level", "debug");
  await server.prepare();
  pb = another();
  pb.autoCancellation(false);
});
after(() => server.stop());

works("pb.health", "check", "tells that the server is there", async () => {
  const health = await pb.health.check();
  assert.equal(health.code, 200);
  assert.equal(typeof health.message, "string");
});

works("pb.collection()", "authWithPassword", "a superuser signs in, and nobody with another password", async () => {
  await assert.rejects(pb.collection("_superusers").authWithPassword(EMAIL, "wrong"), (error) => error.status >= 400);
  const { token, record } = await pb.collection("_superusers").authWithPassword(EMAIL, PASSWORD);
  assert.equal(record.email, EMAIL);
  assert.ok(pb.authStore.isValid && pb.authStore.isSuperuser && pb.authStore.token === token);
});

const DEFINITIONS = [
  {
    name: "members",
    type: "auth",
    fields: [{ name: "nick", type: "text" }],
    listRule: "@request.auth.id != ''",
    viewRule: "id = @request.auth.id",
  },
  {
    name: "posts",
    type: "base",
    fields: [
      { name: "title", type: "text", required: true, max: 80 },
      { name: "views", type: "number" },
      { name: "tags", type: "select", values: ["red", "green", "blue"], maxSelect: 3 },
      { name: "meta", type: "json" },
      { name: "published", type: "date" },
      { name: "created", type: "autodate", onCreate: true },
    ],
    listRule: "",
    viewRule: "",
    createRule: "@request.auth.id != ''",
    updateRule: "@request.auth.id != ''",
  },
];

works("pb.collections", "create getOne update", "collections are defined and changed", async () => {
  for (const definition of DEFINITIONS) assert.equal((await pb.collections.create(definition)).name, definition.name);
  const members = await pb.collections.getOne("members");
  assert.equal(members.type, "auth");
  const author = { name: "author", type: "relation", collectionId: members.id, maxSelect: 1 };
  const { fields } = await pb.collections.getOne("posts");
  const changed = await pb.collections.update("posts", { fields: [...fields, author] });
  assert.equal(changed.fields.find((field) => field.name === "author").type, "relation");
  await assert.rejects(pb.collections.create({ name: "bad name", fields: [] }), refused(400, "name"));
});

works("pb.collections", "getList getFullList getFirstListItem", "collections are listed", async () => {
  const page = await pb.collections.getList(1, 1, { filter: "system = false", sort: "name" });
  assert.deepEqual([page.items[0].name, page.perPage, page.totalItems], ["members", 1, 2]);
  const all = await pb.collections.getFullList({ filter: "system = false", sort: "-name" });
  assert.deepEqual(
    all.map(({ name }) => name),
    ["posts", "members"],
  );
  assert.equal((await pb.collections.getFirstListItem("name = 'posts'")).type, "base");
});

works("pb.collections", "import truncate delete", "collections are brought to a list, emptied and dropped", async () => {
  await pb.collections.import([{ name: "passing", type: "base", fields: [{ name: "n", type: "number" }] }], false);
  for (const n of [1, 2, 3]) await pb.collection("passing").create({ n });
  await pb.collections.truncate("passing");
  assert.equal((await pb.collection("passing").getList()).totalItems, 0);
  assert.equal(await pb.collections.delete("passing"), true);
  await assert.rejects(pb.collections.getOne("passing"), refused(404));
});

works("pb.collection()", "create getOne update delete", "records come and go", async () => {
  const posts = pb.collection("posts");
  const made = await posts.create({ title: "One", views: 1, tags: ["red"], meta: { a: [1, null] } });
  assert.ok(made.id && made.collectionId && made.collectionName === "posts" && made.created);
  assert.deepEqual(await posts.getOne(made.id), made);
  const changed = await posts.update(made.id, { "views+": 4, "tags+": "blue", meta: { b: 2 } });
  assert.deepEqual([changed.views, changed.tags, changed.meta.b], [5, ["red", "blue"], 2]);
  assert.deepEqual((await posts.update(made.id, { "tags-": "red" })).tags, ["blue"]);
  assert.deepEqual(await posts.getOne(made.id, { fields: "title,views" }), { title: "One", views: 5 });
  assert.equal(await posts.delete(made.id), true);
  await assert.rejects(posts.getOne(made.id), refused(404));
  await assert.rejects(posts.create({ views: "many" }), refused(400, "title"));
});

for (const part of ["pb.collection()", "pb.collections"])
  works(part, "decode", "what is read may be changed by the client's user", () => {
    const service = part === "pb.collection()" ? pb.collection("posts") : pb.collections;
    assert.deepEqual(service.decode({ id: "a" }), { id: "a" });
  });

works("pb.collection()", "getList getFullList getFirstListItem", "lists by page, whole, and their first", async () => {
  const posts = pb.collection("posts");
  const published = new Date("2026-03-02T07:15:00Z");
  for (let n = 0; n < 45; n += 1)
    await posts.create({ title: `Post ${String(n).padStart(2, "0")}`, views: n, published: new Date(published.getTime() + n * 86_400_000) });
  const page = await posts.getList(2, 10, { sort: "-views", filter: "views >= 5" });
  assert.deepEqual([page.page, page.perPage, page.totalItems, page.totalPages], [2, 10, 40, 4]);
  assert.deepEqual([page.items[0].views, page.items.length], [34, 10]);
  const quick = await posts.getList(1, 3, { skipTotal: true });
  assert.deepEqual([quick.totalItems, quick.totalPages, quick.items.length], [-1, -1, 3]);
  const all = await posts.getFullList({ batch: 10, sort: "views" });
  assert.deepEqual(
    all.map(({ views }) => views),
    Array.from({ length: 45 }, (_, n) => n),
  );
  assert.equal((await posts.getFirstListItem("views > 7", { sort: "views" })).views, 8);
  await assert.rejects(posts.getFirstListItem("views > 1000"), refused(404));
  await assert.rejects(posts.getList(1, 10, { filter: "views >" }), refused(400));
});

works("pb", "filter", "filters with parameters", async () => {
  const posts = pb.collection("posts");
  const quote = `a 'quoted' "title" \\ {:n}`;
  const made = await posts.create({ title: quote, views: -1.5 });
  const filter = pb.filter("title = {:title} && views = {:views}", { title: quote, views: -1.5 });
  assert.equal((await posts.getFirstListItem(filter)).id, made.id);
  const when = new Date("2026-03-04T00:00:00Z");
  const dated = await posts.getList(1, 1, { filter: pb.filter("published < {:when}", { when }), sort: "-views" });
  assert.equal(dated.items[0].views, 1);
  const some = pb.filter("meta = {:none} && title ~ {:words} && ({:yes} = true)", { none: null, words: "ost 1", yes: true });
  assert.equal((await posts.getList(1, 1, { filter: some })).totalItems, 10);
  await posts.delete(made.id);
});

works("pb.collection()", "authWithPassword authRefresh", "an account signs in and is renewed", async () => {
  const member = await pb.collection("members").create({ ...ADA, passwordConfirm: ADA.password, nick: "ada", verified: true });
  const user = another();
  const { record } = await user.collection("members").authWithPassword(ADA.email, ADA.password);
  const brief = await another().collection("members").authWithPassword(ADA.email, ADA.password, { fields: "token,record.nick" });
  assert.deepEqual([brief.record, Boolean(brief.token)], [{ nick: "ada" }, true]);
  assert.deepEqual([record.id, record.nick, user.authStore.record.id], [member.id, "ada", member.id]);
  assert.ok(user.authStore.isValid && !user.authStore.isSuperuser && !("password" in record));
  const before = user.authStore.token;
  const renewed = await user.collection("members").authRefresh();
  assert.ok(renewed.record.id === member.id && renewed.token && before);
  const post = await user.collection("posts").create({ title: "Hers", author: member.id });
  assert.equal(post.author, member.id);
  await assert.rejects(user.collections.getFullList(), refused(403));
  await assert.rejects(another().collection("posts").create({ title: "Nobody's" }), (error) => [400, 401, 403].includes(error.status));
});

works("pb.collection()", "getList getOne", "related records come with those that point at them", async () => {
  const user = another();
  await user.collection("members").authWithPassword(ADA.email, ADA.password);
  const post = await user.collection("posts").getFirstListItem("author.nick = 'ada'", { expand: "author" });
  assert.equal(post.expand.author.nick, "ada");
  const ada = await pb.collection("members").getOne(post.author, { expand: "posts_via_author" });
  assert.equal(ada.expand.posts_via_author[0].title, "Hers");
});

works("pb.collection()", "listAuthMethods", "the one way to sign in", async () => {
  const methods = await pb.collection("members").listAuthMethods();
  assert.equal(methods.password.enabled, true);
  assert.deepEqual([methods.oauth2.enabled, methods.otp.enabled, methods.mfa.enabled], [false, false, false]);
});

works("pb.collection()", "impersonate", "a superuser acts as another", async () => {
  const ada = await pb.collection("members").getFirstListItem(`email = '${ADA.email}'`);
  const as = await pb.collection("members").impersonate(ada.id, 60);
  assert.deepEqual([as.authStore.record.id, as.authStore.isValid], [ada.id, true]);
  assert.equal((await as.collection("members").getList()).items[0].id, ada.id);
  await assert.rejects(as.collections.getFullList(), refused(403));
});

works("pb.createBatch()", "collection send", "several writes, all or none", async () => {
  const batch = pb.createBatch();
  batch.collection("posts").create({ id: "batch-one", title: "First of a batch", views: 1 });
  batch.collection("posts").update("batch-one", { "views+": 1 });
  batch.collection("posts").upsert({ id: "batch-two", title: "Second of a batch" });
  batch.collection("posts").create({ title: "Gone at once", id: "batch-three" });
  batch.collection("posts").delete("batch-three");
  const results = await batch.send();
  assert.deepEqual(
    results.map(({ status }) => status),
    [201, 200, 201, 201, 204],
  );
  assert.equal(results[1].body.views, 2);
  const bad = pb.createBatch();
  bad.collection("posts").create({ id: "batch-four", title: "Not kept" });
  bad.collection("posts").create({ title: "" });
  await assert.rejects(bad.send(), (error) => {
    assert.equal(error.status, 400);
    assert.ok(error.response.data.requests["1"].response.data.title, JSON.stringify(error.response));
    return true;
  });
  await assert.rejects(pb.collection("posts").getOne("batch-four"), refused(404));
  for (const call of ["create", "update", "upsert", "delete"]) found["pb.createBatch().collection()"].works.add(call);
});

works("pb.collection()", "subscribe unsubscribe", "changes come as they are made, under the caller's rules", async () => {
  const user = another();
  await user.collection("members").authWithPassword(ADA.email, ADA.password);
  const [all, one, some, hidden] = [listener(), listener(), listener(), listener()];
  const posts = user.collection("posts");
  await posts.subscribe("*", all.hear);
  await posts.subscribe("live-1", one.hear, { fields: "id,views" });
  await posts.subscribe("*", some.hear, { filter: "views > 10", expand: "author" });
  await user.collection("members").subscribe("*", hidden.hear);
  await posts.create({ id: "live-1", title: "Live", views: 1, author: user.authStore.record.id });
  let event = await all.next();
  assert.deepEqual([event.action, event.record.title], ["create", "Live"]);
  event = await one.next();
  assert.deepEqual([event.action, event.record], ["create", { id: "live-1", views: 1 }]);
  await posts.update("live-1", { views: 11 });
  assert.equal((await all.next()).record.views, 11);
  assert.equal((await one.next()).record.views, 11);
  event = await some.next();
  assert.deepEqual([event.record.id, event.record.expand.author.nick], ["live-1", "ada"]);
  await posts.unsubscribe("live-1");
  await pb.collection("posts").delete("live-1");
  assert.equal((await all.next()).action, "delete");
  await pb.collection("members").update(user.authStore.record.id, { nick: "Ada" });
  assert.equal((await hidden.next()).record.nick, "Ada");
  await user.realtime.unsubscribe();
  assert.equal(user.realtime.isConnected, false);
});

works("pb.realtime", "subscribe unsubscribe unsubscribeByPrefix unsubscribeByTopicAndListener", "topics by name", async () => {
  const client = another();
  const [kept, left] = [listener(), listener()];
  await client.realtime.subscribe("posts/*", kept.hear);
  await client.realtime.subscribe("posts/*", left.hear);
  await client.realtime.subscribe("posts/other", left.hear);
  await client.realtime.unsubscribeByTopicAndListener("posts/*", left.hear);
  await client.realtime.unsubscribeByPrefix("posts/o");
  assert.ok(client.realtime.isConnected && client.realtime.clientId);
  await pb.collection("posts").create({ title: "Told", id: "told-1" });
  assert.equal((await kept.next()).record.id, "told-1");
  await client.realtime.unsubscribe("posts/*");
  assert.equal(client.realtime.isConnected, false);
});

works("pb.logs", "getList getOne getStats", "lines about requests", async () => {
  const deadline = Date.now() + PATIENCE_MS;
  let list = await pb.logs.getList(1, 5, { sort: "-created" });
  while (!list.items.length && Date.now() < deadline) list = await pb.logs.getList(1, 5, { sort: "-created" });
  const [line] = list.items;
  assert.ok(line.id && line.message && line.created && line.data, JSON.stringify(line));
  assert.equal((await pb.logs.getOne(line.id)).message, line.message);
  const stats = await pb.logs.getStats({ filter: "level >= 0" });
  assert.ok(stats.length && stats[0].total > 0 && stats[0].date, JSON.stringify(stats));
});

works("pb.backups", "create getFullList getDownloadURL getDownloadUrl upload delete", "made, listed, downloaded, sent back, removed", async () => {
  assert.equal(await pb.backups.create("by_client.backup"), true);
  const [backup] = await pb.backups.getFullList();
  assert.ok(backup.key && backup.size > 0 && backup.modified, JSON.stringify(backup));
  const token = await pb.files.getToken();
  let bytes;
  for (const url of [pb.backups.getDownloadURL(token, backup.key), pb.backups.getDownloadUrl(token, backup.key)]) {
    const answer = await fetch(url);
    assert.equal(answer.status, 200);
    bytes = await answer.arrayBuffer();
    assert.equal(bytes.byteLength, backup.size);
  }
  assert.equal(await pb.backups.delete(backup.key), true);
  assert.equal(await pb.backups.upload({ file: new File([bytes], backup.key) }), true);
  const [{ key, size }] = await pb.backups.getFullList();
  assert.deepEqual([key, size], [backup.key, backup.size]);
  await pb.backups.delete(key);
  assert.deepEqual(await pb.backups.getFullList(), []);
  found["pb.files"].works.add("getToken");
});

works("pb.backups", "restore", "the server goes back to what it was", async () => {
  const posts = pb.collection("posts");
  await posts.create({ id: "kept-1", title: "Kept" });
  await pb.backups.create("back.backup");
  const [{ key }] = await pb.backups.getFullList();
  await posts.delete("kept-1");
  assert.equal(await pb.backups.restore(key), true);
  const deadline = Date.now() + PATIENCE_MS;
  for (;;) {
    const title = await posts.getOne("kept-1").then(
      (record) => record.title,
      () => null,
    );
    if (title === "Kept") break;
    assert.ok(Date.now() < deadline, "it does not come back");
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
});

works("pb.crons", "getFullList run", "jobs with a schedule are listed and begun", async () => {
  const job = { name: "tidy_up", schedule: "0 3 * * *", source: { collection: "posts", filter: "views < 0" }, task: { delete: {} } };
  await pb.collection("_jobs").create(job);
  const cron = (await pb.crons.getFullList()).find(({ id }) => id === job.name);
  assert.deepEqual(cron, { id: job.name, expression: job.schedule });
  assert.equal(await pb.crons.run(job.name), true);
  await assert.rejects(pb.crons.run("nothing"), refused(404));
});

works("pb", "send collection createBatch autoCancellation cancelRequest cancelAllRequests", "requests by hand, and taken back", async () => {
  const health = await pb.send("/api/health", { query: { fields: "code" } });
  assert.equal(health.code, 200);
  const client = another();
  const twice = [client.collection("posts").getList(), client.collection("posts").getList()];
  await assert.rejects(twice[0], (error) => error.isAbort);
  await twice[1];
  for (const cancel of [() => client.cancelRequest("mine"), () => client.cancelAllRequests()]) {
    const asked = client.collection("posts").getList(1, 1, { requestKey: "mine" });
    cancel();
    await assert.rejects(asked, (error) => error.isAbort);
  }
});

works("pb", "buildURL buildUrl", "addresses", () => {
  assert.equal(pb.buildURL("/api/health"), `${server.base}/api/health`);
  assert.equal(pb.buildUrl("api/health"), `${server.base}/api/health`);
});

works("pb.authStore", "save clear onChange exportToCookie loadFromCookie", "what this server gives is kept as the client has it", async () => {
  const user = another();
  const told = [];
  const end = user.authStore.onChange((token) => told.push(token));
  await user.collection("members").authWithPassword(ADA.email, ADA.password);
  const cookie = user.authStore.exportToCookie();
  const same = another();
  same.authStore.loadFromCookie(cookie);
  assert.equal((await same.collection("members").authRefresh()).record.email, ADA.email);
  same.authStore.save(user.authStore.token, user.authStore.record);
  user.authStore.clear();
  end();
  assert.ok(told.length === 2 && told[1] === "" && !user.authStore.isValid && same.authStore.isValid);
});

test("a password that is changed ends its tokens", async () => {
  const user = another();
  await user.collection("members").authWithPassword(ADA.email, ADA.password);
  const password = "another horse 9";
  const { id } = user.authStore.record;
  await pb.collections.update("members", { updateRule: "id = @request.auth.id" });
  await user.collection("members").update(id, { oldPassword: ADA.password, password, passwordConfirm: password });
  await assert.rejects(user.collection("members").authRefresh(), refused(401));
  await user.collection("members").authWithPassword(ADA.email, password);
});

const members = () => pb.collection("members");
absent("pb.collection()", "authWithOAuth2Code", () => members().authWithOAuth2Code("x", "code", "verifier", "http://localhost"));
absent("pb.collection()", "authWithOTP", () => members().authWithOTP("otp", "123456"));
absent("pb.collection()", "requestOTP", () => members().requestOTP(ADA.email));
absent("pb.collection()", "requestPasswordReset", () => members().requestPasswordReset(ADA.email));
absent("pb.collection()", "confirmPasswordReset", () => members().confirmPasswordReset("t", "12345678", "12345678"));
absent("pb.collection()", "requestVerification", () => members().requestVerification(ADA.email));
absent("pb.collection()", "confirmVerification", () => members().confirmVerification(unsigned({ id: "x" })));
absent("pb.collection()", "requestEmailChange", () => members().requestEmailChange("new@example.com"));
absent("pb.collection()", "confirmEmailChange", () => members().confirmEmailChange(unsigned({ id: "x" }), "12345678"));
absent("pb.collection()", "listExternalAuths", () => members().listExternalAuths("x"));
absent("pb.collection()", "unlinkExternalAuth", () => members().unlinkExternalAuth("x", "y"));
absent("pb.collections", "getScaffolds", () => pb.collections.getScaffolds());
absent("pb.collections", "getAllOAuth2Providers", () => pb.collections.getAllOAuth2Providers());
absent("pb.collections", "dryRunViewQuery", () => pb.collections.dryRunViewQuery("SELECT 1"));
absent("pb.logs", "truncate", () => pb.logs.truncate());
absent("pb.settings", "getAll", () => pb.settings.getAll());
absent("pb.settings", "update", () => pb.settings.update({}));
absent("pb.settings", "testS3", () => pb.settings.testS3());
absent("pb.settings", "testEmail", () => pb.settings.testEmail("members", "a@example.com", "verification"));
absent("pb.settings", "generateAppleClientSecret", () => pb.settings.generateAppleClientSecret("a", "b", "c", "d", 1));
absent("pb.sql", "run", () => pb.sql.run("SELECT 1"));

// It looks the provider up among the ways to sign in, and sends nothing where it isn't one.
absent("pb.collection()", "authWithOAuth2", () => members().authWithOAuth2({ provider: "google", urlCallback: () => {} }), [0]);
const record = { id: "a", collectionId: "b", collectionName: "posts" };
noFile("pb.files", "getURL", () => pb.files.getURL(record, "name.png"));
noFile("pb.files", "getUrl", () => pb.files.getUrl(record, "name.png"));
noFile("pb", "getFileUrl", () => pb.getFileUrl(record, "name.png"));

/** A token that nobody has signed: the client reads into it before it sends it. */
function unsigned(claims) {
  const part = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
  return `${part({ alg: "HS256" })}.${part({ ...claims, exp: 4_000_000_000 })}.x`;
}

/** The public calls of each of the client's classes, as its types declare them. */
async function declared() {
  const entry = createRequire(import.meta.url).resolve("pocketbase");
  const text = await readFile(entry.replace(/[^/]+$/, "pocketbase.es.d.mts"), "utf8");
  const classes = {};
  for (const [, name, above, body] of text.matchAll(
    /^declare (?:abstract )?class (\w+)(?:<[^{]*?>)?(?: extends (\w+)(?:<[^{]*?>)?)? \{\n([^]*?)^\}/gm,
  )) {
    const calls = [...body.matchAll(/^ {4}(\w+)(?:<[^(]*>)?\(/gm)].map(([, call]) => call);
    classes[name] = { above, calls: calls.filter((call) => call !== "constructor") };
  }
  const all = (name) => (classes[name] ? [...all(classes[name].above), ...classes[name].calls] : []);
  return Object.fromEntries(Object.entries(PARTS).map(([part, name]) => [part, new Set(all(name))]));
}

const listed = (calls) => [...calls].sort().map((call) => `\`${call}\``).join(", ");

test("README.md has of each call of the client whether it works here", async () => {
  const rows = [];
  for (const [part, calls] of Object.entries(await declared())) {
    assert.ok(calls.size, `${part} has calls`);
    const { works, absent } = found[part];
    const untold = new Set([...calls].filter((call) => !works.has(call) && !absent.has(call)));
    const both = [...works].filter((call) => absent.has(call));
    assert.deepEqual([[...untold], both], [[], []], `${part}: neither or both`);
    for (const call of [...works, ...absent]) assert.ok(calls.has(call), `${part} has no ${call} any more`);
    rows.push(`| \`${part}\` | ${listed(works)} | ${listed(absent)} |`);
  }
  const version = createRequire(import.meta.url)("./package.json").devDependencies.pocketbase;
  const wanted = `| pocketbase ${version} | works | is not here |\n|---|---|---|\n${rows.join("\n")}\n`;
  const readme = await readFile(new URL("../../README.md", import.meta.url), "utf8");
  const table = readme.match(/<!-- client: .*? -->\n([^]*?)<!-- end of client -->/)?.[1];
  assert.equal(table, wanted, `README.md's table has to be:\n${wanted}`);
});
