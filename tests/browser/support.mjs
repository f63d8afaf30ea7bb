// What the browser tests share: a browser, and the questions that are asked of a page.
// Invariant: a page that logs an error, or breaks its content security policy, fails its test.
import assert from "node:assert/strict";
import { readFile } from "node:fs/promises";
import { createRequire } from "node:module";
import { chromium } from "playwright-core";

export { EMAIL, PASSWORD, startServer } from "../support/server.mjs";

const CHROMIUM = process.env.MILLPOND_CHROMIUM ?? "/usr/bin/chromium";
/** The largest time that anything on a page is waited for. */
const PATIENCE_MS = 15_000;

export const startBrowser = () =>
  chromium.launch({ executablePath: CHROMIUM, args: process.getuid?.() === 0 ? ["--no-sandbox"] : [] });

/** What a page may log: the browser's own line for each refused request. */
const REFUSED = /^Failed to load resource: the server responded with a status of 4/;

/** A page in a session of its own. Its `faults` must be empty at the end; `.signedIn` begins with the superuser's token. */
export async function openPage(browser, server, { signedIn = null, ...options } = {}) {
  const context = await browser.newContext({
    viewport: { width: 1280, height: 800 },
    baseURL: server.base,
    ...options,
  });
  context.setDefaultTimeout(PATIENCE_MS);
  if (signedIn)
    await context.addInitScript(({ token, record }) => {
      sessionStorage.setItem("millpond-token", token);
      sessionStorage.setItem("millpond-account", JSON.stringify(record));
    }, signedIn);
  const page = await context.newPage();
  page.faults = [];
  page.on("pageerror", (error) => page.faults.push(String(error)));
  page.on("console", (line) => {
    if (line.type() === "error" && !REFUSED.test(line.text())) page.faults.push(line.text());
  });
  return page;
}

/** Goes to a place of the page and waits until its heading is there. */
export async function visit(page, place, heading) {
  await page.goto(`/_/${place}`);
  await page.locator("main h1", { hasText: heading }).waitFor();
}

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** What fades or slides in has come: half of it has half its contrast. */
async function hasSettled(page) {
  await page.evaluate(async () => {
    const ends = (animation) => animation.effect?.getComputedTiming().endTime !== Infinity;
    const all = document.getAnimations().filter(ends).map((animation) => animation.finished.catch(() => {}));
    await Promise.all(all);
  });
}

/** No serious fault of accessibility. axe is put in beside the page's policy, which would not let it in. */
export async function isAccessible(page, what) {
  await hasSettled(page);
  const session = await page.context().newCDPSession(page);
  await session.send("Runtime.evaluate", { expression: axe });
  const run = "axe.run(document, {resultTypes: ['violations']}).then((found) => JSON.stringify(found.violations))";
  const { result } = await session.send("Runtime.evaluate", {
    expression: run,
    awaitPromise: true,
    returnByValue: true,
  });
  await session.detach();
  const grave = JSON.parse(result.value).filter(({ impact }) => ["serious", "critical"].includes(impact));
  const told = grave.map(({ id, nodes }) => `${id}: ${nodes.map((node) => node.html).join("\n  ")}`);
  assert.deepEqual(told, [], what);
}

/** Nothing sticks out to the side. */
export async function fitsItsWidth(page, what) {
  const [width, room] = await page.evaluate(() => [
    document.documentElement.scrollWidth,
    document.documentElement.clientWidth,
  ]);
  assert.ok(width <= room, `${what}: ${width} px on ${room} px`);
}

/** Ends a page, which must have had no fault. */
export async function close(page) {
  const { faults } = page;
  await page.context().close();
  assert.deepEqual(faults, []);
}
