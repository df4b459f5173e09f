/** Names: what they stand for is judged, and that is what is connected to. The look-up is the test's. */
import { beforeEach, expect, test, vi } from "vitest";
import { parseEgressPolicy } from "../../../../objects/egress.ts";
import { judgedTarget, lookupOf } from "../../../../scripts/agent/checks/target.ts";

const lookup = vi.hoisted(() => vi.fn<(host: string) => Promise<{ address: string; family: number }[]>>());
vi.mock("node:dns/promises", () => ({ lookup }));

const policy = parseEgressPolicy({});
const never = new AbortController().signal;
const judged = (host: string, signal = never) => judgedTarget({ protocol: "tcp", host, port: 443 }, policy, signal);
const v4 = (address: string) => ({ address, family: 4 });

beforeEach(() => {
  lookup.mockReset();
});

test("an address is taken as it is, in its one spelling, without a look-up", async () => {
  expect(await judged("0x5db8d822")).toEqual({ host: "93.184.216.34", port: 443, addresses: [v4("93.184.216.34")] });
  expect(await judged("[2606:4700::1111]")).toMatchObject({ host: "2606:4700::1111", addresses: [{ family: 6 }] });
  expect(lookup).not.toHaveBeenCalled();
});

test("of a name's addresses those that are allowed are left, and connections know no others", async () => {
  lookup.mockResolvedValue([v4("10.0.0.1"), v4("93.184.216.34"), v4("169.254.169.254"), v4("1.1.1.1")]);
  const target = await judged("Example.com");
  expect(target).toEqual({ host: "example.com", port: 443, addresses: [v4("93.184.216.34"), v4("1.1.1.1")] });
  const done = vi.fn();
  lookupOf(target)("elsewhere.example", { all: true }, done);
  expect(done).toHaveBeenCalledWith(null, target.addresses);
  lookupOf(target)("elsewhere.example", {}, done);
  expect(done).toHaveBeenLastCalledWith(null, "93.184.216.34", 4);
});

test("a name that stands for nothing allowed is refused for what it stands for", async () => {
  lookup.mockResolvedValue([v4("127.0.0.1")]);
  await expect(judged("rebound.example")).rejects.toThrow(/127\.0\.0\.1.*loopback/);
  lookup.mockResolvedValue([]);
  await expect(judged("empty.example")).rejects.toThrow("empty.example has no address");
});

test("a look-up that takes too long is given up", async () => {
  lookup.mockReturnValue(new Promise(() => {}));
  const ending = new AbortController();
  const waiting = judged("slow.example", ending.signal);
  ending.abort(new Error("over"));
  await expect(waiting).rejects.toThrow("over");
});
