/** `holdfast lock` and `holdfast elect` as processes, before a real edge; and before one that goes away. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN } from "../../edge.ts";
import { HoldfastProcess } from "../serve/holdfast-process.ts";
import { answerJson, answerProblem, FakeEdge } from "./fake-edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const start = (...args: string[]): HoldfastProcess =>
  new HoldfastProcess(args, { env: { HOLDFAST_ADDR: edge.address, HOLDFAST_TOKEN: TOKEN } });
const node = (script: string): string[] => ["--", process.execPath, "-e", script];
/** Says that it runs, and goes on until it is told to end. */
const STAYS = node("console.log('running'); setInterval(() => {}, 1000)");
const post = (path: string, body: object) => edge.api(path, { method: "POST", body });
const waits = (name: string, owner: string) =>
  edge.until(`/locks/${name}`, ({ json }) => json.waiters.some((waiter: { owner: string }) => waiter.owner === owner));

describe("lock", () => {
  test("runs the command while it holds the lock, passes its exit code on, and releases", async () => {
    const script =
      "const { env } = process; console.log(env.HOLDFAST_LOCK_OWNER, env.HOLDFAST_LOCK_FENCE); process.exit(7)";
    const { stdout, code } = await start("lock", "cli-1", "--owner", "me & you", ...node(script)).ended;
    expect(code).toBe(7);
    expect(stdout).toMatch(/^me & you lock\/cli-1 \d+ me%20%26%20you\n$/);
    expect((await edge.api("/locks/cli-1")).json.kind).toBeNull();
  });

  test("one after the other; who only tries, or not for long, is refused; the list tells who waits", async () => {
    const first = start("lock", "cli-2", "--owner", "first", ...STAYS);
    await first.says(/running/);
    expect(await start("lock", "cli-2", "--try", ...node("")).ended).toMatchObject({
      code: 6,
      stderr: 'holdfast: lock "cli-2" is held by another\n',
    });
    expect(await start("lock", "cli-2", "--wait", "100ms", ...node("")).ended).toMatchObject({ code: 6, stdout: "" });
    const second = start("lock", "cli-2", "--owner", "second", ...node("console.log('mine')"));
    await waits("cli-2", "second");
    expect((await start("lock", "cli-2").ended).stdout).toMatch(/^STATE .*\nholds +first +\d+ .*\nwaits +second /);
    expect(second.stdout).toBe("");
    first.child.kill("SIGTERM");
    expect((await first.ended).code).toBe(143);
    expect(await second.ended).toMatchObject({ code: 0, stdout: "mine\n" });
  });

  test("what the command finds of the fence guards its writes while it holds", async () => {
    const script = "console.log(`fence ${process.env.HOLDFAST_LOCK_FENCE}.`); setInterval(() => {}, 1000)";
    const reader = start("lock", "cli fence", "--shared", ...node(script));
    await reader.says(/^fence .+\.\n/);
    const headers = { "x-holdfast-fence": /^fence (.+)\.\n/.exec(reader.stdout)![1]! };
    const write = () => edge.api("/kv/guarded", { method: "PUT", body: "x", headers });
    expect((await write()).status).toBe(200);
    reader.child.kill();
    await reader.ended;
    expect((await write()).json.code).toBe("fenced");
  });

  test("readers together, a semaphore by permits", async () => {
    const readers = [1, 2].map(() => start("lock", "cli-3", "--shared", ...STAYS));
    for (const reader of readers) await reader.says(/running/);
    expect((await start("lock", "cli-3", "--exclusive", "--try", ...node("")).ended).code).toBe(6);
    for (const reader of readers) reader.child.kill();
    for (const reader of readers) await reader.ended;
    const two = start("lock", "cli-3", "--limit", "3", "--permits", "2", ...STAYS);
    await two.says(/running/);
    expect((await start("lock", "cli-3", "--limit", "3", "--permits", "2", "--try", ...node("")).ended).code).toBe(6);
    expect((await start("lock", "cli-3", "--limit", "3", "--try", ...node("")).ended).code).toBe(0);
    two.child.kill();
    await two.ended;
  });

  test("a lock that is lost ends the command", async () => {
    const held = start("lock", "cli-4", "--ttl", "1s", ...STAYS);
    await held.says(/running/);
    const { lease } = (await edge.api("/locks/cli-4")).json.holders[0];
    await edge.api(`/leases/${lease}`, { method: "DELETE" });
    const { code, stderr } = await held.ended;
    expect([code, stderr]).toEqual([6, expect.stringMatching(/^holdfast: lost lock "cli-4": token \d+ does not hold/)]);
  });

  test("an interrupted wait leaves no place behind", async () => {
    await post("/locks/cli-5/acquire", { owner: "x" });
    const waiting = start("lock", "cli-5", "--owner", "me", ...node(""));
    await waits("cli-5", "me");
    waiting.child.kill("SIGINT");
    expect((await waiting.ended).code).toBe(130);
    expect((await edge.api("/locks/cli-5")).json.waiterCount).toBe(0);
  });

  test("a place outlasts a crash of the edge", async () => {
    const { token } = (await post("/locks/cli-6/acquire", { owner: "x", ttl: 60 })).json;
    const waiting = start("lock", "cli-6", "--owner", "me", "--ttl", "60s", ...node("console.log('mine')"));
    await waits("cli-6", "me");
    const { ticket } = (await edge.api("/locks/cli-6")).json.waiters[0];
    await edge.kill();
    await waiting.says(/trying on/);
    await edge.boot();
    await edge.until("/locks/cli-6", ({ json }) => json.waiters[0]?.ticket > ticket);
    await post("/locks/cli-6/release", { owner: "x", token });
    expect(await waiting.ended).toMatchObject({ code: 0, stdout: "mine\n" });
  });

  test("options that exclude one another are usage errors", async () => {
    for (const options of [
      ["--try", "--wait", "1s"],
      ["--shared", "--limit", "2"],
      ["--permits", "2"],
      ["--ttl", "soon"],
    ])
      expect((await start("lock", "l", ...options, ...node("")).ended).code).toBe(2);
    expect((await start("lock", "l", "echo").ended).code).toBe(2);
  });
});

test("an edge that is out of reach for too long: the command is ended before its time is up, whatever it does", async () => {
  const claim = { owner: "me", token: 5, lease: "1", ttl: 1, since: "2026-01-01T00:00:00Z" };
  await using fake = await FakeEdge.start(({ path }, response) => {
    if (path.endsWith("/acquire")) answerJson(response, claim);
    else answerProblem(response, 503, "unavailable");
  });
  const script =
    "process.on('SIGTERM', () => console.log('told')); console.log('running'); setInterval(() => {}, 1000)";
  const held = new HoldfastProcess(["lock", "l", "--ttl", "1s", ...node(script)], {
    env: { HOLDFAST_ADDR: fake.address, HOLDFAST_TOKEN: "t" },
  });
  const { code, stdout, stderr } = await held.ended;
  expect(stdout).toBe("running\ntold\n");
  expect(stderr).toMatch(/lost lock "l": it could not be renewed in time/);
  expect(code).toBe(6);
});

describe("elect", () => {
  test("leads, is observed, and is followed by the next", async () => {
    const observer = start("elect", "cli-e", "--observe");
    await observer.says(/^\d+ {2}- {2}-\n/);
    const first = start("elect", "cli-e", "--owner", "a", "--value", "at work");
    await first.says(/^leading cli-e, token \d+\n/);
    await observer.says(/\d+ {2}a {2}\d+ {2}at work\n/);
    const script = "console.log('token', process.env.HOLDFAST_ELECTION_TOKEN)";
    const second = start("elect", "cli-e", "--owner", "b", ...node(script));
    await edge.until("/elections/cli-e", ({ json }) => json.candidateCount === 1);
    first.child.kill("SIGINT");
    expect((await first.ended).code).toBe(0);
    const { stdout, code } = await second.ended;
    expect([code, stdout]).toEqual([0, expect.stringMatching(/^leading cli-e, token (\d+)\ntoken \1\n$/)]);
    await observer.says(/ {2}b {2}\d+ {2}b\n\d+ {2}- {2}-\n$/);
    observer.child.kill("SIGINT");
    expect((await observer.ended).code).toBe(0);
  });
});
