/** What hostile or broken clients send to agent, catalog, health: refused in words, never a bug's 500, never a hang. */
import { afterAll, beforeAll, expect, test } from "vitest";
import type { Asked, Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await ask("PUT", "/agent/service/register", { Name: "web", Port: 80, Check: { TTL: "60s", Status: "passing" } });
});
afterAll(() => edge[Symbol.asyncDispose]());

const ask = (method: string, path: string, body?: unknown, asked: Asked = {}): Promise<Reply> =>
  edge.ask(`/v1${path}`, { method, body, signal: AbortSignal.timeout(10_000), ...asked });

const long = "x".repeat(2000);
const many = (count: number): Record<string, string> =>
  Object.fromEntries(Array.from({ length: count }, (_, at) => [`k${at}`, "v"]));
const deep = (levels: number): string => "[".repeat(levels) + "]".repeat(levels);
const sidecars = (levels: number): object =>
  levels === 0 ? { Name: "a" } : { Name: "a", Connect: { SidecarService: sidecars(levels - 1) } };

const register = "/agent/service/register";
const bodies: [name: string, path: string, body: unknown][] = [
  ["null", register, "null"],
  ["a list", register, "[]"],
  ["a text", register, '"web"'],
  ["no JSON", register, "name=web"],
  ["invalid UTF-8", register, new Uint8Array([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d])],
  ["depth", register, `{"Name":"a","Tags":${deep(200)}}`],
  ["a million brackets", register, "[".repeat(1_000_000)],
  ["a name of 2000 characters", register, { Name: long }],
  ["a name with NUL", register, { Name: "a\0b" }],
  ["a name that is a dot segment", register, { Name: ".." }],
  ["a lone surrogate", register, '{"Name":"\\ud800"}'],
  ["an id with NUL", register, { Name: "a", ID: "a\0b" }],
  ["a port of 70000", register, { Name: "a", Port: 70_000 }],
  ["a port below zero", register, { Name: "a", Port: -1 }],
  ["a port that is a text", register, { Name: "a", Port: "80" }],
  ["a broken port", register, { Name: "a", Port: 1.5 }],
  ["a port beyond 2^64", register, '{"Name":"a","Port":99999999999999999999999}'],
  ["an address with blanks", register, { Name: "a", Address: "1.2.3.4 or so" }],
  ["an address with a line", register, { Name: "a", Address: "a\r\nx: y" }],
  ["500 tags", register, { Name: "a", Tags: Array.from({ length: 500 }, (_, at) => `t${at}`) }],
  ["a tag that is a number", register, { Name: "a", Tags: [1] }],
  ["1000 pairs of metadata", register, { Name: "a", Meta: many(1000) }],
  ["metadata of 2000 characters", register, { Name: "a", Meta: { a: long } }],
  ["metadata that is a list", register, { Name: "a", Meta: ["a"] }],
  ["500 checks", register, { Name: "a", Checks: Array.from({ length: 500 }, () => ({ TTL: "10s" })) }],
  [
    "the same check twice",
    register,
    {
      Name: "a",
      Checks: [
        { CheckID: "c", TTL: "1s" },
        { CheckID: "c", TTL: "1s" },
      ],
    },
  ],
  ["a check that is null", register, { Name: "a", Checks: [null] }],
  ["a TTL of a thousand years", register, { Name: "a", Check: { TTL: "8760000h" } }],
  ["a TTL below zero", register, { Name: "a", Check: { TTL: "-5s" } }],
  ["a TTL that overflows", register, { Name: "a", Check: { TTL: `${"9".repeat(60)}h` } }],
  ["a check of no URL", register, { Name: "a", Check: { HTTP: "gopher://x", Interval: "1s" } }],
  [
    "a check with a method of its own",
    register,
    { Name: "a", Check: { HTTP: "http://a", Method: "A B", Interval: "1s" } },
  ],
  [
    "a check with a header of two lines",
    register,
    { Name: "a", Check: { HTTP: "http://a", Header: { "a\nb": ["c"] }, Interval: "1s" } },
  ],
  ["a check of no port", register, { Name: "a", Check: { TCP: "localhost", Interval: "1s" } }],
  ["a check of port 99999", register, { Name: "a", Check: { TCP: "localhost:99999", Interval: "1s" } }],
  [
    "a thousand arguments",
    register,
    { Name: "a", Check: { Args: Array.from({ length: 1000 }, () => "x"), Interval: "1s" } },
  ],
  ["thresholds of a million", register, { Name: "a", Check: { TTL: "1s", FailuresBeforeCritical: 1_000_000 } }],
  ["an operating system's service", register, { Name: "a", Check: { OSService: "sshd", Interval: "1s" } }],
  ["sidecars in sidecars", register, sidecars(2)],
  ["twenty sidecars deep", register, sidecars(20)],
  ["__proto__ as a field", register, '{"Name":"a","__proto__":{"Port":1}}'],
  ["constructor as a field", register, '{"Name":"a","constructor":{}}'],
  ["weights beyond", register, { Name: "a", Weights: { Passing: 1e9, Warning: 1 } }],
  ["weights that are a list", register, { Name: "a", Weights: [1] }],
  ["a proxy that is a text", register, { Name: "a", Proxy: "b" }],
  [
    "a proxy of half a megabyte",
    register,
    {
      Name: "a",
      Kind: "connect-proxy",
      Port: 1,
      Proxy: { DestinationServiceName: "b", Config: { a: "x".repeat(500_000) } },
    },
  ],
  ["a node's id of nonsense", "/catalog/register", { Node: "a", Address: "1.1.1.1", ID: "../../etc/passwd" }],
  ["a node's name with NUL", "/catalog/register", { Node: "a\0b", Address: "1.1.1.1" }],
  ["a node's name of 2000 characters", "/catalog/register", { Node: long, Address: "1.1.1.1" }],
  ["an address of nonsense", "/catalog/register", { Node: "a", Address: "<script>" }],
  ["1000 addresses", "/catalog/register", { Node: "a", Address: "1.1.1.1", TaggedAddresses: many(1000) }],
  [
    "a check of no status",
    "/catalog/register",
    { Node: "a", Address: "1.1.1.1", Check: { Name: "c", Status: "dead" } },
  ],
  ["a check of no name", "/catalog/register", { Node: "a", Address: "1.1.1.1", Check: {} }],
  [
    "1000 checks",
    "/catalog/register",
    { Node: "a", Address: "1.1.1.1", Checks: Array.from({ length: 1000 }, (_, at) => ({ Name: `c${at}` })) },
  ],
  [
    "a definition that is a list",
    "/catalog/register",
    { Node: "a", Address: "1.1.1.1", Check: { Name: "c", Definition: [1] } },
  ],
  ["a deregistration of nothing", "/catalog/deregister", "null"],
  ["a deregistration that is a number", "/catalog/deregister", "7"],
  ["a check's name with a line", "/agent/check/register", { Name: "a\nb", TTL: "1s" }],
  ["notes of a megabyte", "/agent/check/register", { Name: "a", TTL: "1s", Notes: "x".repeat(1_000_000) }],
  ["an alias of a name with NUL", "/agent/check/register", { Name: "a", AliasNode: "a\0b" }],
  ["an update of no JSON", "/agent/check/update/x", "{"],
  ["a token that is a list", "/agent/token/default", "[]"],
];

test.each(bodies)("body: %s", async (_name, path, body) => {
  const reply = await ask("PUT", path, body);
  // What Consul itself takes for an error of its own is told in its words; ours would say so.
  expect(reply.text).not.toContain("internal error");
  expect([400, 403, 404, 413, 500]).toContain(reply.status);
  expect(reply.text).not.toBe("");
});

const paths: [method: string, path: string, statuses: number[]][] = [
  ["GET", "/health/service/%00", [400]],
  ["GET", "/health/service/%zz", [400]],
  ["GET", "/health/service/%ff", [400]],
  ["GET", `/health/service/${long}`, [200, 400]],
  ["GET", "/health/service/web?index=-1", [400]],
  ["GET", "/health/service/web?index=1e9", [400]],
  ["GET", "/health/service/web?index=99999999999999999999", [400]],
  ["GET", "/health/service/web?index=18446744073709551615&wait=1ms", [200]],
  ["GET", "/health/service/web?wait=forever", [400]],
  ["GET", "/health/service/web?wait=-1s&index=0", [200]],
  ["GET", `/health/service/web?filter=${"(".repeat(500)}`, [500]],
  ["GET", `/health/service/web?filter=${encodeURIComponent('Service.ID matches "("')}`, [500]],
  ["GET", `/health/service/web?filter=${encodeURIComponent('Service.Meta["__proto__"] == "x"')}`, [200]],
  ["GET", `/health/service/web?filter=${encodeURIComponent('Service.ID matches "(a+)+$"')}`, [200]],
  ["GET", `/health/service/web?${"tag=a&".repeat(900)}`, [200]],
  ["GET", `/catalog/nodes?${"node-meta=a:b&".repeat(400)}`, [200]],
  ["GET", "/catalog/nodes?node-meta=:&node-meta=a", [200]],
  ["GET", "/health/service/web?near=%00", [200, 400]],
  ["GET", "/health/service/web?near=nobody", [200]],
  ["GET", "/health/service/web?cached&consistent", [400]],
  ["GET", "/health/service/__proto__", [200]],
  ["GET", "/health/service/constructor?stale", [200]],
  ["GET", "/catalog/node/__proto__", [200]],
  ["GET", "/catalog/node/40e4", [200]],
  ["GET", "/health/state/__proto__", [200]],
  ["GET", "/agent/service/__proto__", [404]],
  ["GET", "/agent/service/web?hash=x&wait=1ms", [200]],
  ["GET", `/agent/service/${encodeURIComponent("a\u0000b")}`, [400]],
  ["GET", "/agent/health/service/name/%0d%0aset-cookie:a", [400]],
  ["GET", `/agent/health/service/name/${encodeURIComponent("ü€")}`, [404]],
  ["GET", "/agent/members?filter=Nothing==1", [500]],
  ["PUT", "/agent/check/pass/", [404]],
  ["PUT", `/agent/check/pass/service:web?note=${"x".repeat(6000)}`, [200]],
  ["PUT", "/agent/check/pass/service:web?note=%ed%a0%80", [200]],
  ["PUT", "/agent/service/deregister/", [404]],
  ["PUT", "/agent/join/", [500]],
  ["PUT", "/agent/join/[::1]:8301", [500]],
  ["PUT", "/agent/force-leave/", [400, 500]],
  ["POST", "/agent/service/register", [405]],
  ["DELETE", "/catalog/register", [405]],
  ["GET", "/agent/leave", [405]],
];

test.each(paths)("%s %s", async (method, path, statuses) => {
  const reply = await ask(method, path);
  expect(reply.text).not.toContain("internal error");
  expect(statuses).toContain(reply.status);
});

test("a node's name in a header is checked", async () => {
  for (const node of ["a b", "../x", "x".repeat(200), "-a"]) {
    const reply = await ask("GET", "/agent/services", undefined, { headers: { "x-holdfast-node": node } });
    expect(reply).toMatchObject({ status: 400, text: 'Invalid header: "X-Holdfast-Node" - not a node name' });
  }
});

test("a service called __proto__ is a service like any other", async () => {
  for (const name of ["__proto__", "constructor", "toString"]) {
    expect((await ask("PUT", register, { Name: name, Port: 1, Meta: { a: "1" } })).status).toBe(200);
    expect((await ask("GET", `/health/service/${name}`)).json).toHaveLength(1);
    expect((await ask("GET", "/agent/services")).text).toContain(`"${name}":{`);
    expect((await ask("GET", "/catalog/services")).text).toContain(`"${name}":[]`);
    expect((await ask("GET", "/catalog/node/holdfast")).text).toContain(`"${name}":{`);
  }
});

test("who goes away while waiting leaves nothing behind", async () => {
  const index = (await ask("GET", "/health/service/web")).headers.get("x-consul-index");
  const end = new AbortController();
  const waiting = Array.from({ length: 20 }, () =>
    edge.ask(`/v1/health/service/web?index=${index}&wait=60s`, { signal: end.signal }).catch(() => "gone"),
  );
  end.abort();
  expect(new Set(await Promise.all(waiting))).toEqual(new Set(["gone"]));
  expect((await ask("GET", "/health/service/web")).status).toBe(200);
});
