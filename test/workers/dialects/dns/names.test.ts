import { describe, expect, test } from "vitest";
import { findZone, readName } from "../../../../workers/dialects/dns/names.ts";
import type { Reading, Selection } from "../../../../workers/dialects/dns/names.ts";
import { consulZone, ownZone } from "../../../../workers/dialects/dns/zone.ts";

const all: Selection = { type: "all" };
const nothing: Selection = { type: "nothing" };
const empty: Reading = { type: "empty" };
const tag = (name: string): Selection => ({ type: "tag", tag: name });
const transport = (label: string): Selection => ({ type: "transport", label });
const port = (name: string): Selection => ({ type: "port", port: name });
const service = (
  name: string,
  selection: Selection = all,
  namespace: string | null = null,
  datacenter = "DC1",
): Reading => ({
  type: "service",
  namespace,
  datacenter,
  service: name,
  selection,
});
const node = (name: string, datacenter = "DC1"): Reading => ({ type: "node", node: name, namespace: null, datacenter });
const lookup = (name: string, datacenter = "DC1", namespace: string | null = null): Reading => ({
  type: "lookup",
  name,
  namespace,
  datacenter,
});

const standing = (type: "mesh" | "ingress" | "virtual", name: string, namespace: string | null = null): Reading => ({
  type,
  service: name,
  namespace,
  datacenter: "DC1",
});

const rows: [name: string, readings: Reading[]][] = [
  ["", [{ type: "apex" }]],
  // services
  ["web", [service("web")]],
  ["Web", [service("Web")]],
  ["web.service", [service("web")]],
  ["web.SERVICE.DC1", [service("web")]],
  ["web.service.dc1.dc", [service("web")]],
  ["web.staging", [service("web", all, "staging")]],
  ["web.service.staging.ns", [service("web", all, "staging")]],
  ["web.service.staging.ns.dc1.dc", [service("web", all, "staging")]],
  ["web.service.dc1.dc.Staging.ns", [service("web", all, "staging")]],
  // another datacenter, and one that nobody knows
  ["web.service.dc2", [service("web", all, null, "dc2")]],
  ["v1.web.service.DC2.dc", [service("web", tag("v1"), null, "dc2"), service("v1.web", all, null, "dc2")]],
  ["_web._tcp.dc2", [service("web", transport("tcp"), null, "dc2")]],
  ["web.service.staging.ns.dc2.dc", [service("web", all, "staging", "dc2")]],
  ["dc2", [service("dc2"), empty]],
  ["web.service.dc3", []],
  ["web.service.dc3.dc", []],
  ["0a000001.addr.dc3", []],
  // nodes and stored lookups
  ["Alpha.node", [node("Alpha")]],
  ["alpha.example.node.dc2", [node("alpha.example", "dc2")]],
  ["alpha.node.dc2.dc", [node("alpha", "dc2")]],
  ["alpha.node.staging.ns", []],
  ["alpha.node.dc3", []],
  // what stands for a service
  ["web.connect", [standing("mesh", "web"), service("web", all, "connect")]],
  ["v1.web.virtual.dc1", [standing("virtual", "v1.web")]],
  ["web.ingress.staging.ns.dc1.dc", [standing("ingress", "web", "staging")]],
  ["geo-db.query", [lookup("geo-db")]],
  ["geo.db.query.dc2", [lookup("geo.db", "dc2")]],
  ["_geo.db._tcp.query", [lookup("geo.db")]],
  ["geo.query.staging.ns", [lookup("geo", "DC1", "staging")]],
  ["node", [service("node"), empty]],
  ["node.dc1", [empty]],
  ["node.service", [service("node")]],
  ["node.staging", [service("node", all, "staging")]],
  // tags, and service names with dots
  ["V1.web.service", [service("web", tag("v1")), service("V1.web")]],
  ["v1.web.service.dc1", [service("web", tag("v1")), service("v1.web")]],
  ["com.example.web.service", [service("example.web", tag("com")), service("com.example.web")]],
  ["a.b.staging", []],
  // RFC 2782
  ["_web._tcp.service", [service("web", transport("tcp"))]],
  ["_web._tcp.service.dc1", [service("web", transport("tcp"))]],
  ["_web._tcp", [service("web", transport("tcp"))]],
  ["_web._V1.dc1", [service("web", transport("v1"))]],
  ["_web._tcp.service.staging.ns", [service("web", transport("tcp"), "staging")]],
  ["_web._tcp.staging.ns", [service("web", transport("tcp"), "staging")]],
  ["_HTTP._tcp.web.service", [service("web", port("http"))]],
  ["_http._tcp.com.web.service.dc1", [service("com.web", port("http"))]],
  ["_http._tcp.web", [service("web", port("http"))]],
  ["_http._tcp.web.staging", [service("web", port("http"), "staging")]],
  ["_http._udp.web.service", []],
  ["_._tcp.service", []],
  ["_web._.service", []],
  // instances and addresses
  ["I1.instance.web.service.dc1", [service("web", { type: "instance", label: "i1" })]],
  ["i1.instance.com.web.service", [service("com.web", { type: "instance", label: "i1" })]],
  ["0A000001.addr.dc1", [{ type: "address", family: 4, address: "10.0.0.1" }]],
  ["0a000001.addr", [{ type: "address", family: 4, address: "10.0.0.1" }]],
  [
    "20010db8000000000000000000000001.addr",
    [{ type: "address", family: 6, address: "2001:0db8:0000:0000:0000:0000:0000:0001" }],
  ],
  ["0a00000.addr", []],
  ["0a00000g.addr", []],
  ["x.0a000001.addr", []],
  // names that only have names below them
  ["service", [service("service"), empty]],
  ["dc1", [service("dc1"), empty]],
  ["ns", [service("ns"), empty]],
  ["service.dc1", [empty]],
  ["addr.dc1", [empty]],
  ["dc1.dc", [empty]],
  ["staging.ns", [empty]],
  ["service.staging.ns.dc1.dc", [empty]],
  ["_tcp", [service("_tcp"), empty]],
  ["_tcp.service", [service("_tcp"), empty]],
  ["_tcp.web.service", [service("web", nothing)]],
  ["instance.web.service", [service("web", nothing)]],
];

/** In Consul's zone, where it differs. */
const consulRows: [name: string, readings: Reading[]][] = [
  ["web", []],
  ["web.staging", []],
  ["web.service", [service("web")]],
  ["web.service.default.ap.dc2.dc", [service("web", all, null, "dc2")]],
  ["v1.web.service", [service("web", tag("v1")), service("v1.web")]],
  ["A.b.web.service", [service("web", tag("a.b")), service("b.web", tag("a")), service("A.b.web")]],
  ["_web._tcp", [service("web", transport("tcp"))]],
  ["alpha.node", [node("alpha")]],
  ["geo.query", [lookup("geo")]],
  ["web.connect", [standing("mesh", "web")]],
  ["a.web.connect.default.ns", [standing("mesh", "web", "default")]],
  ["web.virtual.dc1", [standing("virtual", "web")]],
  ["web.ingress", [standing("ingress", "web")]],
  ["service", [empty]],
  ["dc1", [empty]],
  ["virtual.dc1", [empty]],
];

const datacenters = { own: "DC1", names: ["DC1", "dc2"] };
const labelsOf = (name: string): string[] => (name === "" ? [] : name.split("."));

describe("the readings of a name", () => {
  test.each(rows)("%s", (name, readings) => {
    expect(readName({ zone: ownZone("holdfast", 5), labels: labelsOf(name) }, datacenters)).toEqual(readings);
  });

  test.each(consulRows)("%s, as Consul has it", (name, readings) => {
    expect(readName({ zone: consulZone("consul"), labels: labelsOf(name) }, datacenters)).toEqual(readings);
  });

  test.each([
    [ownZone("holdfast", 5), 2],
    [consulZone("consul"), 3],
  ])("few readings ask the registry, whatever the name", (zone, most) => {
    const words = ["a", "_b", "_tcp", "service", "instance", "addr", "node", "query", "ns", "dc", "dc1"];
    const names = words.flatMap((a) => words.flatMap((b) => words.flatMap((c) => words.map((d) => [a, b, c, d]))));
    const counts = names.map(
      (labels) => readName({ zone, labels }, datacenters).filter(({ type }) => type !== "empty").length,
    );
    expect(names).toHaveLength(14_641);
    expect(Math.max(...counts)).toBe(most);
  });
});

describe("the zone of a name", () => {
  const zones = ["holdfast", "svc.Example.com.", "example.com"].map((name) => ownZone(name, 5));
  const found = (labels: string[], among = zones): unknown => {
    const zoneName = findZone(labels, among);
    return zoneName && { zone: zoneName.zone.name, labels: zoneName.labels };
  };
  test("is found in any case, and the longest one wins", () => {
    expect(found(["Web", "HoldFast"])).toEqual({ zone: "holdfast", labels: ["Web"] });
    expect(found(["a", "SVC", "example", "COM"])).toEqual({ zone: "svc.example.com", labels: ["a"] });
    expect(found(["a", "example", "com"])).toEqual({ zone: "example.com", labels: ["a"] });
    expect(found(["holdfast"])).toEqual({ zone: "holdfast", labels: [] });
  });

  test("is none for the root, for others' names, and for letters that only look alike", () => {
    expect(found([])).toBeNull();
    expect(found(["example", "org"])).toBeNull();
    expect(found(["xholdfast"])).toBeNull();
    expect(found(["web", "\u212aube"], [ownZone("kube", 5)])).toBeNull();
  });
});
