/** Packets that nobody honest sends. Each is answered with the code it earns or dropped; none throws, hangs or costs a lookup it should not. */
import { Buffer } from "node:buffer";
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { answerQuery } from "../../../../workers/dialects/dns/answer.ts";
import { MemoryResolver, depsFor, instance, query, read } from "./fixture.ts";

const bytes = (...parts: (number | number[] | string | Uint8Array)[]): Uint8Array =>
  new Uint8Array(
    Buffer.concat(parts.map((part) => (typeof part === "number" ? Buffer.of(part) : Buffer.from(part as string)))),
  );
const u16 = (value: number): number[] => [value >> 8, value & 0xff];
/** Header with id 0x1234, flags and the four counts. */
const header = (flags: number, qd = 1, an = 0, ns = 0, ar = 0): number[] =>
  [0x1234, flags, qd, an, ns, ar].flatMap(u16);
const label = (text: string | Uint8Array): Uint8Array => bytes(bytes(text).length, text);
const HOLDFAST = bytes(label("holdfast"), 0);
const WEB = bytes(label("web"), HOLDFAST);
const IN_A = [...u16(1), ...u16(1)];
const question = (name: Uint8Array, type = 1, qclass = 1): Uint8Array => bytes(name, u16(type), u16(qclass));
const opt = (size: number, version: number, data: number[], length = data.length): Uint8Array =>
  bytes(0, u16(41), u16(size), [0, version, 0, 0], u16(length), data);
const record = (type: number, length: number, data: number[] = [], owner: number[] = [0xc0, 12]): Uint8Array =>
  bytes(owner, u16(type), u16(1), [0, 0, 0, 0], u16(length), data);

const DROPPED = "dropped";
const corpus: [what: string, packet: Uint8Array, outcome: string][] = [
  // too short, or no query
  ["nothing", bytes(), DROPPED],
  ["one byte", bytes(0), DROPPED],
  ["eleven bytes", bytes(header(0).slice(0, 11)), DROPPED],
  ["a response", bytes(header(0x8000), question(WEB)), DROPPED],
  ["a response with an error", bytes(header(0x8183), question(WEB)), DROPPED],
  ["a response of nothing", bytes(header(0x8000, 0)), DROPPED],
  ["all bits set", new Uint8Array(512).fill(0xff), DROPPED],
  // counts that lie
  ["a header alone", bytes(header(0)), "FORMERR"],
  ["no question", bytes(header(0, 0)), "FORMERR"],
  ["no question, but bytes for one", bytes(header(0, 0), question(WEB)), "FORMERR"],
  ["two questions", bytes(header(0, 2), question(WEB), question(WEB)), "FORMERR"],
  ["two questions, one there", bytes(header(0, 2), question(WEB)), "FORMERR"],
  ["65535 questions", bytes(header(0, 65_535), question(WEB)), "FORMERR"],
  ["65535 answers", bytes(header(0, 1, 65_535), question(WEB)), "FORMERR"],
  ["65535 authorities", bytes(header(0, 1, 0, 65_535), question(WEB)), "FORMERR"],
  ["65535 additionals", bytes(header(0, 1, 0, 0, 65_535), question(WEB)), "FORMERR"],
  ["65535 of each", bytes(header(0, 65_535, 65_535, 65_535, 65_535), question(WEB)), "FORMERR"],
  ["an additional that is not there", bytes(header(0, 1, 0, 0, 1), question(WEB)), "FORMERR"],
  ["an answer in a query", bytes(header(0, 1, 1), question(WEB), record(1, 4, [1, 2, 3, 4])), "FORMERR"],
  [
    "nine additionals",
    bytes(header(0, 1, 0, 0, 9), question(WEB), ...Array.from({ length: 9 }, () => record(1, 4, [1, 2, 3, 4]))),
    "FORMERR",
  ],
  ["bytes behind the question", bytes(header(0), question(WEB), 0), "FORMERR"],
  ["4000 bytes behind the question", bytes(header(0), question(WEB), new Uint8Array(4000)), "FORMERR"],
  // names
  ["a name without end", bytes(header(0), label("web")), "FORMERR"],
  ["a name that ends in its label", bytes(header(0), 63, "web"), "FORMERR"],
  ["a name without type", bytes(header(0), WEB), "FORMERR"],
  ["a name with half a class", bytes(header(0), WEB, [0, 1, 0]), "FORMERR"],
  ["a pointer to itself", bytes(header(0), [0xc0, 12], IN_A), "FORMERR"],
  ["a pointer to the next pointer", bytes(header(0), [0xc0, 14, 0xc0, 12], IN_A), "FORMERR"],
  ["two pointers in a ring", bytes(header(0), label("a"), [0xc0, 16, 0xc0, 12], IN_A), "FORMERR"],
  ["a pointer forwards", bytes(header(0), [0xc0, 18], IN_A, WEB), "FORMERR"],
  ["a pointer into the header", bytes(header(0), [0xc0, 0], IN_A), "FORMERR"],
  ["a pointer past the end", bytes(header(0), [0xff, 0xff], IN_A), "FORMERR"],
  ["half a pointer", bytes(header(0), 0xc0), "FORMERR"],
  ["a pointer behind a label", bytes(header(0), label("web"), [0xc0, 12], IN_A), "FORMERR"],
  ["a label of 64 bytes", bytes(header(0), 64, "a".repeat(64), HOLDFAST, IN_A), "FORMERR"],
  ["a label of 191 bytes", bytes(header(0), 191, "a".repeat(191), HOLDFAST, IN_A), "FORMERR"],
  ["an extended label (RFC 2673)", bytes(header(0), 0x41, 8, 0xff, HOLDFAST, IN_A), "FORMERR"],
  [
    "a name of 256 bytes",
    bytes(header(0), ...Array.from({ length: 3 }, () => label("a".repeat(63))), label("b".repeat(53)), HOLDFAST, IN_A),
    "FORMERR",
  ],
  [
    "a name of 255 bytes",
    bytes(header(0), ...Array.from({ length: 3 }, () => label("a".repeat(63))), label("b".repeat(52)), HOLDFAST, IN_A),
    "NXDOMAIN",
  ],
  ["128 labels", bytes(header(0), ...Array.from({ length: 128 }, () => label("a")), 0, IN_A), "FORMERR"],
  ["2000 labels", bytes(header(0), ...Array.from({ length: 2000 }, () => label("a")), 0, IN_A), "FORMERR"],
  [
    "118 labels of ours",
    bytes(header(0), ...Array.from({ length: 118 }, () => label("a")), HOLDFAST, IN_A),
    "NXDOMAIN",
  ],
  ["bytes that are no UTF-8", bytes(header(0), label(Uint8Array.of(0xff, 0xfe, 0x80)), HOLDFAST, IN_A), "NXDOMAIN"],
  ["a NUL in a label", bytes(header(0), label("we\u0000b"), HOLDFAST, IN_A), "NXDOMAIN"],
  ["a line break in a label", bytes(header(0), label("web\n"), HOLDFAST, IN_A), "NXDOMAIN"],
  ["a label of dots", bytes(header(0), label("...."), HOLDFAST, IN_A), "NXDOMAIN"],
  ["the zone's name as one label with dots", bytes(header(0), label("web.holdfast"), 0, IN_A), "REFUSED"],
  ["a label of underscores", bytes(header(0), label("_"), label("_"), HOLDFAST, IN_A), "NXDOMAIN"],
  ["__proto__", bytes(header(0), label("__proto__"), HOLDFAST, IN_A), "NOERROR"],
  ["constructor", bytes(header(0), label("constructor"), HOLDFAST, IN_A), "NXDOMAIN"],
  ["a path", bytes(header(0), label("../../etc"), HOLDFAST, IN_A), "NXDOMAIN"],
  ["IDNA that is not", bytes(header(0), label("xn--\u00e4"), HOLDFAST, IN_A), "NXDOMAIN"],
  ["the root", bytes(header(0), question(bytes(0))), "REFUSED"],
  // types, classes, opcodes
  ["type 0", bytes(header(0), question(WEB, 0)), "NOERROR"],
  ["type 65535", bytes(header(0), question(WEB, 65_535)), "NOERROR"],
  ["OPT as a question", bytes(header(0), question(WEB, 41)), "FORMERR"],
  ["ANY", bytes(header(0), question(WEB, 255)), "REFUSED"],
  ["AXFR", bytes(header(0), question(HOLDFAST, 252)), "REFUSED"],
  [
    "IXFR with its SOA",
    bytes(header(0, 1, 0, 1), question(HOLDFAST, 251), record(6, 22, [0, 0, ...Array.from({ length: 20 }, () => 0)])),
    "REFUSED",
  ],
  ["MAILA", bytes(header(0), question(WEB, 254)), "REFUSED"],
  ["class 0", bytes(header(0), question(WEB, 1, 0)), "REFUSED"],
  ["class ANY", bytes(header(0), question(WEB, 1, 255)), "REFUSED"],
  ["class IN with the multicast bit", bytes(header(0), question(WEB, 1, 0x8001)), "REFUSED"],
  ["an update", bytes(header(5 << 11), question(HOLDFAST, 6)), "NOTIMP"],
  ["a notify", bytes(header(4 << 11), question(HOLDFAST, 6)), "NOTIMP"],
  ["opcode 15 with lying counts", bytes(header(15 << 11, 9, 9, 9, 9)), "NOTIMP"],
  ["TC, Z and every flag", bytes(header(0x07ff), question(WEB)), "NOERROR"],
  // EDNS and other additionals
  ["OPT of size 65535", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(65_535, 0, [])), "NOERROR"],
  ["OPT of size 0", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(0, 0, [])), "NOERROR"],
  ["OPT whose length lies", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, [], 65_535)), "FORMERR"],
  ["OPT with a cut option", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, [0, 10, 0, 8, 1])), "FORMERR"],
  [
    "OPT with an option over its end",
    bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, [0, 10, 255, 255])),
    "FORMERR",
  ],
  [
    "client subnet of nonsense",
    bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, [0, 8, 0, 4, 9, 9, 255, 255])),
    "NOERROR",
  ],
  ["client subnet cut short", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, [0, 8, 0, 1, 0])), "FORMERR"],
  ["key tags over the end", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, [0, 14, 0, 255])), "FORMERR"],
  [
    "900 empty options",
    bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 0, Array.from({ length: 900 }, () => [0, 99, 0, 0]).flat())),
    "NOERROR",
  ],
  ["OPT with a name", bytes(header(0, 1, 0, 0, 1), question(WEB), label("a"), opt(1232, 0, [])), "FORMERR"],
  ["OPT version 255", bytes(header(0, 1, 0, 0, 1), question(WEB), opt(1232, 255, [])), "NOERROR"],
  ["HINFO cut short, eight times", bytes(header(0, 1, 0, 0, 8), question(WEB), record(13, 2)), "FORMERR"],
  ["SOA cut short", bytes(header(0, 1, 0, 0, 1), question(WEB), record(6, 200)), "FORMERR"],
  ["RRSIG of nothing", bytes(header(0, 1, 0, 0, 1), question(WEB), record(46, 0)), "FORMERR"],
  [
    "NSEC with a bitmap that lies",
    bytes(header(0, 1, 0, 0, 1), question(WEB), record(47, 40, [0, 0, 255, 1])),
    "FORMERR",
  ],
  [
    "NAPTR over the end",
    bytes(header(0, 1, 0, 0, 1), question(WEB), record(35, 7, [0, 1, 0, 1, 255, 255, 255])),
    "FORMERR",
  ],
  ["TXT over its end", bytes(header(0, 1, 0, 0, 1), question(WEB), record(16, 2, [255, 1])), "FORMERR"],
  [
    "an additional whose name points at itself",
    bytes(header(0, 1, 0, 0, 1), question(WEB), record(1, 4, [1, 2, 3, 4], [0xc0, 30])),
    "FORMERR",
  ],
  [
    "an additional whose data points at itself",
    bytes(header(0, 1, 0, 0, 1), question(WEB), record(5, 2, [0xc0, 42])),
    "FORMERR",
  ],
  ["an ordinary unknown additional", bytes(header(0, 1, 0, 0, 1), question(WEB), record(999, 3, [1, 2, 3])), "NOERROR"],
  // sizes
  ["4097 bytes", bytes(header(0), question(WEB), new Uint8Array(4097 - 30)), "FORMERR"],
  ["65535 bytes", bytes(header(0), question(WEB), new Uint8Array(65_535 - 30)), "FORMERR"],
  ["other text on the port", bytes("GET / HTTP/1.1\r\nHost: holdfast\r\n\r\n"), "NOTIMP"],
];

const resolver = (): MemoryResolver =>
  new MemoryResolver().add("web", [instance("a", "10.0.0.1")]).add("__proto__", [instance("a", "10.0.0.1")]);

describe("a hostile packet", () => {
  test("the corpus is as large as it claims, and its rows differ", () => {
    expect(new Set(corpus.map(([, packet]) => Buffer.from(packet).toString("hex"))).size).toBeGreaterThanOrEqual(80);
  });

  test.each(corpus)("%s", async (_what, packet, outcome) => {
    for (const transport of ["udp", "tcp"] as const) {
      const asked = resolver();
      const answer = await answerQuery(packet, depsFor(asked, { transport }));
      if (outcome === DROPPED) {
        expect(answer).toHaveLength(0);
        continue;
      }
      const answered = read(answer);
      expect([answered.rcode, answered.type, answered.id]).toEqual([
        outcome,
        "response",
        (packet[0]! << 8) | packet[1]!,
      ]);
      if (transport === "udp") expect(answer.length).toBeLessThanOrEqual(512);
      if (outcome === "FORMERR" || outcome === "NOTIMP" || outcome === "REFUSED") expect(asked.asked).toEqual([]);
    }
  });

  test("any bytes at all are answered or dropped, within the size", async () => {
    const deps = depsFor(resolver(), { transport: "udp" });
    const noise = fc.uint8Array({ maxLength: 600 });
    await fc.assert(
      fc.asyncProperty(noise, async (packet) => isProper(await answerQuery(packet, deps))),
      { numRuns: 300 },
    );
  });

  test("an honest packet with a few bytes changed is answered or dropped", async () => {
    const deps = depsFor(resolver(), { transport: "udp" });
    const honest = bytes(header(0x0100, 1, 0, 0, 1), question(WEB, 33), opt(1232, 0, [0, 10, 0, 2, 1, 2]));
    const changes = fc.array(fc.tuple(fc.nat(honest.length - 1), fc.integer({ min: 0, max: 255 })), { maxLength: 6 });
    const changed = async (edits: [number, number][]): Promise<boolean> => {
      const packet = Uint8Array.from(honest);
      for (const [at, value] of edits) packet[at] = value;
      return isProper(await answerQuery(packet, deps));
    };
    await fc.assert(fc.asyncProperty(changes, changed), { numRuns: 1000 });
  });

  test("an honest packet cut anywhere is answered or dropped", async () => {
    const honest = query("web.holdfast", "SRV");
    for (let length = 0; length < honest.length; length++) {
      const answer = await answerQuery(honest.subarray(0, length), depsFor(resolver()));
      expect(length < 12 ? answer.length : read(answer).rcode).toBe(length < 12 ? 0 : "FORMERR");
    }
  });

  test("a name that does not exist costs at most six lookups", async () => {
    const asked = resolver();
    await answerQuery(query("aB.cD.service.holdfast", "A"), depsFor(asked));
    expect(asked.asked).toHaveLength(6);
  });
});

/** Silence, or a whole reply that a client can decode. */
function isProper(answer: Uint8Array): boolean {
  return answer.length === 0 || (read(answer).type === "response" && answer.length <= 4096);
}
