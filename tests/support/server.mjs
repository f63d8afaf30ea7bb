// A server of its own for a file of tests in JavaScript: the real binary, in a folder that is gone at the end.
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";

const BINARY = process.env.MILLPOND_BIN;

export const EMAIL = "ada@example.com";
export const PASSWORD = "correct horse 7";

/** A server in a folder of its own: `{base, setup, api(method, path, body), stop()}`. */
export async function startServer(...flags) {
  const folder = await mkdtemp(join(tmpdir(), "millpond-test-"));
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

