import { expect, test } from "vitest";
import { assertEgress, assertEgressUrl, parseEgressPolicy, resolveEgress } from "../../objects/egress.ts";
import type { EgressEnv, EgressPolicy } from "../../objects/egress.ts";
import { HoldfastError } from "../../objects/errors.ts";

const policy = (env: EgressEnv = {}): EgressPolicy => parseEgressPolicy(env);
const open = policy({ HOLDFAST_EGRESS_ALLOW: "private" });
const closed = policy();

/** The reason of the refusal, or "allowed". */
function verdict(host: string, rules: EgressPolicy, port = 80, protocol = "http"): string {
  try {
    assertEgress({ protocol, host, port }, rules);
    return "allowed";
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "permission_denied") throw error;
    return String(error.details?.["reason"]);
  }
}

/** Host, verdict where private targets are allowed, verdict where they are not (the same when left out). */
const ALIASES: [host: string, open: string, closed?: string][] = [
  // Loopback, in every spelling that `fetch` takes for it.
  ["127.0.0.1", "allowed", "loopback"],
  ["127.255.255.254", "allowed", "loopback"],
  ["127.1", "allowed", "loopback"],
  ["127.0.1", "allowed", "loopback"],
  ["2130706433", "allowed", "loopback"],
  ["0x7f000001", "allowed", "loopback"],
  ["0X7F000001", "allowed", "loopback"],
  ["0x7f.1", "allowed", "loopback"],
  ["0177.0.0.1", "allowed", "loopback"],
  ["017700000001", "allowed", "loopback"],
  ["0x7F.0x0.0x0.0x1", "allowed", "loopback"],
  ["127.0.0.1.", "allowed", "loopback"],
  ["１２７.０.０.１", "allowed", "loopback"],
  ["127。0。0。1", "allowed", "loopback"],
  ["①②⑦.0.0.1", "allowed", "loopback"],
  ["%31%32%37.0.0.1", "allowed", "loopback"],
  ["127%2e0%2e0%2e1", "allowed", "loopback"],
  ["localhost", "allowed", "loopback"],
  ["LOCALHOST", "allowed", "loopback"],
  ["localhost.", "allowed", "loopback"],
  ["ｌｏｃａｌｈｏｓｔ", "allowed", "loopback"],
  ["loc%61lhost", "allowed", "loopback"],
  ["a.b.localhost", "allowed", "loopback"],
  ["localhost.localdomain", "allowed", "loopback"],
  ["ip6-localhost", "allowed", "loopback"],
  ["::1", "allowed", "loopback"],
  ["[::1]", "allowed", "loopback"],
  ["[0:0:0:0:0:0:0:1]", "allowed", "loopback"],
  ["[0000::0001]", "allowed", "loopback"],
  ["[::ffff:127.0.0.1]", "allowed", "loopback"],
  ["[::FFFF:7F00:1]", "allowed", "loopback"],
  ["[::127.0.0.1]", "allowed", "loopback"],
  ["[64:ff9b::7f00:1]", "allowed", "loopback"],
  ["[::ffff:0:127.0.0.1]", "allowed", "loopback"],
  ["[2002:7f00:1::]", "allowed", "loopback"],
  // Private networks.
  ["10.0.0.1", "allowed", "private"],
  ["012.0.0.1", "allowed", "private"],
  ["172.16.0.1", "allowed", "private"],
  ["172.31.255.255", "allowed", "private"],
  ["192.168.0.1", "allowed", "private"],
  ["3232235521", "allowed", "private"],
  ["192.168.257", "allowed", "private"],
  ["100.64.0.1", "allowed", "private"],
  ["[fc00::1]", "allowed", "private"],
  ["[fdff::1]", "allowed", "private"],
  ["[fec0::1]", "allowed", "private"],
  ["[::ffff:10.0.0.1]", "allowed", "private"],
  ["[64:ff9b::10.0.0.1]", "allowed", "private"],
  ["[2002:a00:1::1]", "allowed", "private"],
  ["[2001:0:808:808::f5ff:fffe]", "allowed", "private"], // Teredo, the client is 10.0.0.1
  ["[2001:0:a00:1::f7f7:f7f7]", "allowed", "private"], // Teredo, the server is 10.0.0.1
  ["[2606:4700::5efe:10.0.0.1]", "allowed", "private"], // ISATAP
  // Metadata and link-local: never.
  ["169.254.169.254", "link_local"],
  ["169.254.170.2", "link_local"],
  ["169.254.0.23", "link_local"],
  ["2852039166", "link_local"],
  ["0xA9FEA9FE", "link_local"],
  ["0xa9.0xfe.0xa9.0xfe", "link_local"],
  ["0251.0376.0251.0376", "link_local"],
  ["169.254.43518", "link_local"],
  ["169.16689662", "link_local"],
  ["１６９.２５４.１６９.２５４", "link_local"],
  ["%31%36%39.254.169.254", "link_local"],
  ["169.254.169.254.", "link_local"],
  ["[::ffff:169.254.169.254]", "link_local"],
  ["[::ffff:a9fe:a9fe]", "link_local"],
  ["[::a9fe:a9fe]", "link_local"],
  ["[64:ff9b::a9fe:a9fe]", "link_local"],
  ["[::ffff:0:a9fe:a9fe]", "link_local"],
  ["[2002:a9fe:a9fe::]", "link_local"],
  ["[2001:0:808:808::5601:5601]", "link_local"], // Teredo, the client is 169.254.169.254
  ["[2606:4700::5efe:a9fe:a9fe]", "link_local"], // ISATAP
  ["[2606:4700::200:5efe:a9fe:a9fe]", "link_local"], // ISATAP, universal
  ["[fe80::1]", "link_local"],
  ["[febf::1]", "link_local"],
  ["[fd00:ec2::254]", "metadata"],
  ["[FD00:0EC2:0:0::0254]", "metadata"],
  ["[fd20:ce::254]", "metadata"],
  ["100.100.100.200", "metadata"],
  ["1684301000", "metadata"],
  ["192.0.0.192", "metadata"],
  ["168.63.129.16", "metadata"],
  ["metadata.google.internal", "metadata"],
  ["Metadata.Google.Internal.", "metadata"],
  ["metadata", "metadata"],
  ["metadata.goog", "metadata"],
  ["instance-data.ec2.internal", "metadata"],
  // Never a single machine.
  ["0.0.0.0", "unspecified"],
  ["0", "unspecified"],
  ["0x0", "unspecified"],
  ["0.1.2.3", "unspecified"],
  ["[::]", "unspecified"],
  ["[::ffff:0.0.0.0]", "unspecified"],
  ["224.0.0.1", "multicast"],
  ["239.255.255.250", "multicast"],
  ["255.255.255.255", "multicast"],
  ["4294967295", "multicast"],
  ["[ff02::1]", "multicast"],
  ["[64:ff9b:1::a9fe:a9fe]", "translated"],
  // Reserved: documentation, benchmarking, future use.
  ["192.0.2.1", "reserved"],
  ["198.18.0.1", "reserved"],
  ["203.0.113.9", "reserved"],
  ["240.0.0.1", "reserved"],
  ["[2001:db8::1]", "reserved"],
  ["[100::1]", "reserved"],
  // No host at all, or a text that would end the host early.
  ["", "malformed"],
  ["[fe80::1%25eth0]", "malformed"],
  ["fe80::1%eth0", "malformed"],
  ["127.0.0.1#.example.com", "malformed"],
  ["127.0.0.1/.example.com", "malformed"],
  ["127.0.0.1\\.example.com", "malformed"],
  ["user@127.0.0.1", "malformed"],
  ["127.0.\t0.1", "malformed"],
  ["127.0.0.1\n", "malformed"],
  [" 127.0.0.1", "malformed"],
  ["127.0.0.1:80", "malformed"],
  ["127.0.0.1%00.example.com", "malformed"],
  ["127.0.0.1%2f.example.com", "malformed"],
  ["256.0.0.1", "malformed"],
  ["1.2.3.4.5", "malformed"],
  ["4294967296", "malformed"],
  ["0x1ffffffff", "malformed"],
  ["example..com", "malformed"],
  ["[::1", "malformed"],
  ["[::1]x", "malformed"],
  [`${"a".repeat(64)}.com`, "malformed"],
  ["a".repeat(2000), "malformed"],
  // Public.
  ["example.com", "allowed"],
  ["EXAMPLE.com.", "allowed"],
  ["localhost.example.com", "allowed"],
  ["my_service", "allowed"],
  ["bücher.example", "allowed"],
  ["8.8.8.8", "allowed"],
  ["172.15.0.1", "allowed"],
  ["172.32.0.1", "allowed"],
  ["[2606:4700::1111]", "allowed"],
  ["[64:ff9b::808:808]", "allowed"],
  ["[::ffff:8.8.8.8]", "allowed"],
];

test.each(ALIASES)("%s", (host, whenOpen, whenClosed = whenOpen) => {
  expect([verdict(host, open), verdict(host, closed)]).toEqual([whenOpen, whenClosed]);
});

test("an allowed network cannot open what is never a target", () => {
  const all = policy({ HOLDFAST_EGRESS_ALLOW: "private, 0.0.0.0/0 ::/0" });
  const never = ["link_local", "metadata", "unspecified", "multicast", "translated"];
  for (const [host, whenOpen] of ALIASES.filter(([, reason]) => never.includes(reason))) {
    expect([host, verdict(host, all)]).toEqual([host, whenOpen]);
  }
  expect(verdict("198.18.0.1", all)).toBe("allowed");
});

test("a listed network is open in all of its spellings, its neighbour is not", () => {
  const rules = policy({ HOLDFAST_EGRESS_ALLOW: "10.1.0.0/16,192.0.2.7,fd12::/32" });
  for (const host of ["10.1.2.3", "[::ffff:10.1.2.3]", "0xa010203", "192.0.2.7", "[fd12::1]"]) {
    expect([host, verdict(host, rules)]).toEqual([host, "allowed"]);
  }
  expect(verdict("10.2.0.1", rules)).toBe("private");
  expect(verdict("192.0.2.8", rules)).toBe("reserved");
  expect(verdict("127.0.0.1", rules)).toBe("loopback");
  expect(verdict("localhost", policy({ HOLDFAST_EGRESS_ALLOW: "127.0.0.0/8" }))).toBe("loopback"); // ::1 is not listed
  expect(verdict("localhost", policy({ HOLDFAST_EGRESS_ALLOW: "127.0.0.0/8,::1" }))).toBe("allowed");
});

test("denied networks are stronger than allowed ones, whatever carries the address", () => {
  const rules = policy({
    HOLDFAST_EGRESS_ALLOW: "private 10.0.0.0/8",
    HOLDFAST_EGRESS_DENY: "10.9.0.0/16,8.8.8.8,2002::/16",
  });
  for (const host of [
    "10.9.0.1",
    "[::ffff:10.9.0.1]",
    "[64:ff9b::a09:1]",
    "8.8.8.8",
    "134744072",
    "[2002:808:404::]",
  ]) {
    expect([host, verdict(host, rules)]).toEqual([host, "denied"]);
  }
  expect(verdict("10.8.0.1", rules)).toBe("allowed");
  expect(verdict("localhost", policy({ HOLDFAST_EGRESS_ALLOW: "private", HOLDFAST_EGRESS_DENY: "::1" }))).toBe(
    "denied",
  );
  expect(verdict("10.0.0.1", policy({ HOLDFAST_EGRESS_ALLOW: "private", HOLDFAST_EGRESS_DENY: "private" }))).toBe(
    "private",
  );
  expect(
    verdict("10.0.0.1", policy({ HOLDFAST_EGRESS_ALLOW: "private", HOLDFAST_EGRESS_DENY: "::ffff:10.0.0.0/104" })),
  ).toBe("denied");
});

test("Holdfast's own hosts are no target, under any alias of loopback either", () => {
  const rules = policy({
    HOLDFAST_EGRESS_ALLOW: "private",
    HOLDFAST_SELF_HOSTS: "127.0.0.1:8500 [::1]:8600 edge.example.com",
    HOLDFAST_DOMAIN: "mesh.example",
  });
  for (const host of [
    "127.0.0.1",
    "localhost",
    "2130706433",
    "[::1]",
    "[::ffff:127.0.0.1]",
    "127.0.0.2",
    "x.localhost",
  ]) {
    expect([host, verdict(host, rules, 8500)]).toEqual([host, "self"]);
    expect([host, verdict(host, rules, 8501)]).toEqual([host, "allowed"]);
  }
  expect(verdict("localhost", rules, 8600)).toBe("self");
  expect(verdict("EDGE.example.com.", rules, 1234)).toBe("self");
  expect(verdict("mesh.example", rules)).toBe("self");
  expect(verdict("web.default.mesh.example", rules)).toBe("self");
  expect(verdict("notmesh.example", rules)).toBe("allowed");
});

test("ports: HTTP keeps to those of the Fetch standard, TCP checks may look at all but mail", () => {
  expect(verdict("example.com", closed, 22)).toBe("port");
  expect(verdict("example.com", closed, 6379)).toBe("allowed");
  expect(verdict("example.com", closed, 22, "tcp")).toBe("allowed");
  expect(verdict("example.com", closed, 25, "tcp")).toBe("port");
  for (const port of [0, -1, 65536, 80.5, Number.NaN]) expect(verdict("example.com", closed, port, "tcp")).toBe("port");
  const listed = policy({ HOLDFAST_EGRESS_PORTS: "22,8000-8010" });
  expect([22, 8000, 8010, 8011, 80].map((port) => verdict("example.com", listed, port))).toEqual([
    "allowed",
    "allowed",
    "allowed",
    "port",
    "port",
  ]);
});

test("protocols: http, https and tcp only", () => {
  for (const protocol of ["http", "https:", "TCP"]) expect(verdict("example.com", open, 80, protocol)).toBe("allowed");
  for (const protocol of ["file:", "ftp", "gopher", "data:", "ws", "unix", ""]) {
    expect([protocol, verdict("example.com", open, 80, protocol)]).toEqual([protocol, "protocol"]);
  }
});

test("URLs: the default port counts, credentials are refused", () => {
  const reason = (url: string, rules = open): string => {
    try {
      return assertEgressUrl(url, rules).href;
    } catch (error) {
      return String((error as HoldfastError).details?.["reason"]);
    }
  };
  expect(reason("https://0x7f.1/health?x=1")).toBe("https://127.0.0.1/health?x=1");
  expect(reason("https://example.com/", policy({ HOLDFAST_EGRESS_PORTS: "443" }))).toBe("https://example.com/");
  expect(reason("http://example.com/", policy({ HOLDFAST_EGRESS_PORTS: "443" }))).toBe("port");
  expect(reason("http://example.com@169.254.169.254/")).toBe("credentials");
  expect(reason("http://169.254.169.254\\@example.com/")).toBe("link_local");
  expect(reason("http:\\\\0xA9FEA9FE\\latest")).toBe("link_local");
  expect(reason("HTTP:169.254.169.254")).toBe("link_local");
  expect(reason("file:///etc/passwd")).toBe("protocol");
  expect(reason("no url")).toBe("malformed");
});

test("a raw socket is given the spelling that was judged", () => {
  const host = (text: string): string => resolveEgress({ protocol: "tcp", host: text, port: 1 }, open);
  expect(["0x7f.1", "::1", "LOCALHOST.", "[::ffff:10.0.0.1]"].map(host)).toEqual([
    "127.0.0.1",
    "[::1]",
    "localhost",
    "[::ffff:a00:1]",
  ]);
});

test("a rule that cannot be read is an error that names its variable, never a hole", () => {
  const bad: [keyof EgressEnv, string][] = [
    ["HOLDFAST_EGRESS_ALLOW", "10.0.0.0/33"],
    ["HOLDFAST_EGRESS_ALLOW", "10.0.0"],
    ["HOLDFAST_EGRESS_ALLOW", "0177.0.0.1/8"],
    ["HOLDFAST_EGRESS_DENY", "public"],
    ["HOLDFAST_EGRESS_DENY", "fe80::1%eth0"],
    ["HOLDFAST_EGRESS_DENY", "10.0.0.0/8/8"],
    ["HOLDFAST_EGRESS_DENY", "10.0.0.0/"],
    ["HOLDFAST_EGRESS_DENY", Array.from({ length: 257 }, () => "10.0.0.1").join(",")],
    ["HOLDFAST_EGRESS_PORTS", "80-79"],
    ["HOLDFAST_EGRESS_PORTS", "0"],
    ["HOLDFAST_SELF_HOSTS", "a:b:c"],
    ["HOLDFAST_SELF_HOSTS", "*.10.0.0.1"],
    ["HOLDFAST_DOMAIN", "a b"],
  ];
  for (const [field, value] of bad) {
    expect(() => policy({ [field]: value }), value).toThrow(
      expect.objectContaining({ code: "invalid_argument", details: { field } }),
    );
  }
  const broken: EgressPolicy = { allowPrivate: true, allow: [], deny: ["nonsense"], selfHosts: [], ports: null };
  expect(() => assertEgress({ protocol: "http", host: "10.0.0.1", port: 80 }, broken)).toThrow(/cannot be read/);
});
