// Jobs: defined in the form, with what is at fault at its field, whoever finds it; run, seen to come along, and cancelled.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createServer } from "node:http";
import { after, before, test } from "node:test";
import { close, fitsItsWidth, isAccessible, openPage, startBrowser, startServer, visit } from "./support.mjs";

const ITEMS = 3_000;
const JOBS = "/api/collections/_jobs/records";
const SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX";

let server;
let browser;
let signedIn;
/** Takes each message, and answers when it is told to. */
let receiver;
const held = [];
const release = () => held.splice(0).forEach((response) => response.end());

before(async () => {
  [server, browser] = await Promise.all([startServer("--webhook-private-addresses"), startBrowser()]);
  signedIn = await server.prepare();
  receiver = createServer((request, response) => {
    request.resume();
    held.push(response);
  });
  await new Promise((resolve) => receiver.listen(0, "127.0.0.1", resolve));
  const text = (name) => ({ name, type: "text" });
  await server.api("POST", "/api/collections", {
    name: "items",
    fields: [{ name: "n", type: "number", integer: true, max: 10_000 }, text("kind")],
    indexes: [{ name: "kind", fields: ["kind"] }],
  });
  await server.api("POST", "/api/collections", {
    name: "report",
    fields: [text("kind"), { name: "total", type: "number" }],
    indexes: [{ name: "kind", fields: ["kind"], unique: true }],
  });
  const line = (_, n) => JSON.stringify({ id: `i${String(n).padStart(6, "0")}`, n, kind: `k${n % 3}` });
  const imported = await fetch(`${server.base}/api/collections/items/import`, {
    method: "POST",
    headers: { Authorization: signedIn.token, "Content-Type": "application/x-ndjson" },
    body: Array.from({ length: ITEMS }, line).join("\n"),
  });
  assert.equal(imported.status, 200);
});
after(async () => {
  release();
  receiver?.close();
  await browser?.close();
  await server?.stop();
});

const define = (name, more) => server.api("POST", JOBS, { name, source: { collection: "items" }, ...more });
const jobCard = (page, name) => page.getByRole("article", { name });
const runOf = (page, name) => page.locator(`[data-run][data-job="${name}"]`).first();
const run = (page, name) => page.getByRole("button", { name: `Run now: ${name}` }).click();
/** The fault that an input is described by. */
const faultOf = async (input) => {
  const ids = (await input.getAttribute("aria-describedby")).split(" ");
  return input
    .page()
    .locator(`#${ids.at(-1)}`)
    .innerText();
};

test("a job is defined in the form, and what is at fault is told at its field by whoever finds it", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#jobs", "Jobs");
  await page.getByRole("button", { name: "New job" }).first().click();
  const form = page.getByRole("dialog", { name: "New job" });
  const send = form.getByRole("button", { name: "Create" });
  const asked = [];
  page.on("request", (request) => request.method() === "POST" && asked.push(request.url()));

  // What the published schema says of it, and what can't be read, is told before anything is sent.
  const name = form.getByRole("textbox", { name: /^name/ });
  await name.fill("no spaces please");
  await form.getByRole("textbox", { name: /^chunk/ }).fill("20000");
  await form.getByLabel("Fields to write: field 1").fill("n");
  await send.click();
  assert.match(await faultOf(name), /must match/);
  assert.match(await faultOf(form.getByRole("textbox", { name: /^chunk/ })), /at most 10000/);
  assert.equal(await faultOf(form.getByLabel("Fields to write: expression 1")), "needs an expression");
  await form.getByText("is required").waitFor();
  assert.deepEqual(asked, [], "nothing was sent");
  await isAccessible(page, "a job's form with faults of the client");

  // What only the server knows.
  await name.fill("raise");
  await form.getByRole("textbox", { name: /^chunk/ }).fill("500");
  await form.getByLabel("Collection").selectOption("items");
  assert.ok(await form.locator("datalist option[value=kind]").count(), "fields of the source are suggested");
  await form.getByLabel("Only those where").fill("n >");
  await form.getByLabel("Fields to write: expression 1").fill("m + 1");
  await form.getByRole("textbox", { name: /^schedule/ }).fill("61 * * * *");
  await form.getByRole("combobox", { name: /^timeZone/ }).waitFor();
  await send.click();
  await form.getByText(/is no cron expression/).waitFor();
  assert.match(await faultOf(form.getByRole("textbox", { name: /^schedule/ })), /is no cron expression/);
  assert.match(await faultOf(form.getByLabel("Only those where")), /^Column \d+: /);
  await form.getByLabel("Only those where").fill("n >= 0");
  await form.getByRole("textbox", { name: /^schedule/ }).fill("0 3 1 1 *");
  await send.click();
  const written = form.getByLabel("Fields to write: expression 1");
  await form.getByRole("button", { name: "Column 1" }).waitFor();
  assert.match(await faultOf(written), /^Column 1: .*m/);
  assert.equal(await written.getAttribute("aria-invalid"), "true");
  assert.ok(await written.evaluate((element) => element === document.activeElement), "the fault has the focus");
  await isAccessible(page, "a job's form with a fault of the server");
  await written.fill("n + 1");
  await form.getByRole("combobox", { name: /^timeZone/ }).fill("Europe/Berlin");
  await send.click();
  await jobCard(page, "raise").getByText("0 3 1 1 *").waitFor();
  const { items } = await server.api("GET", `${JOBS}?filter=name='raise'&fields=*`);
  assert.deepEqual(
    [items[0].source, items[0].task, items[0].chunk, items[0].schedule, items[0].timeZone, items[0].store],
    [{ collection: "items", filter: "n >= 0" }, { update: { n: "n + 1" } }, 500, "0 3 1 1 *", "Europe/Berlin", null],
  );
  await close(page);
});

test("a run is begun by hand, and its end is seen without asking for it", async () => {
  const page = await openPage(browser, server, { signedIn });
  await server.api("PATCH", "/api/collections/items/records/i000010", { n: 10_000 });
  await visit(page, "#jobs", "Jobs");
  await page.getByText("live", { exact: true }).waitFor();
  await run(page, "raise");
  const item = runOf(page, "raise");
  await item.getByText("done", { exact: true }).waitFor();
  await item.getByText("2,999 of 3,000 done, 1 refused").waitFor();
  const bar = item.getByRole("progressbar", { name: "Progress of raise" });
  assert.equal(await bar.getAttribute("aria-valuenow"), "100");
  await item.getByText("Why 1 was refused").click();
  await item.getByRole("cell", { name: "i000010" }).waitFor();
  await jobCard(page, "raise").getByText("done", { exact: true }).waitFor();
  await page.locator("[role=status]", { hasText: "The run of raise: done" }).waitFor();
  await isAccessible(page, "a run with a fault");
  // A run that another begins shows up, too.
  await server.api("POST", "/api/jobs/raise/run");
  await page.locator('[data-run][data-job="raise"]').nth(1).waitFor();
  await close(page);
});

test("a slow run's progress is seen as it comes along; it runs once at a time, and ends when it is cancelled", async () => {
  const url = `http://127.0.0.1:${receiver.address().port}/in`;
  await define("send", { task: { webhook: { url, timeout: 15 } }, secret: SECRET, chunk: 1_000, parallel: 1 });
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#jobs", "Jobs");
  const item = runOf(page, "send");
  const bar = item.getByRole("progressbar");
  const running = item.getByText("running", { exact: true });
  // The answer, that it waits for its turn, comes when the stream has told more.
  await page.route("**/api/jobs/send/run", async (route) => {
    const response = await route.fetch();
    await running.waitFor();
    await route.fulfill({ response });
  });
  const answered = page.waitForResponse("**/api/jobs/send/run");
  await run(page, "send");
  await (await answered).finished();
  await page.locator('button:enabled[aria-label="Run now: send"]').waitFor();
  assert.equal(await running.count(), 1, "it is not put back");
  await page.unroute("**/api/jobs/send/run");
  await item.getByText("0 of 3,000 done").waitFor();
  for (const done of ["1,000", "2,000"]) {
    while (!held.length) await new Promise((resolve) => setTimeout(resolve, 20));
    release();
    await item.getByText(`${done} of 3,000 done`).waitFor();
  }
  assert.equal(await bar.getAttribute("aria-valuenow"), "67");
  await jobCard(page, "send").getByRole("progressbar").waitFor();
  await isAccessible(page, "a run under way");
  await run(page, "send");
  await page.locator("#toasts", { hasText: "a run of the job is under way" }).waitFor();
  await item.getByRole("button", { name: "Cancel the run of send" }).focus();
  await page.keyboard.press("Enter");
  await item.getByText("cancelled", { exact: true }).waitFor();
  await item.getByText("2,000 of 3,000 done").waitFor();
  assert.equal(await item.getByRole("button", { name: "Cancel" }).count(), 0);
  assert.ok(await item.evaluate((element) => element.contains(document.activeElement)), "the focus is not lost");
  await close(page);
});

test("a report shows its rows, and an export is fetched", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#jobs", "Jobs");
  await page.getByRole("button", { name: "New job" }).first().click();
  const form = page.getByRole("dialog", { name: "New job" });
  await form.getByRole("textbox", { name: /^name/ }).fill("totals");
  await form.getByLabel("Collection").selectOption("items");
  await form.getByLabel("What is done").selectOption("aggregate");
  await form.getByLabel("Group by: name 1").fill("kind");
  await form.getByLabel("Group by: expression 1").fill("kind");
  await form.getByLabel("Values: name 1").fill("total");
  await form.getByLabel("Values: expression 1").fill("sum(n)");
  await form.getByLabel("Order").fill("kind");
  await form.getByLabel("Into").selectOption("report");
  await form.getByLabel("Replaces the record").selectOption("kind");
  await form.getByRole("button", { name: "Create" }).click();
  await run(page, "totals");
  const report = runOf(page, "totals");
  await report.getByText("Result: 3 rows, 3 stored").waitFor();
  await report.getByRole("cell", { name: "k2" }).waitFor();
  const { items } = await server.api("GET", "/api/collections/report/records?sort=kind&fields=kind,total");
  assert.deepEqual(
    await report.locator("tbody tr").allInnerTexts(),
    items.map(({ kind, total }) => `${kind}\t${total}`),
  );

  await define("copy", { source: { collection: "items", filter: "kind = 'k1'" }, task: { export: { format: "csv" } } });
  await jobCard(page, "copy").waitFor();
  await run(page, "copy");
  const [download] = await Promise.all([
    page.waitForEvent("download"),
    runOf(page, "copy").getByRole("button", { name: "Fetch the file of copy" }).click(),
  ]);
  assert.match(download.suggestedFilename(), /^copy-.*\.csv$/);
  assert.equal((await readFile(await download.path(), "utf8")).trim().split("\n").length, 1_001);
  await page.getByLabel("Runs of which job").selectOption("copy");
  await page.getByRole("heading", { name: "Runs (1)" }).waitFor();
  await page.getByRole("button", { name: "Delete the run of copy" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await page.getByText("None yet.").waitFor();
  await jobCard(page, "copy").getByText("never run").waitFor();
  await close(page);
});

test("a job is changed in what was changed alone, switched off, and deleted", async () => {
  const page = await openPage(browser, server, { signedIn });
  await visit(page, "#jobs", "Jobs");
  const stored = async () => (await server.api("GET", `${JOBS}?filter=name='totals'&fields=*`)).items[0];
  await server.api("PATCH", `${JOBS}/${(await stored()).id}`, { chunk: 5, secret: SECRET });
  const before = await stored();
  await page.getByRole("button", { name: "Change totals" }).click();
  const form = page.getByRole("dialog", { name: "totals" });
  await isAccessible(page, "a report's form");
  await page.keyboard.press("Escape");
  assert.equal(await page.getByRole("alertdialog").count(), 0, "nothing was typed");
  await page.getByRole("button", { name: "Change totals" }).click();
  // Another collection's keys are other ones.
  await form.getByLabel("Into").selectOption("items");
  assert.equal(await form.getByLabel("Replaces the record").locator("option").count(), 1);
  await form.getByLabel("Into").selectOption("report");
  await form.getByLabel("Replaces the record").selectOption("kind");
  await form.getByLabel("Order").fill("-kind");
  await form.getByRole("button", { name: "Save" }).click();
  await form.waitFor({ state: "detached" });
  const changed = structuredClone(before);
  changed.task.aggregate.sort = "-kind";
  assert.deepEqual(await stored(), changed);
  await page.getByRole("switch", { name: "totals is enabled" }).focus();
  await page.keyboard.press("Space");
  await jobCard(page, "totals").getByText("not enabled").waitFor();
  const label = await page.evaluate(() => document.activeElement.getAttribute("aria-label"));
  assert.equal(label, "totals is enabled", "the focus is not lost");
  assert.equal((await stored()).enabled, false);
  await page.getByRole("button", { name: "Delete totals" }).click();
  await page.getByRole("alertdialog").getByRole("button", { name: "Delete" }).click();
  await jobCard(page, "totals").waitFor({ state: "detached" });
  assert.equal(await stored(), undefined);
  await close(page);
});

test("jobs and their form fit a phone, in both themes", async () => {
  for (const colorScheme of ["light", "dark"]) {
    const page = await openPage(browser, server, { signedIn, colorScheme, viewport: { width: 360, height: 740 } });
    await visit(page, "#jobs", "Jobs");
    await fitsItsWidth(page, "jobs");
    await isAccessible(page, `jobs in ${colorScheme}`);
    await page.getByRole("button", { name: "Change send" }).click();
    await page.getByLabel("URL").first().waitFor();
    await fitsItsWidth(page, "a job's form");
    await isAccessible(page, `a job's form in ${colorScheme}`);
    await close(page);
  }
});
