/** Stored lookups carried out: which instances will do, and where else they are looked for. Pure: no server. */
import { describe, expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import type { LookupTarget } from "../../../objects/lookups/lookups.ts";
import type { Check, RegisteredInstance, RegisteredNode, ServiceView } from "../../../objects/model.ts";
import type { LookupPorts } from "../../../workers/resolver/lookup.ts";
import { isAnswer, placesOf, runLookup } from "../../../workers/resolver/lookup.ts";
import { instance } from "../dialects/dns/fixture.ts";
import { target } from "../../objects/lookups/fixture.ts";

const view = (instances: RegisteredInstance[], nodes: ServiceView["nodes"] = {}): ServiceView => ({
  service: "web",
  class: "balanced",
  modRevision: 1,
  revision: 1,
  instances,
  nodes,
  selfPreservation: false,
});

const check = (id: string, status: Check["status"]): Check => ({
  type: "status",
  id,
  name: id,
  notes: "",
  successThreshold: 1,
  failureThreshold: 1,
  warningThreshold: 1,
  deregisterAfterMs: null,
  status,
  output: "",
  sinceAt: 0,
});

const failover = (overrides: Partial<LookupTarget["failover"]>): Partial<LookupTarget> => ({
  failover: { nearest: 0, datacenters: [], targets: [], ...overrides },
});

/** Instances by datacenter; an error is what that datacenter answers. */
function ports(places: Record<string, RegisteredInstance[] | HoldfastError>, overrides: Partial<LookupPorts> = {}) {
  const asked: string[] = [];
  const made: LookupPorts = {
    find: async ({ peer }, datacenter) => {
      asked.push(peer === "" ? datacenter : `peer:${peer}`);
      const found = places[datacenter] ?? [];
      if (found instanceof HoldfastError) throw found;
      return view(peer === "" ? found : []);
    },
    datacenters: ["dc1", "dc2", "dc3", "dc4"],
    isVisible: () => true,
    sorted: async (instances) => instances,
    random: () => 0.999,
    ...overrides,
  };
  return { asked, ports: made };
}

const ids = (found: { instances: RegisteredInstance[] }): string[] => found.instances.map(({ id }) => id);

describe("which instances will do", () => {
  const node = { meta: { rack: "r1" }, checks: [check("disk", "critical")] } as unknown as RegisteredNode;
  const rows: [what: string, overrides: Partial<RegisteredInstance>, asked: Partial<LookupTarget>, does: boolean][] = [
    ["passing", {}, {}, true],
    ["warning", { status: "warning" }, {}, true],
    ["warning, only passing", { status: "warning" }, { onlyPassing: true }, false],
    ["critical", { status: "critical" }, {}, false],
    ["nobody vouches", { status: "unknown" }, { onlyPassing: true }, true],
    ["draining", { adminState: "draining" }, {}, false],
    ["takes no traffic", { weight: 0 }, {}, false],
    ["check ignored", { status: "critical", checks: [check("a", "critical")] }, { ignoreChecks: ["a"] }, true],
    ["another ignored", { status: "critical", checks: [check("a", "critical")] }, { ignoreChecks: ["b"] }, false],
    ["node's check", { status: "critical", node: "N1" }, { ignoreChecks: ["x"] }, false],
    ["node's check ignored", { status: "critical", node: "N1" }, { ignoreChecks: ["disk"] }, true],
    ["tag", { tags: ["V1"] }, { tags: ["v1"] }, true],
    ["tag missing", { tags: ["v1"] }, { tags: ["v1", "v2"] }, false],
    ["tag forbidden", { tags: ["V1"] }, { tags: ["!v1"] }, false],
    ["metadata", { meta: { a: "1" } }, { meta: { a: "1" } }, true],
    ["other metadata", { meta: { a: "2" } }, { meta: { a: "1" } }, false],
    ["metadata of its node", { node: "n1" }, { nodeMeta: { rack: "r1" } }, true],
    ["of no node", {}, { nodeMeta: { rack: "r1" } }, false],
  ];
  test.each(rows)("%s", (_what, overrides, asked, does) => {
    const one = instance("a", "192.0.2.1", overrides);
    expect(isAnswer(one, view([one], { n1: node }), target(asked))).toBe(does);
  });
});

describe("where it is looked for", () => {
  const places = (overrides: Partial<LookupTarget["failover"]>) =>
    placesOf(target(failover(overrides)), ["dc1", "dc2", "dc3", "dc4"]).map(
      ({ datacenter, peer }) => peer || datacenter,
    );

  test.each([
    [{}, []],
    [{ nearest: 2 }, ["dc2", "dc3"]],
    [{ nearest: 9 }, ["dc2", "dc3", "dc4"]],
    [{ datacenters: ["dc4", "nowhere", "dc1", "dc2"] }, ["dc4", "dc2"]],
    [{ nearest: 1, datacenters: ["dc4", "dc2"] }, ["dc2", "dc4"]],
    [
      {
        targets: [
          { datacenter: "", peer: "p" },
          { datacenter: "nowhere", peer: "" },
          { datacenter: "dc3", peer: "" },
        ],
      },
      ["p", "dc3"],
    ],
  ])("%j", (overrides, expected) => {
    expect(places(overrides)).toEqual(expected);
  });

  test("nowhere else while the own datacenter has something", async () => {
    const { asked, ports: at } = ports({ dc1: [instance("a", "192.0.2.1")] });
    const found = await runLookup(target(failover({ nearest: 3 })), 0, at);
    expect([ids(found), found.datacenter, found.failovers, asked]).toEqual([["a"], "dc1", 0, ["dc1"]]);
  });

  test("one that is out of reach counts as asked, and the next one is", async () => {
    const out = new HoldfastError("unavailable", "out of reach");
    const { asked, ports: at } = ports({ dc2: out, dc3: [instance("c", "192.0.2.3")] });
    const found = await runLookup(target(failover({ nearest: 3 })), 0, at);
    expect([ids(found), found.datacenter, found.failovers]).toEqual([["c"], "dc3", 2]);
    expect(asked).toEqual(["dc1", "dc2", "dc3"]);
  });

  test("the own one out of reach is an error: nobody knows what is there", async () => {
    const { ports: at } = ports({ dc1: new HoldfastError("unavailable", "out of reach") });
    await expect(runLookup(target(failover({ nearest: 3 })), 0, at)).rejects.toThrow("out of reach");
  });

  test("nothing anywhere: the last one asked, and how many there were", async () => {
    const found = await runLookup(target(failover({ datacenters: ["dc4", "dc2"] })), 0, ports({}).ports);
    expect(found).toMatchObject({ instances: [], datacenter: "dc2", failovers: 2 });
  });

  test("a peer is asked under its name", async () => {
    const { asked, ports: at } = ports({});
    const found = await runLookup(target(failover({ targets: [{ datacenter: "", peer: "p" }] })), 0, at);
    expect([asked, found.peer, found.failovers]).toEqual([["dc1", "peer:p"], "p", 1]);
  });
});

describe("order and number", () => {
  const three = ["a", "b", "c"].map((id) => instance(id, "192.0.2.1"));

  test("shuffled by the randomness handed in; the view stays as it is", async () => {
    const order = async (random: number): Promise<string[]> =>
      ids(await runLookup(target(), 0, ports({ dc1: three }, { random: () => random }).ports));
    expect(await order(0.999)).toEqual(["a", "b", "c"]);
    expect(await order(0)).toEqual(["b", "c", "a"]);
    expect(three.map(({ id }) => id)).toEqual(["a", "b", "c"]);
  });

  test("sorted before it is cut, and only what may be seen", async () => {
    const { ports: at } = ports(
      { dc1: three },
      { sorted: async (instances) => instances.toReversed(), isVisible: ({ id }) => id !== "c" },
    );
    expect(ids(await runLookup(target(), 1, at))).toEqual(["b"]);
  });
});
