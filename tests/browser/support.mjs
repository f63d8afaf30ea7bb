// What the browser tests share: a server of its own for each file, a browser, and the questions that are asked of a page.
// Invariant: a page that logs an error, or breaks its content security policy, fails its test.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { chromium } from "playwright-core";

const BINARY = process.env.MILLPOND_BIN;
const CHROMIUM = process.env.MILLPOND_CHROMIUM ?? "/usr/bin/chromium";
/** The largest time that anything on a page is waited for. */
const PATIENCE_MS = 15_000;

export const EMAIL = "ada@example.com";
export const PASSWORD = "correct horse 7";

/** A server in a folder of its own: `{base, setup, api(method, path, body), stop()}`. */
export async function startServer(...flags) {
  const folder = await mkdtemp(join(tmpdir(), "millpond-browser-"));
  const server = spawn(BINARY, ["serve", "--data", join(folder, "data"), "--listen", "127.0.0.1:0", ...flags], {
    stdio: ["ignore", "pipe", "ignore"],
  });
  const ended = new Promise((resolve) => server.once("exit", resolve));
  let said = "";
  server.stdout.setEncoding("utf8");
  const wanted = /serves (http:\S+)[^]*?(\/_\/#setup\/\S+)/;
  await new Promise((resolve, reject) => {
    server.stdout.on("data", (text) => {
      said += text;
      if (wanted.test(said)) resolve();
    });
    server.once("error", reject);
    server.once("exit", () => reject(new Error(`the server ended: ${said}`)));
  });
  const [, base, setup] = said.match(wanted);
  let token = "";
  return {
    base,
    setup: base + setup,
    /** Makes the first superuser without the page. */
    async prepare() {
      const answer = await this.api("POST", "/api/setup", {
        token: setup.split("/").pop(),
        email: EMAIL,
        password: PASSWORD,
      });
      token = answer.token;
      return answer;
    },
    /** The answer to a request, whatever it is. */
    ask(method, path, body) {
      const headers = { ...(body && { "Content-Type": "application/json" }), ...(token && { Authorization: token }) };
      return fetch(base + path, { method, headers, body: body && JSON.stringify(body) });
    },
    /** What a request that must be good is answered. */
    async api(method, path, body) {
      const response = await this.ask(method, path, body);
      const answer = response.status === 204 ? null : await response.json();
      assert.ok(response.ok, `${method} ${path}: ${response.status} ${JSON.stringify(answer)}`);
      return answer;
    },
    async signIn() {
      token = (
        await this.api("POST", "/api/collections/_superusers/auth-with-password", {
          identity: EMAIL,
          password: PASSWORD,
        })
      ).token;
    },
    async stop() {
      server.kill("SIGTERM");
      await ended;
      await rm(folder, { recursive: true, force: true });
    },
  };
}

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

/** No serious fault of accessibility. axe is put in beside the page's policy, which would not let it in. */
export async function isAccessible(page, what) {
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
