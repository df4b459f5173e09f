/** Names under Consul's domain, answered as its DNS interface does; nodes, lookups and datacenters in both zones. */
import type { Answer, RecordType, SrvAnswer, TxtAnswer } from "dns-packet";
import { describe, expect, test } from "vitest";
import type { RegisteredNode } from "../../../../objects/model.ts";
import type { LookedUp } from "../../../../workers/dialects/dns/answer.ts";
import { ask, dataOf, depsFor, instance, MemoryResolver } from "./fixture.ts";

/** dns-packet encodes it, its types do not say so. */
const ANY = "ANY" as RecordType;

function node(name: string, address: string, overrides: Partial<RegisteredNode> = {}): RegisteredNode {
  return {
    name,
    id: "",
    address,
    addresses: {},
    meta: {},
    locality: { region: "", zone: "", cluster: "" },
    status: "passing",
    checks: [],
    implicit: false,
    extra: {},
    createRevision: 1,
    modRevision: 1,
    ...overrides,
  };
}

const onNode = instance("a", "10.0.0.1", { node: "Alpha", inheritsAddress: true, tags: ["v1.2"] });
const onItsOwn = instance("b", "10.9.9.9", { node: "Beta" });

describe("services", () => {
  const deps = depsFor(new MemoryResolver().add("web", [onNode, onItsOwn]).add("away", [onItsOwn], "default", "dc2"));

  test("answers are for this moment only", async () => {
    const answered = await ask(deps, "web.service.consul", "A");
    expect(dataOf(answered)).toEqual(["10.0.0.1", "10.9.9.9"]);
    expect((answered.answers as (Answer & { ttl: number })[]).map(({ ttl }) => ttl)).toEqual([0, 0]);
  });

  test("SRV points to the node, or to an address of its own in hexadecimal", async () => {
    const answered = await ask(deps, "_web._tcp.service.consul", "SRV");
    const targets = (answered.answers as SrvAnswer[]).map(({ data }) => data.target).toSorted();
    expect(targets).toEqual(["0a090909.addr.dc1.consul", "alpha.node.dc1.consul"]);
    expect(answered.additionals!.map(({ name }) => name).toSorted()).toEqual(targets);
    expect(dataOf(await ask(deps, "0a090909.addr.dc1.consul", "A"))).toEqual(["10.9.9.9"]);
  });

  test("a tag may hold dots", async () => {
    expect(dataOf(await ask(deps, "v1.2.web.service.consul", "A"))).toEqual(["10.0.0.1"]);
  });

  test("short names are our own zone's", async () => {
    expect((await ask(deps, "web.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask(deps, "web.holdfast", "A")).rcode).toBe("NOERROR");
  });

  test("what has nothing healthy does not exist here, and has no records there", async () => {
    const sick = depsFor(new MemoryResolver().add("web", [instance("a", "10.0.0.1", { status: "critical" })]));
    expect(await ask(sick, "web.service.consul", "A")).toMatchObject({
      rcode: "NXDOMAIN",
      authorities: [{ type: "SOA" }],
    });
    expect(await ask(sick, "web.service.holdfast", "A")).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  test("a name of another type is there without records", async () => {
    expect(await ask(deps, "web.service.consul", "AAAA")).toMatchObject({ rcode: "NOERROR", answers: [] });
  });

  test("ANY is answered with addresses here, and refused there", async () => {
    expect(dataOf(await ask(deps, "web.service.consul", ANY))).toEqual(["10.0.0.1", "10.9.9.9"]);
    expect((await ask(deps, "web.service.holdfast", ANY)).rcode).toBe("REFUSED");
    expect((await ask(deps, "web.service.consul", "AXFR")).rcode).toBe("REFUSED");
  });

  test("host names alone: one of them is the alias here", async () => {
    const hosts = ["x.example.com", "y.example.com"].map((host) => instance(host, host));
    const named = depsFor(new MemoryResolver().add("db", hosts));
    const answered = await ask(named, "db.service.consul", "A");
    expect(answered.answers).toHaveLength(1);
    expect(answered.answers![0]).toMatchObject({ type: "CNAME" });
    expect((await ask(named, "db.service.holdfast", "A")).answers).toEqual([]);
  });

  test.each([
    "away.service.dc2.consul",
    "away.service.dc2.dc.consul",
    "_away._tcp.dc2.consul",
    "away.service.dc2.holdfast",
  ])("%s is in the other datacenter", async (name) => {
    expect(dataOf(await ask(deps, name, "A"))).toEqual(["10.9.9.9"]);
    const { answers } = await ask(deps, name, "SRV");
    expect((answers as SrvAnswer[])[0]!.data.target).toContain(".dc2.");
  });

  test.each(["away.service.consul", "away.service.dc1.consul", "away.service.dc3.consul"])(
    "%s is not",
    async (name) => {
      expect((await ask(deps, name, "A")).rcode).toBe("NXDOMAIN");
    },
  );

  test("SRV weighs an instance in warning as it wants to be weighed then", async () => {
    const weighed = (id: string, overrides: object) => instance(id, `10.0.0.${id}`, { weight: 10, ...overrides });
    const weights = new MemoryResolver().add("web", [
      weighed("1", { warningWeight: 2 }),
      weighed("2", { warningWeight: 3, status: "warning" }),
      weighed("3", { status: "warning" }),
    ]);
    const { answers } = await ask(depsFor(weights), "web.service.consul", "SRV");
    const told = (answers as SrvAnswer[]).map(({ data }) => [data.target, data.weight]).toSorted();
    expect(told).toEqual([
      ["0a000001.addr.dc1.consul", 10],
      ["0a000002.addr.dc1.consul", 3],
      ["0a000003.addr.dc1.consul", 10],
    ]);
  });
});

describe("what stands for a service", () => {
  const sidecar = instance("web-proxy", "10.0.0.1", {
    node: "Alpha",
    inheritsAddress: true,
    ports: { default: 21_000 },
    meshFor: "web",
  });
  const resolver = new MemoryResolver()
    .add("mesh:web", [sidecar, { ...sidecar, id: "sick", address: "10.0.0.2", status: "critical" }])
    .add("mesh:hidden", [{ ...sidecar, private: true }])
    .add("ingress:Web", [instance("gate", "10.0.0.8")])
    .add("mesh:web", [instance("far", "10.2.0.1")], "default", "dc2")
    .add("mesh:web", [{ ...sidecar, address: "10.3.0.1" }], "staging");
  resolver.virtualIps.set("default/web", "240.0.0.1");
  const deps = depsFor(resolver);

  test.each([
    ["web.connect.consul", ["10.0.0.1"]],
    ["web.connect.holdfast", ["10.0.0.1"]],
    ["passed.over.WEB.connect.consul", ["10.0.0.1"]],
    ["web.connect.dc2.consul", ["10.2.0.1"]],
    ["web.connect.staging.ns.consul", ["10.3.0.1"]],
    ["Web.ingress.consul", ["10.0.0.8"]],
    ["web.virtual.consul", ["240.0.0.1"]],
    ["WEB.virtual.holdfast", ["240.0.0.1"]],
  ])("%s is at %s", async (name, addresses) => {
    expect(dataOf(await ask(deps, name, "A"))).toEqual(addresses);
  });

  test.each([
    "db.connect.consul",
    "web.ingress.dc2.consul",
    "web.virtual.dc2.consul",
    "web.connect.dc3.consul",
    "hidden.connect.consul",
  ])("%s does not exist", async (name) => {
    expect((await ask(deps, name, "A")).rcode).toBe("NXDOMAIN");
  });

  test("SRV names the proxy's port, and where it is", async () => {
    const { answers, additionals } = await ask(deps, "web.connect.consul", "SRV");
    expect((answers as SrvAnswer[]).map(({ data }) => data)).toEqual([
      { priority: 1, weight: 10, port: 21_000, target: "alpha.node.dc1.consul" },
    ]);
    expect(additionals).toMatchObject([{ name: "alpha.node.dc1.consul", type: "A", data: "10.0.0.1" }]);
  });

  test("a virtual address is an A record, and nothing else", async () => {
    for (const type of ["AAAA", "SRV", "TXT"] as const) {
      expect(await ask(deps, "web.virtual.consul", type)).toMatchObject({ rcode: "NOERROR", answers: [] });
    }
    expect(dataOf(await ask(deps, "web.virtual.consul", ANY))).toEqual(["240.0.0.1"]);
  });
});

describe("addresses lead back", () => {
  const resolver = new MemoryResolver()
    .add("web", [instance("a", "10.0.0.1"), instance("b", "10.0.0.2", { inheritsAddress: true })])
    .add("db", [instance("a", "10.0.0.1"), instance("p", "10.0.0.7", { private: true })])
    .add("far", [instance("a", "10.2.0.2")], "default", "dc2");
  resolver.nodes.set("default/alpha", node("Alpha", "10.0.0.2"));
  resolver.nodes.set("default/omega@dc2", node("omega", "10.0.0.2"));
  const deps = depsFor(resolver);

  test.each([
    ["2.0.0.10", ["alpha.node.dc1.consul"]],
    ["1.0.0.10", ["db.service.dc1.consul", "web.service.dc1.consul"]],
    ["2.0.2.10", ["far.service.dc2.consul"]],
  ])("%s.in-addr.arpa is %s", async (address, names) => {
    expect(dataOf(await ask(deps, `${address}.in-addr.arpa`, "PTR"))).toEqual(names);
  });

  test("but not to what a caller may not see", async () => {
    const name = "7.0.0.10.in-addr.arpa";
    expect((await ask(deps, name, "PTR")).rcode).toBe("REFUSED");
    expect(dataOf(await ask({ ...deps, showPrivate: true }, name, "PTR"))).toEqual(["db.service.dc1.consul"]);
  });
});

describe("nodes", () => {
  const resolver = new MemoryResolver();
  const meta = { owner: "me=you", "rfc1035-Note": "bare value" };
  resolver.nodes.set("default/alpha", node("Alpha", "10.0.0.1", { meta }));
  resolver.nodes.set("default/six", node("six", "2001:db8::6"));
  resolver.nodes.set("default/host", node("host", "host.example.com"));
  resolver.nodes.set("default/alpha@dc2", node("Alpha", "10.2.0.1"));
  const deps = depsFor(resolver);

  test.each([
    ["ALPHA.node.consul", "A", ["10.0.0.1"]],
    ["alpha.node.holdfast", "A", ["10.0.0.1"]],
    ["alpha.node.dc2.consul", "A", ["10.2.0.1"]],
    ["alpha.node.dc2.dc.holdfast", "A", ["10.2.0.1"]],
    ["six.node.consul", "AAAA", ["2001:db8::6"]],
    ["six.node.consul", "A", []],
    ["host.node.consul", "A", ["host.example.com"]],
    ["alpha.node.consul", "SRV", []],
  ] as const)("%s %s", async (name, type, data) => {
    const answered = await ask(deps, name, type);
    expect(answered.rcode).toBe("NOERROR");
    expect(dataOf(answered)).toEqual(data);
  });

  test("TXT is the metadata, one record a pair; a key may let its value stand alone", async () => {
    const { answers } = await ask(deps, "alpha.node.consul", "TXT");
    expect((answers as TxtAnswer[]).map(({ data }) => String(data)).toSorted()).toEqual(["bare value", "owner=me=you"]);
    expect((await ask(deps, "alpha.node.consul", ANY)).answers).toHaveLength(3);
  });

  test("unknown ones do not exist, in any datacenter", async () => {
    for (const name of ["beta.node.consul", "six.node.dc2.consul", "alpha.node.dc3.consul", "alpha.node.x.ns.consul"]) {
      expect((await ask(deps, name, "A")).rcode).toBe("NXDOMAIN");
    }
  });
});

describe("pointers", () => {
  const resolver = new MemoryResolver();
  resolver.nodes.set("default/alpha", node("Alpha", "10.0.0.1"));
  resolver.nodes.set("default/six", node("six", "2001:0db8:0000:0000:0000:0000:0000:0006"));
  resolver.nodes.set("default/odd name", node("odd name", "10.0.0.9"));
  const deps = depsFor(resolver);

  test("lead to nodes, in Consul's zone", async () => {
    expect(dataOf(await ask(deps, "1.0.0.10.in-addr.ARPA", "PTR"))).toEqual(["alpha.node.dc1.consul"]);
    const nibbles = "20010db8000000000000000000000006".split("").toReversed().join(".");
    expect(dataOf(await ask(deps, `${nibbles}.ip6.arpa`, "PTR"))).toEqual(["six.node.dc1.consul"]);
  });

  test.each([
    ["2.0.0.10.in-addr.arpa", "PTR"],
    ["9.0.0.10.in-addr.arpa", "PTR"],
    ["0.0.10.in-addr.arpa", "PTR"],
    ["01.0.0.10.in-addr.arpa", "PTR"],
    ["256.0.0.10.in-addr.arpa", "PTR"],
    ["1.0.0.10.in-addr.arpa", "A"],
    ["example.org", "PTR"],
  ] as const)("%s %s is not for us to say", async (name, type) => {
    expect((await ask(deps, name, type)).rcode).toBe("REFUSED");
  });
});

describe("stored lookups", () => {
  const resolver = new MemoryResolver();
  const view = {
    service: "web",
    class: "balanced" as const,
    modRevision: 1,
    revision: 1,
    nodes: {},
    selfPreservation: false,
  };
  const found = (instances: LookedUp["instances"], overrides: Partial<LookedUp> = {}): LookedUp => ({
    view: { ...view, instances },
    instances,
    datacenter: "dc1",
    ttlMs: null,
    ...overrides,
  });
  resolver.lookups.set("default/geo.db", found([onItsOwn, onNode], { ttlMs: 10_500, datacenter: "dc2" }));
  resolver.lookups.set("default/none", found([]));
  resolver.lookups.set("default/secret", found([{ ...onNode, private: true }]));
  const deps = depsFor(resolver);

  test.each(["geo.db.query.consul", "_geo.db._tcp.query.consul", "Geo.DB.query.dc1.consul"])(
    "%s keeps the lookup's order, time to live and place",
    async (name) => {
      const addresses = (await ask(deps, name, "A")).answers as (Answer & { ttl: number; data: string })[];
      expect(addresses.map(({ data }) => data)).toEqual(["10.9.9.9", "10.0.0.1"]);
      expect(addresses[0]!.ttl).toBe(10);
      const { answers } = await ask(deps, name, "SRV");
      expect((answers as SrvAnswer[]).map(({ data }) => data.target)).toEqual([
        "0a090909.addr.dc2.consul",
        "alpha.node.dc2.consul",
      ]);
    },
  );

  test("nothing found, nothing that may be told, and nothing called so", async () => {
    expect((await ask(deps, "none.query.consul", "A")).rcode).toBe("NXDOMAIN");
    expect(await ask(deps, "none.query.holdfast", "A")).toMatchObject({ rcode: "NOERROR", answers: [] });
    expect((await ask(deps, "secret.query.consul", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask(deps, "other.query.consul", "A")).rcode).toBe("NXDOMAIN");
  });
});
