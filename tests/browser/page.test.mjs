// From the first run to working with records: what a newcomer does, in one server's life.
import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { close, EMAIL, isAccessible, openPage, PASSWORD, startBrowser, startServer, visit } from "./support.mjs";

let server;
let browser;
before(async () => {
  [server, browser] = await Promise.all([startServer(), startBrowser()]);
});
after(async () => {
  await browser?.close();
  await server?.stop();
});

/** Signs in by the form. */
async function signedIn() {
  const page = await openPage(browser, server);
  await page.goto("/_/");
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Password").fill(PASSWORD);
  await page.keyboard.press("Enter");
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  return page;
}

test("the printed link makes the first superuser, once", async () => {
  const page = await openPage(browser, server);
  await page.goto(server.setup);
  await isAccessible(page, "first run");
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await page.getByLabel("Password once more").fill("something else");
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByText("is not the same password").waitFor();
  await page.getByLabel("Password once more").fill(PASSWORD);
  await page.getByRole("button", { name: "Begin" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  assert.ok(!page.url().includes("setup"), "the token has left the address");
  assert.equal(await page.evaluate(() => localStorage.getItem("millpond-token")), null, "the token ends with the tab");
  await close(page);

  const second = await openPage(browser, server);
  await second.goto(server.setup);
  await second.getByLabel("E-mail address").fill("eve@example.com");
  await second.getByLabel("Password", { exact: true }).fill(PASSWORD);
  await second.getByLabel("Password once more").fill(PASSWORD);
  await second.getByRole("button", { name: "Begin" }).click();
  await second.getByText("the link is not good").waitFor();
  await close(second);
  await server.signIn();
});

test("a wrong password is refused, and the right one lets in", async () => {
  const page = await openPage(browser, server);
  await page.goto("/_/");
  await isAccessible(page, "sign-in");
  await page.getByLabel("E-mail address").fill(EMAIL);
  await page.getByLabel("Password").fill("wrong horse 7");
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("alert").filter({ hasText: /\S/ }).waitFor();
  await page.getByLabel("Password").fill(PASSWORD);
  await page.getByRole("button", { name: "Sign in" }).click();
  await page.getByRole("heading", { name: "Overview" }).waitFor();
  await page.getByRole("button", { name: "Sign out" }).click();
  await page.getByRole("heading", { name: "Sign in" }).waitFor();
  await close(page);
});

test("a collection is defined; the server's faults stand at their places before anything is saved", async () => {
  const page = await signedIn();
  await page.getByRole("link", { name: "New collection" }).click();
  await page.getByRole("heading", { name: "New collection" }).waitFor();
  await page.getByLabel("Name", { exact: true }).fill("books");
  await page.getByRole("button", { name: "Add a field" }).click();
  await page.getByLabel("Name of field 3").fill("pages");
  await page.getByLabel("Type of").nth(2).selectOption("number");
  await page.getByRole("button", { name: "Settings of pages" }).click();
  await page.getByLabel("At least").fill("1");

  await page.getByRole("tab", { name: "Rules" }).click();
  const list = page.getByRole("region", { name: "List and search" });
  await list.getByRole("radio", { name: "By a rule" }).check();
  await list.getByRole("textbox").fill("pages > 1 && colour = 'red'");
  await page.getByRole("button", { name: "Column 14" }).waitFor();
  await isAccessible(page, "a definition with a fault");
  await page.getByRole("button", { name: "Column 14" }).click();
  const picked = await list
    .getByRole("textbox")
    .evaluate((area) => area.value.slice(area.selectionStart, area.selectionEnd));
  assert.equal(picked, "colour");
  await list.getByRole("textbox").fill("pages > 1");
  await page.getByText("It is valid, and new.").waitFor();

  await page.getByRole("tab", { name: "Indexes" }).click();
  await page.getByRole("button", { name: "Add an index" }).click();
  await page.getByLabel("Add a field to the index").selectOption("name");
  await page.getByLabel("Unique").check();
  await page.getByText("It is valid, and new.").waitFor();
  await page.getByRole("button", { name: "Create" }).click();
  await page.getByRole("heading", { name: "books" }).waitFor();

  const made = await server.api("GET", "/api/collections/books");
  assert.deepEqual(
    made.fields.map(({ name, type }) => [name, type]),
    [
      ["name", "text"],
      ["created", "autodate"],
      ["pages", "number"],
    ],
  );
  assert.equal(made.listRule, "pages > 1");
  assert.deepEqual(
    made.indexes.map(({ fields, unique }) => [fields, unique]),
    [[["name"], true]],
  );
  await close(page);
});

test("a form fails on the client without asking the server, then on the server, then holds", async () => {
  await server.api("POST", "/api/collections/books/records", { name: "Walden", pages: 352 });
  const page = await signedIn();
  await visit(page, "#collections/books", "books");
  const writes = [];
  page.on("request", (request) => {
    if (request.method() === "POST" && request.url().includes("/books/records")) writes.push(request.url());
  });
  await page.getByRole("button", { name: "New record" }).first().click();
  const form = page.getByRole("dialog");
  await form.getByLabel("pages").fill("0");
  await form.getByRole("button", { name: "Create" }).click();
  await form.getByText("is required").waitFor();
  await form.getByText("must be at least 1").waitFor();
  assert.equal(await form.getByRole("textbox", { name: /^name/ }).getAttribute("aria-invalid"), "true");
  assert.equal(
    await page.evaluate(() => document.activeElement.closest("[data-field]")?.dataset.field),
    "name",
    "the first fault has the focus",
  );
  assert.deepEqual(writes, [], "nothing was sent");
  await isAccessible(page, "a form with faults");

  await form.getByRole("textbox", { name: /^name/ }).fill("Walden");
  await form.getByLabel("pages").fill("200");
  await form.getByRole("button", { name: "Create" }).click();
  await form.getByText("must be unique").waitFor();
  assert.equal(writes.length, 1);

  await form.getByRole("textbox", { name: /^name/ }).fill("The Pond");
  await form.getByRole("button", { name: "Create" }).click();
  await page.getByRole("cell", { name: "The Pond" }).waitFor();
  assert.equal(await page.getByRole("dialog").count(), 0);
  await close(page);
});

test("a change that somebody else was faster with is not lost unseen", async () => {
  const page = await signedIn();
  const { id } = await server.api("POST", "/api/collections/books/records", { name: "Contested", pages: 10 });
  await visit(page, `#collections/books/${id}`, "books");
  const form = page.getByRole("dialog");
  await form.getByLabel("pages").fill("11");
  await server.api("PATCH", `/api/collections/books/records/${id}`, { pages: 99 });
  await form.getByRole("button", { name: "Save" }).click();
  await form.getByText("Somebody changed this record meanwhile").waitFor();
  assert.equal((await server.api("GET", `/api/collections/books/records/${id}`)).pages, 99);
  await form.getByRole("button", { name: "Load theirs" }).click();
  await form.locator("input.number").and(form.getByLabel("pages")).waitFor();
  assert.equal(await form.getByLabel("pages").inputValue(), "99");
  await form.getByLabel("pages").fill("12");
  await form.getByRole("button", { name: "Save" }).click();
  await page.getByRole("dialog").waitFor({ state: "detached" });
  assert.equal((await server.api("GET", `/api/collections/books/records/${id}`)).pages, 12);
  await close(page);
});

test("the live view shows a change as it is written", async () => {
  const page = await signedIn();
  await visit(page, "#live?of=books", "Live");
  await page.getByText("live", { exact: true }).waitFor();
  await server.api("POST", "/api/collections/books/records", { id: "lively", name: "Lively", pages: 5 });
  const events = page.getByRole("list", { name: "Changes, newest first" });
  await events.getByText("books/lively").waitFor();
  await isAccessible(page, "the live view");
  await server.api("PATCH", "/api/collections/books/records/lively", { pages: 6 });
  await server.api("DELETE", "/api/collections/books/records/lively");
  await events.getByText("delete", { exact: true }).waitFor();
  assert.deepEqual(await events.locator(".event-kind").allTextContents(), ["delete", "update", "create"]);
  await page.getByLabel("Filter").fill("pages >");
  await page.getByLabel("Filter").press("Enter");
  await page.getByRole("alert").filter({ hasText: "Column" }).waitFor();
  await close(page);
});
