/** Hundreds of requests nobody should send: never an internal error, never a hang, and nothing has changed afterwards. */
import { connect } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN, type Asked, type Reply } from "../../edge.ts";

let edge: Edge;
let before: string;
const NS = "/api/v1/namespaces/default";

async function stateOf(): Promise<string> {
  const [status, services, keys, leases] = await Promise.all([
    edge.api("/status"),
    edge.api("/services"),
    edge.api("/kv/?prefix=true"),
    edge.api("/leases"),
  ]);
  return JSON.stringify([status.json.revision, status.json.hash, services.json, keys.json, leases.json]);
}

beforeAll(async () => {
  edge = await Edge.start();
  await edge.put("/services/web/instances/a", { address: "192.0.2.1", port: 80 });
  await edge.put("/kv/a", "value");
  before = await stateOf();
});
afterAll(() => edge[Symbol.asyncDispose]());

interface Case {
  path: string;
  asked: Asked;
}

const nested = (depth: number, open: string, close: string): string => open.repeat(depth) + close.repeat(depth);

const VALUES: [string, unknown][] = [
  ["null", null],
  ["true", true],
  ["a number", 7],
  ["a huge number", 1e308],
  ["minus zero", -0],
  ["2^53", 2 ** 53],
  ["a fraction", 0.1],
  ["an empty text", ""],
  ["a list", []],
  ["an object", {}],
  ["a long text", "x".repeat(100_000)],
  ["NUL", "a\u0000b"],
  ["a lone surrogate", "\ud800"],
  ["a right-to-left override", "\u202eabc\u0000"],
];

const BODIES: [string, string | Uint8Array][] = [
  ["not JSON", "{"],
  ["a lone value", "7"],
  ["a list", "[]"],
  ["null", "null"],
  ["Infinity", '{"address":"x","weight":1e999}'],
  ["NaN", '{"weight":NaN}'],
  ["a doubled name", '{"address":"192.0.2.1","address":"192.0.2.2"}'],
  ["a doubled name inside", '{"address":"192.0.2.1","meta":{"a":"1","a":"2"}}'],
  ["depth 65 of lists", `{"address":${nested(65, "[", "]")}}`],
  ["depth 100,000 of lists", nested(100_000, "[", "]")],
  ["depth 5,000 of objects", nested(5000, '{"a":', "}")],
  ["an unknown field", '{"address":"192.0.2.1","colour":"red"}'],
  ["__proto__", '{"__proto__":{"address":"192.0.2.1"}}'],
  ["constructor", '{"constructor":{"prototype":{}}}'],
  ["bytes that are not UTF-8", Uint8Array.from([0x7b, 0xff, 0xfe, 0x7d])],
  ["overlong UTF-8", Uint8Array.from([0x22, 0xc0, 0x80, 0x22])],
  ["a byte order mark", Uint8Array.from([0xef, 0xbb, 0xbf, 0x7b, 0x7d])],
  ["2 MB", `"${"x".repeat(2_000_000)}"`],
  ["200,000 names", `{${Array.from({ length: 200_000 }, (_, at) => `"${at}":0`).join(",")}}`],
];

const FIELDS = [
  "address",
  "port",
  "ports",
  "ttl",
  "weight",
  "tags",
  "meta",
  "locality",
  "checks",
  "adminState",
  "private",
  "protocol",
  "node",
  "lease",
];
/** What a field takes: these values are no attack on it. */
const HARMLESS = new Set([
  "port:null",
  "ttl:null",
  "ports:an object",
  "tags:a list",
  "meta:an object",
  "locality:an object",
  "checks:a list",
  "private:true",
  "node:an empty text",
  "weight:a number",
  "ttl:a number",
  "port:a number",
  "port:minus zero",
  "weight:minus zero",
]);

const cases: [string, Case][] = [];
const add = (name: string, path: string, asked: Asked = {}): void =>
  void cases.push([`${asked.method ?? "GET"} ${name}`, { path, asked }]);

for (const [name, body] of BODIES) {
  add(`instance with ${name}`, `${NS}/services/web/instances/x`, { method: "PUT", body });
  add(`txn with ${name}`, `${NS}/txn`, { method: "POST", body: name === "not JSON" ? body : body });
  add(`heartbeats with ${name}`, `${NS}/heartbeats`, { method: "POST", body });
}
for (const field of FIELDS) {
  for (const [name, value] of VALUES) {
    if (HARMLESS.has(`${field}:${name}`)) continue;
    add(`instance whose ${field} is ${name}`, `${NS}/services/web/instances/x`, {
      method: "PUT",
      body: { address: "192.0.2.1", [field]: value },
    });
  }
}
for (const [name, value] of VALUES) {
  add(`lease whose ttl is ${name}`, `${NS}/leases`, { method: "POST", body: { ttl: value === 7 ? -7 : value } });
  add(`txn whose compare is ${name}`, `${NS}/txn`, {
    method: "POST",
    body: { compare: value === null || (Array.isArray(value) && value.length === 0) ? 7 : value },
  });
  add(`batch of ${name}`, `${NS}/instances:batch`, { method: "POST", body: { instances: value } });
}
for (const name of [
  "%00",
  "%0a",
  "%20",
  ".",
  "%2e%2e",
  "%ff",
  "%c0%80",
  "%ed%a0%80",
  "a%00b",
  "x".repeat(256),
  "%E2%80%AE%00",
  "%",
  "%zz",
]) {
  add(`service ${name.slice(0, 20)}`, `${NS}/services/${name}/instances/x`, {
    method: "PUT",
    body: { address: "192.0.2.1" },
  });
  add(`instance ${name.slice(0, 20)}`, `${NS}/services/web/instances/${name}`, {
    method: "PUT",
    body: { address: "192.0.2.1" },
  });
  add(`resolve ${name.slice(0, 20)}`, `${NS}/resolve/${name}?revision=x`);
}
for (const path of [
  "/kv/",
  "/kv/%ff",
  "/kv/%c0%af",
  `/kv/${"k".repeat(5000)}`,
  "/kv/a?cas=x",
  "/kv/a?cas=-1",
  "/kv/a?cas=1e3",
  "/kv/a?cas=0x1",
  "/kv/a?cas=99999999999999999999",
  "/kv/a?cas=1&cas=2",
  "/kv/a?lease=0",
  "/kv/a?lease=-1",
  "/kv/a?lease=abc",
  "/kv/a?ca%73=1&x=2",
  "/kv/a?cas=",
]) {
  add(path.slice(0, 40), NS + path, { method: "PUT", body: "x" });
}
add("a value over 1.5 MiB", `${NS}/kv/big`, { method: "PUT", body: "x".repeat(1_572_865) });
for (const query of [
  "prefix=2",
  "limit=0&prefix=1",
  "limit=-1&prefix=1",
  "limit=1e9&prefix=1",
  "revision=0",
  "revision=1.5",
  "revision=99999999999999999999",
  "consistency=none",
  "__proto__=1",
  "constructor=1",
  "prefix=true&prefix=true",
])
  add(`kv?${query}`, `${NS}/kv/a?${query}`);
for (const path of [
  "/nothing",
  "/services/web/instances/a/b/c",
  "/services//instances/a",
  "/kv",
  "/leases/0",
  "/leases/-1",
  "/leases/1e3",
  "/leases/9223372036854775808",
  "/audit?limit=0",
  "/audit?since=-1",
  "/audit?limit=1001",
  "/watch?since=1e9",
  "/watch?key=a&prefix=b",
  "/settings?x=1",
  "/status?x",
])
  add(path, NS + path);
for (const method of ["POST", "PATCH", "OPTIONS"])
  add("kv", `${NS}/kv/a`, { method, body: method === "OPTIONS" ? undefined : "{}" });
for (const method of ["PUT", "DELETE", "PATCH"]) add("services", `${NS}/services`, { method });
for (const namespace of ["UPPER", "a/b", "%2e%2e", "-a", "a@dc2", "x".repeat(64), "%00", "ä"])
  add(`namespace ${namespace.slice(0, 10)}`, `/api/v1/namespaces/${namespace}/kv/a`, { method: "PUT", body: "x" });
for (const path of [
  "/ns/default",
  "/ns//api/openapi.json",
  "/ns/UPPER/api/v1/namespaces/default/status",
  "//api/v1/namespaces",
  "/api//v1/namespaces",
  "/api/v1/namespaces/",
  "/API/V1/namespaces",
  "/api/v1/namespaces/default;x=1/status",
  "/route/",
  "/route/%00/",
  "/route/web/%2e%2e/x",
  "/dns-query",
  "/dns-query?dns=!!!",
  "/dns-query?name=",
  "/dns-query?name=x&type=99999",
])
  add(path, path);
for (const key of ["", " ", "\u00e4", "x".repeat(129), "a b"])
  add(`Idempotency-Key ${JSON.stringify(key).slice(0, 12)}`, `${NS}/kv/idem`, {
    method: "PUT",
    body: "x",
    headers: { "idempotency-key": key },
  });
add("headers of 40 KB", `${NS}/status`, { headers: { "x-big": "x".repeat(40_000) } });
add("a URL of 9 KB", `${NS}/kv/a?x=${"y".repeat(9000)}`);
for (const [name, body] of [
  ["nothing", {}],
  ["then of 200", { then: Array.from({ length: 200 }, (_, at) => ({ type: "put", key: `k${at}`, value: "" })) }],
  ["two keys", { then: [{ type: "put", key: "a", keyBase64: "YQ==", value: "" }] }],
  ["no key", { then: [{ type: "put", value: "" }] }],
  ["bad base64", { then: [{ type: "put", keyBase64: "@@@", value: "" }] }],
  ["an empty key", { then: [{ type: "put", key: "", value: "" }] }],
  ["an unknown operation", { then: [{ type: "drop", key: "a" }] }],
  [
    "a doubled key",
    {
      then: [
        { type: "put", key: "a", value: "1" },
        { type: "put", key: "a", value: "2" },
      ],
    },
  ],
  ["a compare of text with a number", { compare: [{ key: "a", target: "version", operator: "=", operand: "x" }] }],
] as [string, object][]) {
  if (name !== "nothing") add(`txn of ${name}`, `${NS}/txn`, { method: "POST", body });
}

test("there are at least 200 of them", () => expect(cases.length).toBeGreaterThanOrEqual(200));

describe("hostile requests", () => {
  test.each(cases)("%s", async (_name, { path, asked }) => {
    let reply: Reply;
    try {
      reply = await edge.ask(path, { ...asked, signal: AbortSignal.timeout(5000) });
    } catch (error) {
      // A header that fetch itself refuses to send has done no harm.
      expect(error).toBeInstanceOf(TypeError);
      return;
    }
    const isRefusal = (reply.status >= 400 && reply.status < 500) || reply.status === 501 || reply.status === 503;
    if (!isRefusal) expect([200, 204]).toContain(reply.status);
    if (isRefusal && path.includes("/api/")) {
      expect(reply.json).toMatchObject({
        status: reply.status,
        code: expect.stringMatching(/^[a-z_]+$/),
        detail: expect.stringMatching(/./),
      });
      expect(reply.headers.get("content-type")).toBe("application/problem+json");
    }
  });

  test("none of them has changed anything", async () => {
    expect(await stateOf()).toBe(before);
  });

  test("without a token, with a wrong one, or with one in another place: refused, in the same way", async () => {
    for (const headers of [
      {},
      { authorization: "Bearer wrong" },
      { authorization: `Basic ${TOKEN}` },
      { authorization: `Bearer ${TOKEN}x` },
      { authorization: "Bearer " },
      { "x-consul-token": "" },
    ] as Record<string, string>[]) {
      for (const path of [`${NS}/status`, `${NS}/resolve/web`, "/route/web/", "/ns/default/api/v1/namespaces"]) {
        const reply = await edge.ask(path, { token: null, headers });
        expect([path, reply.status]).toEqual([path, 401]);
        expect(reply.headers.get("www-authenticate")).toContain("Bearer");
      }
    }
    // DNS has no word for it: who has no rights finds nothing.
    expect((await edge.ask("/dns-query?name=web.service.holdfast", { token: null })).json.Status).toBe(3);
    expect((await edge.ask("/dns-query?name=web.service.holdfast", { token: "wrong" })).status).toBe(401);
    expect((await edge.ask(`${NS}/status`, { token: null, headers: { "x-consul-token": TOKEN } })).status).toBe(200);
    expect((await edge.ask("/health/live", { token: null })).status).toBe(200);
  });
});

describe("raw connections", () => {
  /** What comes back for bytes as they are, until the server closes or a while has passed. */
  function raw(text: string): Promise<string> {
    return new Promise((resolve) => {
      const { hostname, port } = new URL(edge.address);
      const socket = connect(Number(port), hostname);
      let reply = "";
      socket.on("data", (chunk) => {
        reply += chunk.toString();
        if (reply.includes("\r\n\r\n")) socket.destroy();
      });
      socket.on("error", () => {});
      socket.on("close", () => resolve(reply));
      socket.setTimeout(5000, () => socket.destroy());
      socket.write(text);
    });
  }
  const auth = `Authorization: Bearer ${TOKEN}\r\n`;
  test.each([
    ["no host", `GET ${NS}/status HTTP/1.1\r\n${auth}\r\n`],
    ["a NUL in the path", `GET ${NS}/kv/a\0 HTTP/1.1\r\nHost: x\r\n${auth}\r\n`],
    ["a space in the path", `GET ${NS}/kv/a b HTTP/1.1\r\nHost: x\r\n${auth}\r\n`],
    ["a negative length", `PUT ${NS}/kv/neg HTTP/1.1\r\nHost: x\r\n${auth}Content-Length: -1\r\n\r\n`],
    [
      "a length of 20 digits",
      `PUT ${NS}/kv/len HTTP/1.1\r\nHost: x\r\n${auth}Content-Length: 99999999999999999999\r\n\r\nx`,
    ],
    ["two lengths", `PUT ${NS}/kv/two HTTP/1.1\r\nHost: x\r\n${auth}Content-Length: 1\r\nContent-Length: 2\r\n\r\nx`],
    ["garbage", "\x16\x03\x01\x02\x00\x01\x00\r\n\r\n"],
    ["raw bytes in the path", `GET ${NS}/kv/\xc0\xaf HTTP/1.1\r\nHost: x\r\n${auth}\r\n`],
  ])("%s: no harm done", async (_name, text) => {
    const reply = await raw(text);
    if (reply !== "") expect(reply).toMatch(/^HTTP\/1\.1 (2|4|500|501)/);
    expect((await edge.ask("/health/live")).status).toBe(200);
    expect(await stateOf()).toBe(before);
  });
});
