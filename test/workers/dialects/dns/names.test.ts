import { describe, expect, test } from "vitest";
import { findZone, readName } from "../../../../workers/dialects/dns/names.ts";
import type { Reading, Selection } from "../../../../workers/dialects/dns/names.ts";

const all: Selection = { type: "all" };
const nothing: Selection = { type: "nothing" };
const empty: Reading = { type: "empty" };
const tag = (name: string): Selection => ({ type: "tag", tag: name });
const transport = (label: string): Selection => ({ type: "transport", label });
const port = (name: string): Selection => ({ type: "port", port: name });
const service = (name: string, selection: Selection = all, namespace: string | null = null): Reading => ({
  type: "service",
  namespace,
  service: name,
  selection,
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
  // another datacenter
  ["web.service.dc2", []],
  ["web.service.dc2.dc", []],
  ["0a000001.addr.dc2", []],
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

describe("the readings of a name", () => {
  test.each(rows)("%s", (name, readings) => {
    expect(readName(name === "" ? [] : name.split("."), "DC1")).toEqual(readings);
  });

  test("at most two readings ask the registry, whatever the name", () => {
    const words = ["a", "_b", "_tcp", "service", "instance", "addr", "ns", "dc", "dc1"];
    const names = words.flatMap((a) => words.flatMap((b) => words.flatMap((c) => words.map((d) => [a, b, c, d]))));
    const counts = names.map((name) => readName(name, "dc1").filter((reading) => reading.type === "service").length);
    expect(names).toHaveLength(6561);
    expect(Math.max(...counts)).toBe(2);
  });
});

describe("the zone of a name", () => {
  const domains = ["holdfast", "svc.Example.com.", "example.com"];
  test("is found in any case, and the longest one wins", () => {
    expect(findZone(["Web", "HoldFast"], domains)).toEqual({ zone: "holdfast", labels: ["Web"] });
    expect(findZone(["a", "SVC", "example", "COM"], domains)).toEqual({ zone: "svc.example.com", labels: ["a"] });
    expect(findZone(["a", "example", "com"], domains)).toEqual({ zone: "example.com", labels: ["a"] });
    expect(findZone(["holdfast"], domains)).toEqual({ zone: "holdfast", labels: [] });
  });

  test("is none for the root, for others' names, and for letters that only look alike", () => {
    expect(findZone([], domains)).toBeNull();
    expect(findZone(["example", "org"], domains)).toBeNull();
    expect(findZone(["xholdfast"], domains)).toBeNull();
    expect(findZone(["web", "\u212aube"], ["kube"])).toBeNull();
  });
});
