/**
 * P1: the same principal, verb and name get the same decision through Consul's API and through the native one, whichever of
 * both the rights were written by.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN } from "../../edge.ts";

const NS = "/api/v1/namespaces/default";

interface Asked {
  method?: "PUT" | "POST" | "DELETE";
  path: string;
  body?: unknown;
  /** Where Consul leaves out what may not be seen: what is in the answer if it may be. */
  tells?: string;
}

/** What is asked about a name; a new one each time, or the one that is there. */
const PAIRS: Record<string, (name: string) => { consul: Asked; native: Asked }> = {
  "read a key": (name) => ({ consul: { path: `/v1/kv/${name}` }, native: { path: `${NS}/kv/${name}` } }),
  "write a key": (name) => ({
    consul: { method: "PUT", path: `/v1/kv/${name}`, body: "x" },
    native: { method: "PUT", path: `${NS}/kv/${name}`, body: "x" },
  }),
  "write a key in a transaction": (name) => ({
    consul: { method: "PUT", path: "/v1/txn", body: [{ KV: { Verb: "set", Key: name, Value: "eA==" } }] },
    native: { method: "POST", path: `${NS}/txn`, body: { then: [{ type: "put", key: name, value: "x" }] } },
  }),
  "delete the keys below": (name) => ({
    consul: { method: "DELETE", path: `/v1/kv/${name}/?recurse` },
    native: { method: "DELETE", path: `${NS}/kv/${name}%2F?prefix=true` },
  }),
  "see a service": (name) => ({
    consul: { path: `/v1/catalog/services`, tells: `"${name}"` },
    native: { path: `${NS}/services/${name}/instances` },
  }),
  "resolve a service": (name) => ({
    consul: { path: `/v1/health/service/${name}`, tells: `"${name}"` },
    native: { path: `${NS}/resolve/${name}` },
  }),
  "register a service": (name) => ({
    consul: { method: "PUT", path: "/v1/agent/service/register", body: { Name: name, ID: "new", Port: 1 } },
    native: { method: "PUT", path: `${NS}/services/${name}/instances/new`, body: { address: "192.0.2.1", port: 1 } },
  }),
  "register a proxy of a service": (name) => ({
    consul: {
      method: "PUT",
      path: "/v1/agent/service/register",
      body: {
        Name: "writable-proxy",
        ID: "p",
        Port: 1,
        Kind: "connect-proxy",
        Proxy: { DestinationServiceName: name },
      },
    },
    native: {
      method: "PUT",
      path: `${NS}/services/writable-proxy/instances/p`,
      body: { address: "192.0.2.1", port: 1, meshFor: name },
    },
  }),
  "see a node": (name) => ({
    consul: { path: `/v1/catalog/nodes`, tells: `"${name}"` },
    native: { path: `${NS}/nodes/${name}` },
  }),
  "register a node": (name) => ({
    consul: { method: "PUT", path: "/v1/catalog/register", body: { Node: name, Address: "192.0.2.77" } },
    native: { method: "PUT", path: `${NS}/nodes/${name}`, body: { address: "192.0.2.77" } },
  }),
  "take a node off": (name) => ({
    consul: { method: "PUT", path: "/v1/catalog/deregister", body: { Node: name } },
    native: { method: "DELETE", path: `${NS}/nodes/${name}` },
  }),
  "list policies": () => ({ consul: { path: "/v1/acl/policies" }, native: { path: `${NS}/policies` } }),
  "write a policy": (name) => ({
    consul: { method: "PUT", path: "/v1/acl/policy", body: { Name: `c-${crypto.randomUUID()}` } },
    native: { method: "PUT", path: `${NS}/policies/${name}`, body: { statements: [] } },
  }),
  "take a snapshot": () => ({ consul: { path: "/v1/snapshot" }, native: { path: `${NS}/snapshot` } }),
};

/** In Consul's rules, and what is meant by them natively. */
const all = ["read", "list", "watch", "create", "update", "delete", "acquire", "publish", "consume", "sign"];
const verbs = [...all, "grant", "backup", "operate"];
const RIGHTS: Record<string, { rules: string; statements: object[] }> = {
  nothing: { rules: "", statements: [] },
  "reads all": {
    rules: `key_prefix "" { policy = "read" } service_prefix "" { policy = "read" } node_prefix "" { policy = "read" } acl = "read"`,
    statements: ["kv", "service", "node", "acl"].map((kind) => ({ verbs: ["read", "watch"], kind })),
  },
  "writes below a": {
    rules: `key_prefix "a" { policy = "write" } service_prefix "a" { policy = "write" } node_prefix "a" { policy = "write" } service "writable-proxy" { policy = "write" }`,
    statements: [
      ...["kv", "service", "node"].map((kind) => ({ verbs, kind, match: "prefix", name: "a" })),
      { verbs, kind: "service", name: "writable-proxy" },
    ],
  },
  "writes all but a-1": {
    rules: `key_prefix "" { policy = "write" } key_prefix "a-1" { policy = "deny" } service_prefix "" { policy = "write" } service "a-1" { policy = "deny" } node_prefix "" { policy = "write" } node "a-1" { policy = "deny" }`,
    statements: [
      ...["kv", "service", "node"].map((kind) => ({ verbs, kind })),
      { effect: "deny", verbs, kind: "kv", match: "prefix", name: "a-1" },
      ...["service", "node"].map((kind) => ({ effect: "deny", verbs, kind, name: "a-1" })),
    ],
  },
  "writes a-1 alone, reads the rest": {
    rules: `key_prefix "" { policy = "read" } key "a-1" { policy = "write" } service_prefix "" { policy = "read" } service "a-1" { policy = "write" } node_prefix "" { policy = "read" } node "a-1" { policy = "write" } service "writable-proxy" { policy = "write" }`,
    statements: [
      ...["kv", "service", "node"].flatMap((kind) => [
        { verbs: ["read", "watch"], kind },
        { verbs, kind, name: "a-1" },
      ]),
      { verbs, kind: "service", name: "writable-proxy" },
    ],
  },
  "manages rights": {
    rules: `acl = "write"`,
    statements: ["acl", "snapshot"].map((kind) => ({ verbs, kind })),
  },
};
const NAMES = ["a-1", "a-2", "b-1"];

let edge: Edge;
const tokens: [string, string][] = [];
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  for (const [name, { rules, statements }] of Object.entries(RIGHTS)) {
    const policy = { method: "PUT", body: { Name: name.replaceAll(" ", "-").replaceAll(",", ""), Rules: rules } };
    const { ID } = (await edge.ask("/v1/acl/policy", policy)).json;
    const consul = await edge.ask("/v1/acl/token", { method: "PUT", body: { Policies: [{ ID }] } });
    tokens.push([`${name}, by Consul's rules`, consul.json.SecretID]);
    const native = await edge.api("/tokens", { method: "POST", body: { statements } });
    tokens.push([`${name}, by statements`, native.json.secret]);
  }
  tokens.push(["root", TOKEN]);
});
afterAll(() => edge[Symbol.asyncDispose]());

/** With what may be read and taken off in place. */
async function prepare(name: string): Promise<void> {
  await edge.put(`/nodes/${name}`, { address: "192.0.2.1" });
  await Promise.all([
    edge.api(`/kv/${name}`, { method: "PUT", body: "x" }),
    // Consul shows an instance together with its node.
    edge.put(`/services/${name}/instances/there`, { address: "192.0.2.1", port: 1, node: name }),
  ]);
}

async function isAllowed({ method, path, body, tells }: Asked, token: string): Promise<boolean> {
  const reply = await edge.ask(path, { ...(method && { method }), body, token });
  if (reply.status === 403) return false;
  // A transaction of Consul's tells each part's refusal.
  if (reply.status === 409 && reply.text.includes("Permission denied")) return false;
  expect([path, reply.status, reply.text.slice(0, 200)]).toEqual([path, 200, expect.anything()]);
  return tells === undefined || reply.text.includes(tells);
}

describe("P1: Consul's API and the native one decide alike", () => {
  /** By who asks: what was decided, in the order of asking. */
  const decided = new Map<string, boolean[]>();

  test.each(Object.keys(PAIRS))("%s", async (what) => {
    const seen = new Set<boolean>();
    for (const [who, token] of tokens) {
      for (const name of NAMES) {
        const { consul, native } = PAIRS[what]!(name);
        await prepare(name);
        const byConsul = await isAllowed(consul, token);
        if (consul.method) await prepare(name);
        const byNative = await isAllowed(native, token);
        expect([who, name, byNative]).toEqual([who, name, byConsul]);
        seen.add(byNative);
        decided.set(who, [...(decided.get(who) ?? []), byNative]);
      }
    }
    // Both decisions have been met.
    expect(seen.size).toBe(2);
  });

  test("and it makes no difference in which words the rights were written", () => {
    for (const name of Object.keys(RIGHTS)) {
      const [rules, statements] = [decided.get(`${name}, by Consul's rules`), decided.get(`${name}, by statements`)];
      expect(rules).toHaveLength(Object.keys(PAIRS).length * NAMES.length);
      expect([name, statements]).toEqual([name, rules]);
    }
  });
});
