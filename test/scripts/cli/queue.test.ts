/** `holdfast queue`, as processes before a real edge. */
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Edge, TOKEN } from "../../edge.ts";
import { HoldfastProcess, type Ended } from "../serve/holdfast-process.ts";

vi.setConfig({ testTimeout: 30_000 });

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const start = (...args: string[]): HoldfastProcess =>
  new HoldfastProcess(["queue", ...args], { env: { HOLDFAST_ADDR: edge.address, HOLDFAST_TOKEN: TOKEN } });
const run = (...args: string[]): Promise<Ended> => start(...args).ended;
const jsonOf = async (...args: string[]) => JSON.parse((await run(...args, "--json")).stdout);

test("send, receive, extend, nack, ack; a stale receipt is a conflict", async () => {
  const sent = await run("send", "jobs", "one", "two", "--header", "type=x");
  expect(sent).toMatchObject({ code: 0, stdout: expect.stringMatching(/^\d+-0\n\d+-1\n$/) });
  const { messages } = await jsonOf("receive", "jobs", "--max", "2");
  expect(messages).toMatchObject([{ body: "one", headers: { type: "x" } }, { body: "two" }]);
  const [first, second] = messages.map(({ receipt }: { receipt: string }) => receipt);
  expect(await run("extend", "jobs", first, "--visibility", "1m")).toMatchObject({ code: 0, stdout: "extend 1\n" });
  expect(await run("nack", "jobs", first)).toMatchObject({ code: 0, stdout: "nack 1\n" });
  expect(await run("ack", "jobs", first, second)).toMatchObject({
    code: 6,
    stdout: "ack 1\n",
    stderr: `holdfast: stale: ${first}\n`,
  });
  expect((await run("receive", "jobs")).stdout).toMatch(/^RECEIPT +ATTEMPTS +SENT +BODY\n\d+-0 +2 +\S+ +one\n$/);
  expect((await run("ack", "jobs", second)).code).toBe(6);
});

test("files and lines are sent whole; with --ack bodies are printed and done with", async () => {
  const file = join(edge.data, "message");
  writeFileSync(file, Buffer.from([0xff, 0x0a, 0x00]));
  expect((await run("send", "bytes", "--file", file)).code).toBe(0);
  const lines = start("send", "lines", "--lines");
  lines.child.stdin!.end(Array.from({ length: 300 }, (_, at) => `line ${at}\n`).join(""));
  expect((await lines.ended).stdout.trim().split("\n")).toHaveLength(300);
  expect((await jsonOf("receive", "bytes")).messages[0].bodyBase64).toBe("/woA");
  expect(await run("receive", "lines", "--max", "2", "--ack")).toMatchObject({ code: 0, stdout: "line 0\nline 1\n" });
  expect(await jsonOf("stats", "lines")).toMatchObject({ sent: 300, acked: 2, ready: 298 });
});

test("a receive waits for what is sent", async () => {
  const receiving = start("receive", "waited", "--wait", "30s", "--ack");
  await edge.until("/status", ({ json }) => json.waiters === 1);
  await run("send", "waited", "here");
  expect(await receiving.ended).toMatchObject({ code: 0, stdout: "here\n" });
});

test("topics are set, listed, purged and deleted", async () => {
  const set = await jsonOf(
    "set",
    "tasks",
    "--visibility",
    "5s",
    "--max-deliveries",
    "3",
    "--dead-letter",
    "tasks.dead",
  );
  expect(set).toMatchObject({ visibility: 5, maxDeliveries: 3, deadLetter: "tasks.dead" });
  await run("send", "tasks", "x");
  expect((await run("stats")).stdout).toMatch(/^TOPIC +READY +IN FLIGHT [^]*\ntasks +1 +0 +0 +0 +1 +0 +0\n/);
  expect((await run("purge", "tasks")).stdout).toBe("purged 1\n");
  expect((await run("delete", "tasks")).code).toBe(0);
  expect((await run("stats", "tasks")).code).toBe(3);
});

test("wrong usage is told before anything is sent", async () => {
  expect((await run("send", "t")).code).toBe(2);
  expect((await run("send", "t", "a", "b", "--dedupe", "1")).code).toBe(2);
  expect((await run("send", "t", "a", "--delay", "soon")).code).toBe(2);
  expect((await run("stats", "t")).code).toBe(3);
});
