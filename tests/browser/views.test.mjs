// Every view of the page over real data: its accessibility in both themes, its width on a phone, the keyboard; and the
// works on many records.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { after, before, test } from "node:test";
import { close, fitsItsWidth, isAccessible, openPage, startBrowser, startServer, visit } from "./support.mjs";

let server;
let browser;
let signedIn;
const VIEWS = [
  ["#", "Overview"],
  ["#collections", "Collections"],
  ["#collections/orders", "orders"],
  ["#collections/products?filter=price+%3E+3&sort=-price", "products"],
  ["#new", "New collection"],
  ["#define/orders", "Definition of orders"],
  ["#define/orders?tab=indexes", "Definition of orders"],
  ["#define/orders?tab=rules", "Definition of orders"],
  ["#define/orders?tab=checks", "Definition of orders"],
  ["#define/orders?tab=output", "Definition of orders"],
  ["#define/orders?tab=json", "Definition of orders"],
  ["#live", "Live"],
  ["#handlers", "Handlers"],
  ["#jobs", "Jobs"],
  ["#access", "Users & keys"],
  ["#cache", "Cache"],
  ["#logs", "Logs"],
  ["#nowhere", "Nothing here"],
];

before(async () => {
  [server, browser] = await Promise.all([startServer("--request-log-level", "debug"), startBrowser()]);
  signedIn = await server.prepare();
  const shop = new URL("../../data/shop/", import.meta.url);
  const json = async (name) => JSON.parse(await readFile(new URL(name, shop), "utf8"));
  for (const definition of await json("collections.json")) await server.api("POST", "/api/collections", definition);
  await server.api("POST", "/api/collections/users/records", {
    id: "ada",
    name: "Ada Miller",
    email: "ada@example.com",
    home: { lon: 12.5, lat: 55.6 },
  });
  for (let at = 0; at < 60; at += 1)
    await server.api("POST", "/api/collections/products/records", {
      id: `p${at}`,
      name: `Bread ${at}`,
      price: at,
      kind: "bread",
      labels: ["rye"],
      story: "<p>Baked</p>",
    });
  await server.api("POST", "/api/collections/orders/records", {
    id: "o1",
    user: "ada",
    items: ["p1", "p2", "p3", "p4"],
    status: "paid",
    total: 6,
  });
  await server.api("POST", "/api/collections", {
    name: "members",
    type: "auth",
    fields: [{ name: "nick", type: "text" }],
  });
  await server.api("POST", "/api/collections/_handlers/records", {
    name: "audit",
    kind: "collection",
    collections: ["users"],
    target: "products",
    set: { name: "name", price: "1", kind: "'bread'" },
    enabled: false,
  });
  await server.api("POST", "/api/collections/_jobs/records", {
    name: "prices",
    source: { collection: "products", filter: "price > 3" },
    task: { aggregate: { group: { kind: "kind" }, values: { mean: "avg(price)" } } },
    schedule: "0 4 * * SUN",
    timeZone: "Europe/Copenhagen",
  });
  await server.api("POST", "/api/jobs/prices/run");
  await server.api("POST", "/api/collections/_apiKeys/records", {
    name: "reader",
    collections: ["orders"],
    actions: ["list"],
  });
  // Views that a server shows once it has what they are about.
  for (const [path, place, heading] of [
    ["/api/replication", "#followers", "Followers"],
    ["/api/backups", "#backups", "Backups"],
  ])
    if ((await server.ask("GET", path)).status !== 404) VIEWS.push([place, heading]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

for (const colorScheme of ["light", "dark"])
  test(`every view is accessible, ${colorScheme}`, async () => {
    const page = await openPage(browser, server, { signedIn, colorScheme });
    for (const [place, heading] of VIEWS) {
      await visit(page, place, heading);
      await isAccessible(page, `${place} in ${colorScheme}`);
    }
    await visit(page, "#collections/orders/o1", "orders");
    await page.getByRole("button", { name: "Remove Ada Miller" }).waitFor();
    await isAccessible(page, "a record");
    await page.getByRole("tab", { name: "JSON" }).click();
    await isAccessible(page, "a record as JSON");
    await close(page);
  });

test("every view fits a phone, and its menu leads everywhere", async () => {
  const page = await openPage(browser, server, { signedIn, viewport: { width: 360, height: 740 } });
  for (const [place, heading] of VIEWS) {
    await visit(page, place, heading);
    await fitsItsWidth(page, place);
  }
  await page.getByRole("button", { name: "Menu" }).click();
  await isAccessible(page, "the menu");
  await page.getByRole("dialog").getByRole("link", { name: "Logs" }).click();
  await page.getByRole("heading", { name: "Logs" }).waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
  await close(page);
});

test("the reference of the API has the collections, and every call of it opens", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await openPage(browser, server, { signedIn, colorScheme });
    await page.goto("/api/docs#orders_createRecord");
    const call = page.locator("#orders_createRecord");
    await call.getByText("a paid order needs a total").waitFor({ state: "attached" });
    assert.ok(
      await call.getByRole("region", { name: "Body of POST /api/collections/orders/records", exact: true }).isVisible(),
    );
    await isAccessible(page, `the reference, ${colorScheme}`);
    await page.getByLabel("Find a call").first().fill("batch");
    await page.locator("#orders_createRecord").waitFor({ state: "hidden" });
    await close(page);
  }
  const phone = await openPage(browser, server, { viewport: { width: 360, height: 740 } });
  await phone.goto("/api/docs");
  await phone.getByRole("heading", { name: "API", exact: true }).waitFor();
  assert.equal(await phone.locator("#orders_createRecord").count(), 0, "nobody is told of collections");
  for (const call of await phone.locator("details.call").all()) await call.evaluate((element) => (element.open = true));
  await fitsItsWidth(phone, "the reference");
  await close(phone);
});

test("Back closes a record; what was typed is asked about first", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#collections/orders", "orders");
  await page.getByRole("link", { name: "o1", exact: true }).click();
  await page.getByRole("button", { name: "Remove Ada Miller" }).waitFor();
  await page.goBack();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  await page.getByRole("link", { name: "o1", exact: true }).click();
  await page.getByRole("dialog").getByLabel("note").fill("typed");
  await page.goBack();
  await page.getByRole("alertdialog").getByRole("button", { name: "Cancel" }).click();
  assert.equal(await page.getByRole("dialog").getByLabel("note").inputValue(), "typed");
  await page.keyboard.press("Escape");
  await page.getByRole("alertdialog").getByRole("button", { name: "Discard" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal((await server.api("GET", "/api/collections/orders/records/o1?fields=note")).note, null);
  await close(page);
});

test("a dialog keeps the focus, Escape ends it, and the focus goes back", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#collections/orders", "orders");
  const button = page.getByRole("button", { name: "New record" });
  await button.focus();
  await page.keyboard.press("Enter");
  await page.getByRole("dialog").waitFor();
  for (let presses = 0; presses < 40; presses += 1) {
    await page.keyboard.press("Tab");
    const isOutside = await page.evaluate(
      () => document.activeElement !== document.body && !document.activeElement.closest("dialog"),
    );
    assert.ok(!isOutside, `press ${presses}`);
  }
  await page.keyboard.press("Escape");
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.ok(await button.evaluate((element) => element === document.activeElement));
  await close(page);
});

test("a relation is picked by typing, with the keyboard alone", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#collections/orders", "orders");
  await page.getByRole("button", { name: "New record" }).click();
  const form = page.getByRole("dialog");
  await form.getByRole("combobox", { name: /user/ }).focus();
  await page.keyboard.type("mill");
  await form.getByRole("option", { name: /Ada Miller/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await form.getByRole("button", { name: "Remove Ada Miller" }).waitFor();
  await form.getByRole("combobox", { name: /items/ }).focus();
  await page.keyboard.type("Bread 42");
  await form.getByRole("option", { name: /Bread 42/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await form.getByLabel("status").selectOption("paid");
  await form.getByRole("button", { name: "Create" }).click();
  await form.getByText("a paid order needs a total").waitFor();
  await form.getByLabel("total").fill("42");
  await form.getByRole("button", { name: "Create" }).click();
  await page.getByRole("cell", { name: "Bread 42" }).waitFor();
  const { items } = await server.api(
    "GET",
    "/api/collections/orders/records?fields=user,items,total&embed=&sort=-created",
  );
  assert.deepEqual(items[0], { user: "ada", items: ["p42"], total: 42 });
  await close(page);
});

test("a table goes on by pages, is filtered and put in order, and many records go at once", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#collections/products", "products");
  const rows = page.locator("tbody tr");
  assert.equal(await rows.count(), 50);
  await page.getByRole("button", { name: "Next" }).click();
  await page.getByText("51 to 60").waitFor();
  assert.equal(await rows.count(), 10);
  await page.getByRole("button", { name: "price" }).click();
  await page.locator('th[aria-sort="ascending"]').waitFor();
  await page.getByRole("button", { name: "price" }).click();
  await page.locator('th[aria-sort="descending"]').waitFor();
  await rows.first().getByText("Bread 59").waitFor();
  await page.getByLabel("Filter").fill("price >> 3");
  await page.getByRole("alert").filter({ hasText: "Column 8" }).waitFor();
  await page.getByLabel("Filter").fill("price > 54");
  await page.getByText("5 records").waitFor();
  await page.getByLabel("Choose all of this page").check();
  await page.getByRole("button", { name: "Delete" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("No record meets the filter.").waitFor();
  const { totalItems } = await server.api("GET", "/api/collections/products/records?perPage=1");
  assert.equal(totalItems, 55);
  await close(page);
});

test("an import tells what it refused, and an export gives all of it back", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#collections/users", "users");
  await page.getByRole("button", { name: "Import" }).click();
  await page
    .getByLabel("or lines")
    .fill('{"name": "Bo", "email": "bo@example.com"}\n{"name": "Bad", "email": "none"}\n');
  await page.getByRole("dialog").getByRole("button", { name: "Import" }).click();
  await page.getByText("1 created, 0 replaced, 1 refused.").waitFor();
  await page.getByRole("region", { name: "Refused lines" }).getByText(/email/).waitFor();
  await isAccessible(page, "an import's end");
  await page.getByRole("dialog").getByRole("button", { name: "Close" }).last().click();
  await page.getByRole("cell", { name: "Bo", exact: true }).waitFor();
  await page.getByRole("button", { name: "Export" }).click();
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    page.getByRole("dialog").getByRole("button", { name: "Export" }).click(),
  ]);
  const lines = (await readFile(await download.path(), "utf8"))
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).name);
  assert.deepEqual(lines.sort(), ["Ada Miller", "Bo"]);
  await close(page);
});

test("which part of a rule fails is told for a caller", async () => {
  await server.api("PATCH", "/api/collections/products", { viewRule: "@request.auth.id != '' && price >= 0" });
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#define/products?tab=rules", "Definition of products");
  await page.getByRole("button", { name: "May this caller" }).click();
  const dialog = page.getByRole("dialog");
  await dialog.getByRole("combobox", { name: "Which record" }).fill("Bread 7");
  await dialog.getByRole("option", { name: /Bread 7/ }).waitFor();
  await page.keyboard.press("ArrowDown");
  await page.keyboard.press("Enter");
  await dialog.getByRole("button", { name: "Ask" }).click();
  await dialog.getByText(/^No: /).waitFor();
  const parts = dialog.locator(".parts .parts > li > .row");
  assert.deepEqual(await parts.allTextContents(), ["fails@request.auth.id != ''", "holdsprice >= 0"]);
  await isAccessible(page, "why a caller may not");
  await close(page);
});

test("a key is shown once, a handler is switched on, and a definition keeps what isn't touched", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#access", "Users & keys");
  await page.getByRole("button", { name: "New key" }).click();
  await page.getByRole("dialog").getByRole("textbox", { name: /^name/ }).fill("ci");
  await page.getByRole("button", { name: "Create" }).click();
  const key = await page.getByLabel("Authorization").inputValue();
  assert.match(key, /^mp_/);
  const asked = await fetch(`${server.base}/api/collections`, { headers: { Authorization: key } });
  assert.equal(asked.status, 200);
  await page.getByRole("button", { name: "I have it" }).click();
  await page.getByRole("rowheader", { name: "ci" }).waitFor();

  await visit(page, "#handlers", "Handlers");
  await page.getByText("not enabled").waitFor();
  await page.getByRole("switch", { name: "audit is enabled" }).check();
  await page.getByText("up to date").waitFor();

  const before = await server.api("GET", "/api/collections/members");
  await visit(page, "#define/members", "Definition of members");
  await page.getByLabel("Name", { exact: true }).fill("people");
  await page.getByText("Changes: renamed to people.").waitFor();
  await page.getByRole("button", { name: "Save" }).click();
  await page.getByRole("heading", { name: "Definition of people" }).waitFor();
  const after = await server.api("GET", "/api/collections/people");
  assert.deepEqual({ ...after, name: "members", updated: "" }, { ...before, updated: "" });
  await close(page);
});
