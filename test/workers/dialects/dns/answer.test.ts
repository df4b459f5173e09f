import { Buffer } from "node:buffer";
import type { SoaAnswer, SrvAnswer, TxtAnswer } from "dns-packet";
import { describe, expect, test } from "vitest";
import { ERROR_CODES, HoldfastError } from "../../../../objects/errors.ts";
import type { RegisteredInstance } from "../../../../objects/model.ts";
import { answerQuery } from "../../../../workers/dialects/dns/answer.ts";
import { ownZone } from "../../../../workers/dialects/dns/zone.ts";
import type { Resolver } from "../../../../workers/resolver/types.ts";
import { MemoryResolver, ask, dataOf, depsFor, instance, optRecord, query, read } from "./fixture.ts";

const two = [instance("web-1", "10.0.0.1"), instance("web-2", "10.0.0.2")];
const web = (): MemoryResolver => new MemoryResolver().add("web", two);

describe("addresses", () => {
  test.each([
    "web.service.holdfast",
    "web.holdfast",
    "web.service.dc1.holdfast",
    "web.default.holdfast",
    "web.service.default.ns.dc1.dc.holdfast",
    "_web._tcp.service.holdfast",
    "web.service.default.ap.holdfast",
  ])("%s has both instances", async (name) => {
    const answered = await ask(depsFor(web()), name, "A");
    expect(answered.rcode).toBe("NOERROR");
    expect(answered.flag_aa).toBe(true);
    expect(answered.flag_ra).toBe(false);
    expect(dataOf(answered)).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(answered.answers!.every((record) => record.name === name && "ttl" in record && record.ttl === 5)).toBe(true);
  });

  test("AAAA has the IPv6 instances only, and an IPv4-mapped one is IPv4", async () => {
    const mixed = [instance("a", "2001:DB8::1"), instance("b", "10.0.0.2"), instance("c", "::ffff:10.0.0.3")];
    const deps = depsFor(new MemoryResolver().add("web", mixed));
    expect(dataOf(await ask(deps, "web.holdfast", "AAAA"))).toEqual(["2001:db8::1"]);
    expect(dataOf(await ask(deps, "web.holdfast", "A"))).toEqual(["10.0.0.2", "10.0.0.3"]);
  });

  test("instances on one address give one record", async () => {
    const twins = [instance("a", "10.0.0.1", { ports: { default: 1 } }), instance("b", "10.0.0.1")];
    const deps = depsFor(new MemoryResolver().add("web", twins));
    expect(dataOf(await ask(deps, "web.holdfast", "A"))).toEqual(["10.0.0.1"]);
    expect((await ask(deps, "web.holdfast", "SRV")).answers).toHaveLength(2);
  });

  test("only healthy instances are told; suspect ones stay", async () => {
    const states = [
      instance("ok", "10.0.0.1"),
      instance("suspect", "10.0.0.2", { suspect: true }),
      instance("warning", "10.0.0.3", { status: "warning" }),
      instance("critical", "10.0.0.4", { status: "critical" }),
      instance("draining", "10.0.0.5", { adminState: "draining" }),
      instance("weightless", "10.0.0.6", { weight: 0 }),
    ];
    const deps = depsFor(new MemoryResolver().add("web", states));
    expect(dataOf(await ask(deps, "web.holdfast", "A"))).toEqual(["10.0.0.1", "10.0.0.2", "10.0.0.3"]);
  });

  test("answers are shuffled by the randomness handed in", async () => {
    const order = async (random: number): Promise<unknown[]> => {
      const answered = await ask(depsFor(web(), { random: () => random }), "web.holdfast", "A");
      return answered.answers!.map((record) => ("data" in record ? record.data : null));
    };
    expect(await order(0)).toEqual(["10.0.0.2", "10.0.0.1"]);
    expect(await order(0.99)).toEqual(["10.0.0.1", "10.0.0.2"]);
  });

  test("an address that is broken or has a zone gives no record", async () => {
    const broken = ["", "10.0.0", "010.0.0.1", "fe80::1%eth0", "::g", "a..b", "-x-", "https://x/", "a\nb"];
    const instances = broken.map((address, i) => instance(`i${i}`, address));
    const deps = depsFor(new MemoryResolver().add("web", instances));
    for (const type of ["A", "AAAA", "SRV", "CNAME"] as const) {
      const answered = await ask(deps, "web.holdfast", type);
      expect([answered.rcode, answered.answers]).toEqual(["NOERROR", []]);
    }
  });

  test("at most 256 records, with more instances than that", async () => {
    const many = Array.from({ length: 1000 }, (_, i) => instance(`i-${i}`, `10.0.${i >> 8}.${i & 255}`));
    const deps = depsFor(new MemoryResolver().add("web", many));
    for (const type of ["A", "SRV"] as const) {
      const answered = await ask(deps, "web.holdfast", type);
      expect([answered.answers!.length, answered.flag_tc]).toEqual([256, false]);
    }
  });
});

describe("host names as addresses", () => {
  const host = (id: string, name: string) => instance(id, name);
  test("the only instance is an alias, for A, AAAA and CNAME", async () => {
    const deps = depsFor(new MemoryResolver().add("db", [host("a", "DB.example.com.")]));
    for (const type of ["A", "AAAA", "CNAME"] as const) {
      const answered = await ask(deps, "db.holdfast", type);
      expect(answered.answers).toMatchObject([{ type: "CNAME", name: "db.holdfast", data: "db.example.com" }]);
    }
  });

  test("among several instances host names are left out of addresses, and are SRV targets as they are", async () => {
    const deps = depsFor(new MemoryResolver().add("db", [host("a", "db.example.com"), instance("b", "10.0.0.1")]));
    expect(dataOf(await ask(deps, "db.holdfast", "A"))).toEqual(["10.0.0.1"]);
    expect((await ask(deps, "db.holdfast", "CNAME")).answers).toEqual([]);
    const answered = await ask(deps, "db.holdfast", "SRV");
    const targets = (answered.answers as SrvAnswer[]).map((record) => record.data.target).toSorted();
    expect(targets).toEqual(["b.instance.db.service.dc1.holdfast", "db.example.com"]);
    expect(answered.additionals).toHaveLength(1);
  });
});

describe("SRV", () => {
  test("has weight, port, a target that resolves, and its address at hand", async () => {
    const deps = depsFor(web());
    const answered = await ask(deps, "_web._tcp.service.holdfast", "SRV");
    expect(answered.answers).toHaveLength(2);
    for (const record of answered.answers as SrvAnswer[]) {
      expect(record.data).toMatchObject({ priority: 1, weight: 10, port: 8080 });
      const glue = answered.additionals!.find((one) => one.name === record.data.target);
      const resolved = await ask(deps, record.data.target, "A");
      expect(dataOf(resolved)).toHaveLength(1);
      expect(glue).toMatchObject({ type: "A", data: dataOf(resolved)[0] });
    }
  });

  const awkward: [what: string, service: string, id: string, namespace: string][] = [
    ["a Nacos id", "web", "10.0.0.9#80#DEFAULT#web", "default"],
    ["an Eureka service and id", "WEB-APP", "host:web-app:8080", "default"],
    ["a dotted service", "com.example.web", "web-1", "default"],
    ["a service in mixed case", "MyWeb", "web-1", "default"],
    ["a service with other characters", "group@@web", "web-1", "default"],
    ["a very long service", "a".repeat(60), "b".repeat(63), "default"],
    ["another namespace", "web", "web-1", "staging"],
    ["an id that looks like a hash", "web", "i-0123456789abcdef", "default"],
    ["an id of control characters", "web", "\u0000\n", "default"],
  ];
  test.each(awkward)("%s has a target that resolves in any case", async (_what, service, id, namespace) => {
    const resolver = new MemoryResolver().add(
      service,
      [instance(id, "10.0.0.9"), instance("else", "10.0.0.8")],
      namespace,
    );
    const deps = depsFor(resolver);
    const name = `${service}.service.${namespace === "default" ? "" : `${namespace}.ns.`}holdfast`;
    const answered = await ask(deps, name, "SRV");
    const target = (answered.answers as SrvAnswer[]).map((record) => record.data.target);
    expect(target).toHaveLength(2);
    for (const spelled of target.flatMap((one) => [one, one.toUpperCase()])) {
      const addresses = dataOf(await ask(deps, spelled, "A"));
      expect(addresses).toHaveLength(1);
      expect(["10.0.0.8", "10.0.0.9"]).toContain(addresses[0]);
    }
    expect(new Set(target).size).toBe(2);
  });

  test("a long name falls back to the address in hexadecimal", async () => {
    const domain = Array.from({ length: 4 }, () => "z".repeat(50)).join(".");
    const resolver = new MemoryResolver().add("web", [instance("b".repeat(63), "2001:db8::1")]);
    const deps = depsFor(resolver, { zones: [ownZone(domain, 5)] });
    const answered = await ask(deps, `web.${domain}`, "SRV");
    const { target } = (answered.answers![0] as SrvAnswer).data;
    expect(target).toBe(`20010db8000000000000000000000001.addr.dc1.${domain}`);
    expect(dataOf(await ask(deps, target, "AAAA"))).toEqual(["2001:db8::1"]);
    expect((await ask(deps, target, "A")).rcode).toBe("NOERROR");
  });

  test("an id that imitates another's hash does not take its name", async () => {
    const targets = async (instances: RegisteredInstance[]): Promise<string[]> => {
      const answered = await ask(depsFor(new MemoryResolver().add("web", instances)), "web.holdfast", "SRV");
      return (answered.answers as SrvAnswer[]).map((record) => record.data.target);
    };
    const honest = instance("web#1", "10.0.0.1");
    const [target = ""] = await targets([honest]);
    const imitator = instance(target.split(".")[0]!, "10.0.0.66");
    const deps = depsFor(new MemoryResolver().add("web", [imitator, honest]));
    expect(dataOf(await ask(deps, target, "A"))).toEqual(["10.0.0.1"]);
    expect(new Set(await targets([imitator, honest])).size).toBe(2);
  });

  test("names are right past the 16 KiB that pointers reach", async () => {
    const many = Array.from({ length: 256 }, (_, i) => instance(`${"n".repeat(50)}-${i}`, `10.0.0.${i}`));
    const bytes = await answerQuery(query("web.holdfast", "SRV"), depsFor(new MemoryResolver().add("web", many)));
    expect(bytes.length).toBeGreaterThan(0x4000);
    const answered = read(bytes);
    const targets = (answered.answers as SrvAnswer[]).map((record) => record.data.target);
    expect(answered.additionals!.map((record) => record.name)).toEqual(targets);
  });

  test("an instance without a port has no SRV record, but an address", async () => {
    const deps = depsFor(new MemoryResolver().add("web", [instance("a", "10.0.0.1", { ports: {} })]));
    expect((await ask(deps, "web.holdfast", "SRV")).answers).toEqual([]);
    expect(dataOf(await ask(deps, "web.holdfast", "A"))).toEqual(["10.0.0.1"]);
  });

  test("a port is found by its name or by the protocol", async () => {
    const instances = [
      instance("a", "10.0.0.1", { ports: { default: 1, Admin: 9000 } }),
      instance("b", "10.0.0.2", { protocol: "grpc", ports: { default: 50_051 } }),
    ];
    const deps = depsFor(new MemoryResolver().add("web", instances));
    const ports = async (name: string): Promise<unknown[]> =>
      ((await ask(deps, name, "SRV")).answers as SrvAnswer[]).map((record) => record.data.port);
    expect(await ports("_admin._tcp.web.service.holdfast")).toEqual([9000]);
    expect(await ports("_grpc._tcp.web.holdfast")).toEqual([50_051]);
    expect((await ask(deps, "_none._tcp.web.holdfast", "SRV")).rcode).toBe("NXDOMAIN");
    expect((await ask(deps, "___proto__._tcp.web.holdfast", "SRV")).rcode).toBe("NXDOMAIN");
  });
});

describe("tags", () => {
  const tagged = [
    instance("a", "10.0.0.1", { tags: ["V1", "blue"] }),
    instance("b", "10.0.0.2", { tags: ["v2"] }),
    instance("c", "10.0.0.3", { tags: ["v3"], status: "critical" }),
  ];
  const deps = depsFor(new MemoryResolver().add("web", tagged).add("v2.web", [instance("d", "10.0.0.4")]));
  const rows: [name: string, rcode: string, data: string[]][] = [
    ["v1.web.service.holdfast", "NOERROR", ["10.0.0.1"]],
    ["_web._BLUE.service.dc1.holdfast", "NOERROR", ["10.0.0.1"]],
    ["_web._http.service.holdfast", "NOERROR", ["10.0.0.1", "10.0.0.2"]],
    ["v2.web.service.holdfast", "NOERROR", ["10.0.0.2"]],
    ["v3.web.service.holdfast", "NOERROR", []],
    ["v4.web.service.holdfast", "NXDOMAIN", []],
    ["_web._udp.service.holdfast", "NXDOMAIN", []],
  ];
  test.each(rows)("%s: %s %s", async (name, rcode, data) => {
    const answered = await ask(deps, name, "A");
    expect([answered.rcode, dataOf(answered)]).toEqual([rcode, data]);
  });

  test("a dotted service is reached where no instance has such a tag", async () => {
    const dotted = depsFor(new MemoryResolver().add("v9.web", [instance("d", "10.0.0.4")]));
    expect(dataOf(await ask(dotted, "v9.web.service.holdfast", "A"))).toEqual(["10.0.0.4"]);
  });
});

describe("TXT", () => {
  test("has a record for each instance with metadata, in strings of at most 255 bytes", async () => {
    const meta = { version: "1.2", "a=b": "c", long: "x".repeat(600) };
    const instances = [instance("a", "10.0.0.1", { meta }), instance("b", "10.0.0.2")];
    const answered = await ask(depsFor(new MemoryResolver().add("web", instances)), "web.holdfast", "TXT");
    expect(answered.answers).toHaveLength(1);
    const strings = (answered.answers![0] as TxtAnswer).data as Buffer[];
    expect(strings.map((string) => string.length)).toEqual([11, 6, 255, 255, 95]);
    expect(Buffer.concat(strings).toString()).toBe(`version=1.2a\`=b=c${`long=${"x".repeat(600)}`}`);
  });

  test("pairs past 8 KiB are left out", async () => {
    const meta = { a: "1", big: "x".repeat(9000) };
    const deps = depsFor(new MemoryResolver().add("web", [instance("a", "10.0.0.1", { meta })]));
    const answered = await ask(deps, "web.holdfast", "TXT");
    expect((answered.answers![0] as TxtAnswer).data).toEqual([Buffer.from("a=1")]);
  });
});

describe("names that are not there", () => {
  const soa = { type: "SOA", name: "holdfast", ttl: 5 };
  const rows: [name: string, type: "A" | "MX" | "SRV", rcode: string][] = [
    ["nope.service.holdfast", "A", "NXDOMAIN"],
    ["nope.holdfast", "A", "NXDOMAIN"],
    ["web.service.dc2.holdfast", "A", "NXDOMAIN"],
    ["nope.instance.web.service.holdfast", "A", "NXDOMAIN"],
    ["a.b.c.d.e.holdfast", "A", "NXDOMAIN"],
    ["web.service.holdfast", "MX", "NOERROR"],
    ["sick.service.holdfast", "A", "NOERROR"],
    ["service.holdfast", "A", "NOERROR"],
    ["dc1.holdfast", "A", "NOERROR"],
    ["instance.web.service.holdfast", "A", "NOERROR"],
    ["_tcp.web.service.holdfast", "SRV", "NOERROR"],
    ["ns.holdfast", "A", "NOERROR"],
    ["holdfast", "A", "NOERROR"],
  ];
  test.each(rows)("%s %s is %s with the SOA", async (name, type, rcode) => {
    const deps = depsFor(web().add("sick", [instance("a", "10.0.0.1", { status: "critical" })]));
    const answered = await ask(deps, name, type);
    expect([answered.rcode, answered.flag_aa, answered.answers]).toEqual([rcode, true, []]);
    expect(answered.authorities).toMatchObject([soa]);
    expect((answered.authorities![0] as SoaAnswer).data.minimum).toBe(5);
  });

  test("the SOA of a long zone's name is whole where the question ends in it", async () => {
    const deps = depsFor(web(), { zones: [ownZone("svc.example.com", 5)] });
    const answered = await ask(deps, "nope.SVC.example.com", "A");
    expect(answered.authorities![0]!.name).toBe("SVC.example.com");
  });
});

describe("the zone itself", () => {
  test("has SOA and NS", async () => {
    const deps = depsFor(web());
    expect((await ask(deps, "Holdfast", "SOA")).answers).toMatchObject([
      { type: "SOA", name: "Holdfast", data: { mname: "ns.holdfast", rname: "hostmaster.holdfast", minimum: 5 } },
    ]);
    expect(dataOf(await ask(deps, "consul", "NS"))).toEqual(["ns.consul"]);
  });
});

describe("what is refused", () => {
  test.each(["ANY", "AXFR", "IXFR", "TKEY"] as const)("%s", async (type) => {
    const resolver = web();
    // dns-packet knows ANY, its types do not.
    const answered = await ask(depsFor(resolver), "web.service.holdfast", type as "AXFR");
    expect([answered.rcode, answered.flag_aa, answered.answers, resolver.asked]).toEqual(["REFUSED", false, [], []]);
  });

  test("names outside our zones, the root, and other classes", async () => {
    const deps = depsFor(web());
    expect((await ask(deps, "example.com", "A")).rcode).toBe("REFUSED");
    expect((await ask(deps, ".", "NS")).rcode).toBe("REFUSED");
    const chaos = await ask(deps, "web.holdfast", "TXT", {
      questions: [{ name: "web.holdfast", type: "TXT", class: "CH" }],
    });
    expect(chaos.rcode).toBe("REFUSED");
  });

  test.each([1, 2, 3, 4, 5, 6, 15])("opcode %i is NOTIMP, and echoed", async (opcode) => {
    const answered = await ask(depsFor(web()), "web.holdfast", "A", { flags: opcode << 11 });
    expect(answered.rcode).toBe("NOTIMP");
    expect(((answered.flags ?? 0) >> 11) & 15).toBe(opcode);
  });

  test("responses are dropped, so that servers do not answer each other", async () => {
    expect(await answerQuery(query("web.holdfast", "A", { type: "response" }), depsFor(web()))).toHaveLength(0);
  });
});

describe("private instances", () => {
  const instances = [
    instance("open", "10.0.0.1"),
    instance("hidden", "10.0.0.2", { private: true, tags: ["inner"], meta: { a: "b" } }),
  ];
  const resolver = new MemoryResolver()
    .add("web", instances)
    .add("web", instances, "other")
    .add("lone", [instances[1]!]);

  test("never show outside the namespace, in any type or name", async () => {
    const deps = depsFor(resolver);
    expect(dataOf(await ask(deps, "web.holdfast", "A"))).toEqual(["10.0.0.1"]);
    expect((await ask(deps, "web.holdfast", "SRV")).answers).toHaveLength(1);
    expect((await ask(deps, "web.holdfast", "TXT")).answers).toEqual([]);
    expect((await ask(deps, "hidden.instance.web.service.holdfast", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask(deps, "inner.web.service.holdfast", "A")).rcode).toBe("NXDOMAIN");
    expect((await ask(deps, "lone.holdfast", "A")).rcode).toBe("NOERROR");
  });

  test("show inside it, and those of another namespace still do not", async () => {
    const deps = depsFor(resolver, { showPrivate: true });
    expect(dataOf(await ask(deps, "web.holdfast", "A"))).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(dataOf(await ask(deps, "web.Default.holdfast", "A"))).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(dataOf(await ask(deps, "web.other.holdfast", "A"))).toEqual(["10.0.0.1"]);
    expect(dataOf(await ask(deps, "web.service.other.ns.holdfast", "A"))).toEqual(["10.0.0.1"]);
  });
});

describe("letter case", () => {
  test("names match in any case, and the question comes back letter for letter", async () => {
    const asked = query("wEb.SerVICE.hOLDfast", "A");
    const bytes = await answerQuery(asked, depsFor(web()));
    expect(Buffer.from(bytes.subarray(12, asked.length))).toEqual(Buffer.from(asked.subarray(12)));
    expect(dataOf(read(bytes))).toEqual(["10.0.0.1", "10.0.0.2"]);
  });

  test("services registered in upper case are found, and in mixed case as spelled", async () => {
    const deps = depsFor(new MemoryResolver().add("ORDERS", [two[0]!]).add("MyWeb", [two[1]!]));
    expect(dataOf(await ask(deps, "orders.service.holdfast", "A"))).toEqual(["10.0.0.1"]);
    expect(dataOf(await ask(deps, "MyWeb.service.holdfast", "A"))).toEqual(["10.0.0.2"]);
  });

  test("a label with a dot inside is one label", async () => {
    const deps = depsFor(new MemoryResolver().add("com.web", [two[0]!]));
    const name = Buffer.from([7, ...Buffer.from("com.web"), 8, ...Buffer.from("holdfast"), 0]);
    const bytes = Buffer.concat([query(".", "A").subarray(0, 12), name, Buffer.from([0, 1, 0, 1])]);
    expect(dataOf(read(await answerQuery(bytes, deps)))).toEqual(["10.0.0.1"]);
  });
});

describe("sizes over UDP", () => {
  const many = Array.from({ length: 200 }, (_, i) => instance(`web-${i}`, `10.0.0.${i}`));
  const resolver = new MemoryResolver().add("web", many);
  const size = async (
    type: "A" | "SRV",
    edns: number | null,
  ): Promise<[bytes: number, tc: boolean, answers: number]> => {
    const asked = query("web.service.holdfast", type, edns === null ? {} : { additionals: optRecord(edns) });
    const bytes = await answerQuery(asked, depsFor(resolver, { transport: "udp" }));
    const answered = read(bytes);
    expect(answered.answers).toHaveLength(new DataView(bytes.buffer, bytes.byteOffset).getUint16(6));
    return [bytes.length, answered.flag_tc, answered.answers!.length];
  };

  const rows: [offered: number | null, limit: number][] = [
    [null, 512],
    [1, 512],
    [512, 512],
    [1232, 1232],
    [4096, 4096],
    [65_535, 4096],
  ];
  test.each(rows)("%s offered: at most %i bytes, whole records, TC", async (offered, limit) => {
    const [bytes, tc, answers] = await size("SRV", offered);
    expect([tc, bytes <= limit]).toEqual([true, true]);
    // One more record would not have fitted.
    expect(bytes).toBeGreaterThan(limit - 80);
    expect(answers).toBeGreaterThan(0);
  });

  test("no TC where all answers fit and only addresses at hand do not", async () => {
    const few = depsFor(new MemoryResolver().add("web", many.slice(0, 7)), { transport: "udp" });
    const answered = await ask(few, "web.service.holdfast", "SRV");
    expect([answered.flag_tc, answered.answers!.length]).toEqual([false, 7]);
    expect(answered.additionals!.length).toBe(3);
  });

  test("everything fits over TCP", async () => {
    const answered = await ask(depsFor(resolver), "web.service.holdfast", "SRV");
    expect([answered.flag_tc, answered.answers!.length, answered.additionals!.length]).toEqual([false, 200, 200]);
  });
});

describe("EDNS", () => {
  test("is answered in kind, with DO as asked, and not where it was not spoken", async () => {
    const deps = depsFor(web(), { transport: "udp" });
    const answered = await ask(deps, "web.holdfast", "A", { additionals: optRecord(4096, 0, 0x8000) });
    expect(answered.additionals).toMatchObject([
      { type: "OPT", name: ".", udpPayloadSize: 1232, ednsVersion: 0, extendedRcode: 0, flag_do: true },
    ]);
    expect((await ask(deps, "web.holdfast", "A")).additionals).toEqual([]);
  });

  test("version 1 is BADVERS", async () => {
    const answered = await ask(depsFor(web()), "web.holdfast", "A", { additionals: optRecord(1232, 1) });
    expect([answered.rcode, answered.answers]).toEqual(["NOERROR", []]);
    expect(answered.additionals).toMatchObject([{ type: "OPT", extendedRcode: 1, ednsVersion: 0 }]);
  });

  test("two OPT records are FORMERR", async () => {
    const additionals = [...optRecord(1232), ...optRecord(1232)];
    expect((await ask(depsFor(web()), "web.holdfast", "A", { additionals })).rcode).toBe("FORMERR");
  });
});

describe("a resolver in trouble", () => {
  const extended = (answered: Awaited<ReturnType<typeof ask>>): unknown =>
    answered.additionals!.flatMap((record) =>
      record.type === "OPT" ? record.options.map((option) => [option.code, option.data!.readUInt16BE(0)]) : [],
    );

  test("out of reach is SERVFAIL", async () => {
    const resolver = web();
    resolver.unavailable = true;
    const answered = await ask(depsFor(resolver), "web.holdfast", "A", { additionals: optRecord(1232) });
    expect([answered.rcode, answered.flag_aa, extended(answered)]).toEqual(["SERVFAIL", false, [[15, 22]]]);
  });

  test("a stale view is served, and says so", async () => {
    const resolver = web();
    resolver.stale = true;
    resolver.selfPreservation = true;
    const answered = await ask(depsFor(resolver), "web.holdfast", "A", { additionals: optRecord(1232) });
    expect(dataOf(answered)).toEqual(["10.0.0.1", "10.0.0.2"]);
    expect(extended(answered)).toEqual([
      [15, 3],
      [15, 0],
    ]);
  });

  const expected: Partial<Record<string, string>> = {
    invalid_argument: "NXDOMAIN",
    not_found: "NXDOMAIN",
    unauthenticated: "REFUSED",
    permission_denied: "REFUSED",
    rate_limited: "REFUSED",
    quota_exceeded: "REFUSED",
    unsupported: "REFUSED",
  };
  test.each([...ERROR_CODES, "a bug"])("%s has its code", async (code) => {
    const resolver: Resolver = {
      resolve: async () => {
        const known = ERROR_CODES.find((one) => one === code);
        throw known === undefined ? new TypeError("x is undefined") : new HoldfastError(known, "no");
      },
    };
    expect((await ask(depsFor(resolver), "web.holdfast", "A")).rcode).toBe(expected[code] ?? "SERVFAIL");
  });
});

test("TTLs come from the setting, whole and not negative", async () => {
  const ttl = async (ttlSeconds: number): Promise<unknown> =>
    (await ask(depsFor(web(), { zones: [ownZone("holdfast", ttlSeconds)] }), "web.holdfast", "A")).answers!.map(
      (one) => "ttl" in one && one.ttl,
    )[0];
  expect([await ttl(0), await ttl(2.9), await ttl(-1), await ttl(Number.NaN), await ttl(1e12)]).toEqual([
    0, 2, 0, 0, 2_147_483_647,
  ]);
});
