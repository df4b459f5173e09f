/** `holdfast policy` and `holdfast token`, as processes before a real edge. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { statementsOf } from "../../../scripts/cli/commands/statement-values.ts";
import { Edge, TOKEN } from "../../edge.ts";
import { HoldfastProcess, type Ended } from "../serve/holdfast-process.ts";

vi.setConfig({ testTimeout: 20_000 });

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

function run(token: string, ...args: string[]): Promise<Ended> {
  return new HoldfastProcess(args, { env: { HOLDFAST_ADDR: edge.address, HOLDFAST_TOKEN: token } }).ended;
}

test("a policy and a token with it, until it is revoked", async () => {
  const put = await run(
    TOKEN,
    "policy",
    "put",
    "app",
    "--allow",
    "create,update,read:kv:app/*",
    "--deny",
    "all:kv:app/secret",
  );
  expect(put).toMatchObject({ code: 0, stdout: expect.stringMatching(/^revision \d+\n$/) });
  expect((await run(TOKEN, "policy", "list")).stdout).toMatch(/^NAME +REVISION +DESCRIPTION\n[^]*^app +\d+\n/m);
  const made = await run(TOKEN, "token", "create", "--policy", "app", "--ttl", "1h", "--description", "for the app");
  const [, accessor = "", secret = ""] = /^accessor (\S+)\nsecret {3}(\S+)\n$/.exec(made.stdout) ?? [];
  expect((await run(secret, "kv", "put", "app/a", "x")).code).toBe(0);
  expect(await run(secret, "kv", "put", "app/secret", "x")).toMatchObject({
    code: 4,
    stderr: `holdfast: token:${accessor} lacks the right to create kv "app/secret"\n`,
  });
  const list = await run(TOKEN, "token", "list");
  expect(list.stdout).toMatch(new RegExp(`^${accessor} +app +20\\S+Z +for the app$`, "m"));
  expect(list.stdout).not.toContain(secret);
  expect((await run(TOKEN, "token", "delete", accessor)).code).toBe(0);
  expect((await run(secret, "kv", "get", "app/a")).code).toBe(4);
  expect((await run(TOKEN, "token", "delete", accessor)).code).toBe(3);
  expect((await run(TOKEN, "policy", "delete", "app")).code).toBe(0);
});

test("what get prints, put takes", async () => {
  await run(TOKEN, "policy", "put", "one", "--allow", "read:service:web");
  const { stdout } = await run(TOKEN, "policy", "get", "one");
  const file = join(edge.data, "policy.json");
  writeFileSync(file, stdout);
  expect((await run(TOKEN, "policy", "put", "other", "--file", file)).code).toBe(0);
  const { statements } = JSON.parse((await run(TOKEN, "policy", "get", "other")).stdout);
  expect(statements).toEqual(JSON.parse(stdout).statements);
  expect((await run(TOKEN, "policy", "put", "other")).code).toBe(2);
  expect((await run(TOKEN, "policy", "put", "other", "--allow", "read")).code).toBe(2);
  expect((await run(TOKEN, "policy", "put", "other", "--allow", "fly:kv")).code).toBe(1);
});

test.each([
  ["read:service", { verbs: ["read"], kind: "service" }],
  ["read:service:*", { verbs: ["read"], kind: "service" }],
  ["read,watch:kv:a:b*", { verbs: ["read", "watch"], kind: "kv", match: "prefix", name: "a:b" }],
  ["update:kv:a", { verbs: ["update"], kind: "kv", match: "exact", name: "a" }],
  ["update:kv:", { verbs: ["update"], kind: "kv", match: "exact", name: "" }],
])("%s", (text, statement) => {
  expect(statementsOf({ allow: [text] })).toEqual([{ effect: "allow", ...statement }]);
});
