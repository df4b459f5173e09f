/** The installation's virtual addresses, over SQLite in memory. */
import { describe, expect, test } from "vitest";
import { KEPT_MS, VirtualIpAllocation } from "../../../objects/virtual-ips/allocation.ts";
import { addressOf, NUMBER_MAX } from "../../../objects/virtual-ips/virtual-ip.ts";
import { codeOf } from "../fixture.ts";
import { MemoryDatabase } from "../store/memory.ts";

const DAY = 86_400_000;
const here = { namespace: "default", datacenter: "dc1" };
const there = { namespace: "default", datacenter: "dc2" };
const others = { namespace: "other", datacenter: "dc1" };

function fresh(namesMax?: number) {
  const database = new MemoryDatabase();
  const allocation = new VirtualIpAllocation(database, namesMax);
  return {
    database,
    allocation,
    claim: (of: typeof here, services: string[], now = 0) =>
      allocation.claim({ ...of, services }, now).map(({ address }) => address),
    release: (of: typeof here, services: string[], now = 0) => allocation.release({ ...of, services }, now),
    assign: (of: typeof here, service: string, ...addresses: string[]) =>
      allocation.assign({ ...of, service, addresses }),
  };
}

test("numbers are addresses of 240.0.0.0/4", () => {
  expect([1, 256, 65_536, NUMBER_MAX].map(addressOf)).toEqual([
    "240.0.0.1",
    "240.0.1.0",
    "240.1.0.0",
    "255.255.255.254",
  ]);
});

describe("counted addresses", () => {
  test("are one for each name, in whatever datacenter, and survive a start", () => {
    const { claim, database } = fresh();
    expect(claim(here, ["web", "db"])).toEqual(["240.0.0.1", "240.0.0.2"]);
    expect(claim(there, ["db", "web"])).toEqual(["240.0.0.2", "240.0.0.1"]);
    expect(claim(others, ["web"])).toEqual(["240.0.0.3"]);
    const again = new VirtualIpAllocation(database);
    expect(again.claim({ ...here, services: ["web"] }, 0)).toEqual([
      { service: "web", address: "240.0.0.1", manual: [] },
    ]);
  });

  test("come back to the name that had them, and go to another only after long", () => {
    const { claim, release } = fresh();
    claim(here, ["web", "db"]);
    release(here, ["web"], DAY);
    expect(claim(here, ["next"], 2 * DAY)).toEqual(["240.0.0.3"]);
    expect(claim(here, ["web"], 2 * DAY)).toEqual(["240.0.0.1"]);
    release(here, ["web"], 3 * DAY);
    expect(claim(here, ["new"], 3 * DAY + KEPT_MS)).toEqual(["240.0.0.1"]);
    expect(claim(here, ["web"], 3 * DAY + KEPT_MS)).toEqual(["240.0.0.4"]);
  });

  test("are held as long as any datacenter has the name", () => {
    const { claim, release } = fresh();
    claim(here, ["web"]);
    claim(there, ["web"]);
    release(here, ["web"]);
    expect(claim(others, ["db"], KEPT_MS * 2)).toEqual(["240.0.0.2"]);
    release(there, ["web"], KEPT_MS * 2);
    expect(claim(others, ["late"], KEPT_MS * 3)).toEqual(["240.0.0.1"]);
  });

  test("run out for a namespace that has its share, unless it gives some back", () => {
    const { claim, release } = fresh(2);
    expect(claim(here, ["a", "b", "c"])).toEqual(["240.0.0.1", "240.0.0.2"]);
    expect(claim(others, ["a"])).toEqual(["240.0.0.3"]);
    release(here, ["b"], 1);
    expect(claim(here, ["c"], 2)).toEqual(["240.0.0.2"]);
  });
});

describe("addresses given by an operator", () => {
  test("are moved within a namespace and a datacenter, and a conflict elsewhere", () => {
    const { claim, assign, allocation } = fresh();
    claim(here, ["web", "db"]);
    expect(assign(here, "web", "10.0.0.1", "10.0.0.2")).toEqual({ takenFrom: [] });
    expect(assign(here, "db", "10.0.0.2")).toEqual({ takenFrom: ["web"] });
    expect(allocation.claim({ ...here, services: ["web", "db"] }, 0).map(({ manual }) => manual)).toEqual([
      ["10.0.0.1"],
      ["10.0.0.2"],
    ]);
    expect(codeOf(() => assign(others, "web", "10.0.0.9", "10.0.0.1"))).toBe("conflict");
    expect(codeOf(() => assign(there, "api", "10.0.0.1"))).toBe("conflict");
    expect(assign(there, "web", "10.0.0.1")).toEqual({ takenFrom: [] });
    // The refused call has left nothing behind.
    expect(assign(here, "db", "10.0.0.9")).toEqual({ takenFrom: [] });
  });

  test("are given back with the name", () => {
    const { claim, assign, release } = fresh();
    claim(here, ["web"]);
    assign(here, "web", "10.0.0.1");
    release(here, ["web"]);
    expect(assign(others, "web", "10.0.0.1")).toEqual({ takenFrom: [] });
  });

  test.each([
    ["no address", ["web.example"]],
    ["IPv6", ["2001:db8::1"]],
    ["a number out of range", ["10.0.0.256"]],
    ["another spelling", ["10.0.0.01"]],
    ["the counted range", ["240.0.0.7"]],
    ["too many", Array.from({ length: 9 }, (_one, index) => `10.0.0.${index}`)],
  ])("refuses %s", (_what, addresses) => {
    expect(codeOf(() => fresh().assign(here, "web", ...addresses))).toBe("invalid_argument");
  });
});
