/** v3electionpb.Election over the JSON gateway, against a started server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { b64, refusal, told } from "./gateway.ts";
import { GatewayStream } from "./stream.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  for (const ID of [1, 2, 10]) await told(edge, "/lease/grant", { TTL: 600, ID });
});
afterAll(() => edge[Symbol.asyncDispose]());

const text = (base64: string): string => Buffer.from(base64, "base64").toString();
// oxlint-disable-next-line typescript/no-explicit-any
const campaign = async (name: string, lease: number, value: string): Promise<any> =>
  told(edge, "/election/campaign", { name: b64(name), lease, value: b64(value) });
const leader = async (name: string): Promise<string> => {
  const { kv } = await told(edge, "/election/leader", { name: b64(name) });
  return `${text(kv.key)}=${text(kv.value)}`;
};
const unknown = (message: string) => ({ status: 500, code: 2, message });

/** Tells when keys below the name come and go. */
async function changesOf(name: string): Promise<GatewayStream> {
  const stream = new GatewayStream(edge, "/watch");
  stream.send({ create_request: { key: b64(`${name}/`), range_end: b64(`${name}0`) } });
  expect(await stream.next()).toMatchObject({ created: true });
  return stream;
}

describe("campaigning", () => {
  test("alone wins at once, with the key that stands for it", async () => {
    const reply = await campaign("alone", 10, "me");
    expect(reply).toEqual({
      header: expect.any(Object),
      leader: { name: b64("alone"), key: b64("alone/a"), rev: reply.header.revision, lease: "10" },
    });
    expect(await told(edge, "/election/leader", { name: b64("alone") })).toEqual({
      header: expect.any(Object),
      kv: {
        key: b64("alone/a"),
        create_revision: reply.leader.rev,
        mod_revision: reply.leader.rev,
        version: "1",
        value: b64("me"),
        lease: "10",
      },
    });
  });

  test("again says something else, and keeps the place", async () => {
    const first = await campaign("again", 1, "one");
    const second = await campaign("again", 1, "two");
    expect(second.leader).toEqual(first.leader);
    expect(await leader("again")).toBe("again/1=two");
  });

  test("waits until the leader resigns", async () => {
    await using changes = await changesOf("turns");
    const first = await campaign("turns", 1, "one");
    await changes.next();
    const second = campaign("turns", 2, "two");
    await changes.next();
    expect(await leader("turns")).toBe("turns/1=one");
    await told(edge, "/election/resign", { leader: first.leader });
    expect((await second).leader.key).toBe(b64("turns/2"));
    expect(await leader("turns")).toBe("turns/2=two");
  });

  test("is over when the candidate goes away", async () => {
    await using changes = await changesOf("left");
    await campaign("left", 1, "one");
    await changes.next();
    await using waiting = new GatewayStream(edge, "/election/campaign");
    waiting.send({ name: b64("left"), lease: 2, value: b64("two") });
    waiting.end();
    await changes.next();
    waiting.reset();
    expect((await changes.next()).events).toMatchObject([{ type: "DELETE", kv: { key: b64("left/2") } }]);
  });

  test("does not win for a lease that has ended", async () => {
    await using changes = await changesOf("ended");
    const first = await campaign("ended", 1, "one");
    await changes.next();
    await told(edge, "/lease/grant", { TTL: 600, ID: 50 });
    const waiting = refusal(edge, "/election/campaign", { name: b64("ended"), lease: 50, value: b64("x") });
    await changes.next();
    await told(edge, "/lease/revoke", { ID: 50 });
    await changes.next();
    await told(edge, "/election/resign", { leader: first.leader });
    expect(await waiting).toEqual(unknown("election: not leader"));
  });

  test("without a lease has one of a minute", async () => {
    const { leader: won } = await campaign("leaseless", 0, "me");
    expect((await told(edge, "/lease/timetolive", { ID: won.lease })).grantedTTL).toBe("60");
  });
});

describe("the leader", () => {
  test("proclaims, as long as it leads", async () => {
    const { leader: own } = await campaign("p", 1, "one");
    await told(edge, "/election/proclaim", { leader: own, value: b64("two") });
    expect(await leader("p")).toBe("p/1=two");
    await told(edge, "/election/resign", { leader: own });
    const notLeader = unknown("election: not leader");
    expect(await refusal(edge, "/election/proclaim", { leader: own, value: b64("three") })).toEqual(notLeader);
    expect(await refusal(edge, "/election/leader", { name: b64("p") })).toEqual(unknown("election: no leader"));
  });

  test("resigns once; with another's revision nothing happens", async () => {
    const { leader: own } = await campaign("r", 1, "one");
    await told(edge, "/election/resign", { leader: { ...own, rev: "1" } });
    expect(await leader("r")).toBe("r/1=one");
    for (let i = 0; i < 2; i++) {
      expect(await told(edge, "/election/resign", { leader: own })).toEqual({ header: expect.any(Object) });
    }
    expect(await refusal(edge, "/election/leader", { name: b64("r") })).toEqual(unknown("election: no leader"));
  });
});

test("observers are told of each leader and what it says, over gaps", async () => {
  await using observed = new GatewayStream(edge, "/election/observe");
  observed.send({ name: b64("seen") });
  observed.end();
  const { leader: one } = await campaign("seen", 1, "a");
  const next = async (): Promise<string> => {
    const { header, kv } = await observed.next();
    expect(Number(header.revision)).toBeGreaterThanOrEqual(Number(kv.mod_revision));
    return `${text(kv.key)}=${text(kv.value)}`;
  };
  expect(await next()).toBe("seen/1=a");
  for (const value of ["b", "c"]) await told(edge, "/election/proclaim", { leader: one, value: b64(value) });
  expect([await next(), await next()]).toEqual(["seen/1=b", "seen/1=c"]);
  const second = campaign("seen", 2, "d");
  await told(edge, "/election/resign", { leader: one });
  const { leader: two } = await second;
  expect(await next()).toBe("seen/2=d");
  await told(edge, "/election/resign", { leader: two });
  await campaign("seen", 1, "e");
  expect(await next()).toBe("seen/1=e");
});

test("failures have code 2 and the words of the client library", async () => {
  const noLease = unknown("etcdserver: requested lease not found");
  const noKey = unknown('"leader" field must be provided');
  expect(await refusal(edge, "/election/campaign", { name: b64("f"), lease: 12345 })).toEqual(noLease);
  expect(await refusal(edge, "/election/leader", { name: b64("f") })).toEqual(unknown("election: no leader"));
  expect(await refusal(edge, "/election/proclaim", { value: b64("x") })).toEqual(noKey);
  expect(await refusal(edge, "/election/resign", {})).toEqual(noKey);
});
