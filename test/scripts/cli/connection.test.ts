import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { connect } from "../../../scripts/cli/connection.ts";
import { temporaryFolder } from "../serve/holdfast-process.ts";
import { answerJson, FakeEdge } from "./fake-edge.ts";

let scope: ReturnType<typeof temporaryFolder>;
beforeEach(() => void (scope = temporaryFolder()));
afterEach(() => scope[Symbol.dispose]());

/** A data folder as an edge at this address leaves it. */
function folder(address: string, token = "stored-token"): string {
  const path = join(scope.path, ".holdfast");
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "address"), `${address}\n`);
  writeFileSync(join(path, "root-token"), `${token}\n`);
  return path;
}

async function tokenSent(edge: FakeEdge, ...args: Parameters<typeof connect>): Promise<string | undefined> {
  await connect(...args).status();
  return edge.asked.at(-1)?.headers.authorization;
}

test("address and token come from the checkout's data folder", async () => {
  await using edge = await FakeEdge.start((_, response) => answerJson(response, {}));
  folder(edge.address);
  expect(await tokenSent(edge, {}, {}, scope.path)).toBe("Bearer stored-token");
});

test("the environment wins over the folder, and an option over both", async () => {
  await using edge = await FakeEdge.start((_, response) => answerJson(response, {}));
  const data = folder("http://127.0.0.1:1");
  const env = { HOLDFAST_ADDR: edge.address, HOLDFAST_TOKEN: "from-env", HOLDFAST_NAMESPACE: "team" };
  expect(await tokenSent(edge, { data }, env, "/nowhere")).toBe("Bearer from-env");
  expect(edge.asked.at(-1)?.namespace).toBe("team");
  expect(await tokenSent(edge, { data, token: "given", namespace: "mine" }, env, "/nowhere")).toBe("Bearer given");
  expect(edge.asked.at(-1)?.namespace).toBe("mine");
});

test("the stored token goes to no other edge", async () => {
  await using edge = await FakeEdge.start((_, response) => answerJson(response, {}));
  const data = folder("http://127.0.0.1:1");
  expect(await tokenSent(edge, { data, addr: edge.address }, {}, "/nowhere")).toBeUndefined();
});

test("the stored token goes to its edge by another name of this machine", async () => {
  await using edge = await FakeEdge.start((_, response) => answerJson(response, {}));
  const data = folder(edge.address.replace("127.0.0.1", "localhost"));
  expect(await tokenSent(edge, { data, addr: edge.address.slice("http://".length) }, {}, "/nowhere")).toBe(
    "Bearer stored-token",
  );
});

test("with nothing known it is the default port of this machine", () => {
  expect(connect({}, {}, "/nowhere").address).toBe("http://127.0.0.1:8500");
});

test("an address that is none is wrong usage", () => {
  expect(() => connect({ addr: "ftp://x" }, {}, "/nowhere")).toThrow(/not the URL of an edge/);
});
