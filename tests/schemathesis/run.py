#!/usr/bin/env python3
"""F14: what the OpenAPI document promises, tried by schemathesis as nobody, as a user and as a superuser.

A failure is an answer of 5xx, a status, a media type or a header that the document doesn't have, or a body that doesn't fit
its schema. What is refused or taken beyond what a schema can say (a filter that is no expression, a stale If-Match) is not
judged here. The server is the debug build, on a folder of its own; streams, which have no end, are left out.
"""

import json
import os
import pathlib
import random
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
TARGET = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
BINARY = os.environ.get("MILLPOND_BIN", TARGET / "debug" / "millpond")
TOOL = os.environ.get("MILLPOND_SCHEMATHESIS", TARGET / "schemathesis" / "bin" / "schemathesis")
RESULTS = pathlib.Path(os.environ.get("MILLPOND_RESULTS", TARGET / "results"))

CHECKS = [
    "not_a_server_error",
    "status_code_conformance",
    "content_type_conformance",
    "response_headers_conformance",
    "response_schema_conformance",
]
#: Streams, and what makes another server of the one that is tried.
STREAMS = "^/api/(realtime|ws|changes|replication.*|backups/.*/restore)$"
SUPERUSER = ("root@example.com", "an open secret")
USER = ("ada@example.com", "an open secret")
#: Phases, inputs of each call at a time, and seconds for each caller, of a quick run, in CI, and before a release. What is
#: left of the time is spent on further inputs.
SIZES = [("fuzzing", 5, 12), ("examples,coverage,fuzzing", 10, 55), ("examples,coverage,fuzzing", 100, 2_400)]


def size():
    is_set = lambda name: os.environ.get(name, "") not in ("", "0", "false")
    return SIZES[2 if is_set("MILLPOND_RELEASE_RUN") else 1 if is_set("CI") else 0]


def ask(base, method, path, body=None, token=None):
    request = urllib.request.Request(base + path, method=method)
    if body is not None:
        request.data = json.dumps(body).encode()
        request.add_header("Content-Type", "application/json")
    if token:
        request.add_header("Authorization", token)
    with urllib.request.urlopen(request, timeout=30) as answer:
        return json.load(answer)


def sign_in(base, collection, who):
    path = f"/api/collections/{collection}/auth-with-password"
    return ask(base, "POST", path, {"identity": who[0], "password": who[1]})["token"]


def prepare(base):
    """The shop with accounts beside it; tokens of nobody, a user and the superuser."""
    root = sign_in(base, "_superusers", SUPERUSER)
    for definition in json.loads((ROOT / "data/shop/collections.json").read_text()):
        ask(base, "POST", "/api/collections", definition, root)
    rule = "@request.auth.id != ''"
    members = {"name": "members", "type": "auth", "fields": [{"name": "nick", "type": "text"}], "listRule": rule, "viewRule": rule}
    ask(base, "POST", "/api/collections", members, root)
    ask(base, "POST", "/api/collections/members/records", {"email": USER[0], "password": USER[1]}, root)
    return {"nobody": None, "user": sign_in(base, "members", USER), "superuser": root}


def start(folder):
    environment = os.environ | {"MILLPOND_SUPERUSER_EMAIL": SUPERUSER[0], "MILLPOND_SUPERUSER_PASSWORD": SUPERUSER[1]}
    command = [BINARY, "serve", "--data", folder, "--listen", "127.0.0.1:0", "--log-level", "error", "--password-memory-kib", "8192"]
    server = subprocess.Popen(command, stdout=subprocess.PIPE, env=environment, text=True)
    line = server.stdout.readline()
    return server, line.split()[-1]


def run(document, base, token, seed, folder):
    """One caller's run: inputs tried, failures, and what was said."""
    phases, inputs, seconds = size()
    report = pathlib.Path(folder) / "report.json"
    command = [TOOL, "run", document, "--url", base, "--checks", ",".join(CHECKS), "--phases", phases]
    command += ["-n", str(inputs), "--max-time", str(seconds), "--seed", str(seed), "--continue-on-failure", "--no-shrink", "--no-color"]
    command += ["--exclude-path-regex", STREAMS, "--request-timeout", "30", "--report-json-path", str(report)]
    command += ["--generation-database", "none", "--warnings", "off"]
    if token:
        command += ["-H", f"Authorization: {token}"]
    done = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=folder)
    if not report.exists():
        return 0, 1, done.stdout
    told = json.loads(report.read_text())
    failures = told["test_cases"]["unique_failures"] + told["test_cases"]["errored"] + (not told["complete"])
    return told["test_cases"]["generated"], failures, done.stdout if failures or done.returncode else ""


def main():
    seed = int(os.environ.get("MILLPOND_SEED") or random.randrange(1, 1_000_000_007))
    print(f"MILLPOND_SEED={seed}")
    began, tried, failed = time.monotonic(), 0, 0
    for caller in ("nobody", "user", "superuser"):
        # A superuser's run may leave nothing of what it began with: each has a server of its own.
        with tempfile.TemporaryDirectory(prefix="millpond-schemathesis-") as folder:
            server, base = start(str(pathlib.Path(folder) / "data"))
            try:
                tokens = prepare(base)
                document = pathlib.Path(folder) / "openapi.json"
                # All callers are tried by the whole document.
                document.write_text(json.dumps(ask(base, "GET", "/api/openapi.json", token=tokens["superuser"])))
                inputs, failures, said = run(document, base, tokens[caller], seed, folder)
                alive = server.poll() is None
            finally:
                server.send_signal(signal.SIGTERM)
                server.wait(timeout=60)
        print(f"as {caller}: {inputs} inputs, {failures} failures{'' if alive else ', and the server ended'}")
        print(said, end="")
        tried += inputs
        failed += failures + (not alive)
    seconds = round(time.monotonic() - began, 1)
    RESULTS.mkdir(parents=True, exist_ok=True)
    with open(RESULTS / "F14.json", "a") as results:
        results.write(json.dumps({"figure": "F14", "n": tried, "failures": failed, "seconds": seconds, "seed": seed}) + "\n")
    sys.exit(failed > 0 or tried == 0)


main()
