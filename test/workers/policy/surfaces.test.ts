/** Rights on the surfaces beside the native API's tables: resolve, the gateway, DNS, open watches; and composites (P2). */
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, events, TOKEN } from "../../edge.ts";
import { ELSEWHERE } from "./principals.ts";

let edge: Edge;
const upstream = createServer((request, response) => response.end(JSON.stringify(request.headers)));
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await new Promise<void>((resolve) => upstream.listen(0, "127.0.0.1", resolve));
  const { port } = upstream.address() as AddressInfo;
  for (const namespace of ["default", ELSEWHERE]) {
    await edge.api("/nodes/n1", { method: "PUT", body: { address: "192.0.2.7" } }, namespace);
    for (const [name, node] of Object.entries({ web: "", db: "", "on-node": "n1" })) {
      await edge.api(
        `/services/${name}/instances/i`,
        { method: "PUT", body: { address: "127.0.0.1", port, ...(node && { node }) } },
        namespace,
      );
    }
  }
});
afterAll(async () => {
  upstream.close();
  await edge[Symbol.asyncDispose]();
});

const ALL = ["read", "list", "watch", "create", "update", "delete"] as const;

/** A new token with these statements. */
async function tokenFor(statements: object[], namespace = "default"): Promise<{ accessor: string; secret: string }> {
  const made = await edge.api("/tokens", { method: "POST", body: { statements } }, namespace);
  expect(made.status).toBe(200);
  return made.json;
}
const secretFor = async (...statements: object[]): Promise<string> => (await tokenFor(statements)).secret;
const read = (kind: string, name: string, match = "exact") => ({ verbs: ["read"], kind, name, match });

/** Starts requests, and returns when all of them wait at the namespace. */
async function whileWaiting<T>(start: () => Promise<T>[]): Promise<Promise<T>[]> {
  const before: number = (await edge.api("/status")).json.waiters;
  const started = start();
  await edge.until("/status", ({ json }) => json.waiters >= before + started.length);
  return started;
}

const NS = "/api/v1/namespaces/default";

describe("resolve", () => {
  test("takes the right to read the service, from the cache as from the owner", async () => {
    const token = await secretFor(read("service", "web"));
    const ask = async (name: string, query: string, as: string | null) =>
      (await edge.ask(`${NS}/resolve/${name}${query}`, { token: as })).status;
    for (const query of ["", "", "?consistency=strong", "?pick=1"]) {
      // The root token has filled the cache: what is there is still not for everybody.
      expect(await ask("db", query, TOKEN)).toBe(200);
      expect(await ask("web", query, token)).toBe(200);
      expect(await ask("db", query, token)).toBe(403);
      expect(await ask("w%65b", query, token)).toBe(200);
      expect(await ask("d%62", query, token)).toBe(403);
      expect(await ask("none", query, token)).toBe(403);
      expect(await ask("web", query, null)).toBe(401);
      expect(await ask("web", query, "unknown")).toBe(401);
    }
    const denied = await edge.ask(`${NS}/resolve/db`, { token });
    expect(denied.json).toMatchObject({ code: "permission_denied", verb: "read", kind: "service", name: "db" });
    expect(await edge.ask(`/api/v1/namespaces/${ELSEWHERE}/resolve/web`, { token })).toMatchObject({ status: 401 });
  });

  test("whoever loses the right while waiting is not answered", async () => {
    const { accessor, secret } = await tokenFor([read("service", "web")]);
    const { revision } = (await edge.api("/status")).json;
    const [waiting] = await whileWaiting(() => [
      edge.ask(`${NS}/resolve/web?revision=${revision}&wait=30s`, { token: secret }),
    ]);
    await edge.api(`/tokens/${accessor}`, { method: "DELETE" });
    await edge.api("/services/web/instances/i", { method: "PATCH", body: { weight: 7 } });
    expect((await waiting!).status).toBe(401);
  });
});

describe("the gateway", () => {
  test("takes the right to read the service, by path and by host", async () => {
    const token = await secretFor(read("service", "web"));
    const routed = await edge.ask("/route/web/x", { token, headers: { "x-consul-token": token } });
    expect(routed.status).toBe(200);
    // The credential was for us.
    expect(routed.text).not.toContain(token);
    expect((await edge.ask("/route/db/x", { token })).status).toBe(403);
    expect((await edge.ask("/route/d%62/x", { token })).status).toBe(403);
    expect((await edge.ask("/route/none/x", { token })).status).toBe(403);
    expect((await edge.ask("/route/web/x", { token: null })).status).toBe(401);
    expect((await edge.ask(`/ns/${ELSEWHERE}/route/web/x`, { token })).status).toBe(401);
    expect((await edge.ask(`/ns/${ELSEWHERE}/route/web/x`, { token: TOKEN })).status).toBe(200);
  });
});

describe("DNS", () => {
  const answer = async (name: string, token: string | null, type = "A") => {
    const { json, status } = await edge.ask(`/dns-query?name=${name}&type=${type}`, { token });
    return status === 200 ? (json.Answer?.length ?? (json.Status === 3 ? "NXDOMAIN" : `none, ${json.Status}`)) : status;
  };

  test("tells what the token may see; what it may not does not exist", async () => {
    const token = await secretFor(read("service", "web"), read("service", "on-node"));
    expect(await answer("web.service.holdfast", token)).toBe(1);
    expect(await answer("db.service.holdfast", token)).toBe("NXDOMAIN");
    expect(await answer("none.service.holdfast", token)).toBe("NXDOMAIN");
    expect(await answer("WEB.SERVICE.holdfast", token)).toBe(1);
    expect(await answer("DB.service.holdfast", token)).toBe("NXDOMAIN");
    expect(await answer("db.service.holdfast", TOKEN)).toBe(1);
    expect(await answer("db.service.holdfast", "unknown")).toBe(401);
    // An instance on a node shows the node.
    expect(await answer("on-node.service.consul", token)).toBe("NXDOMAIN");
    expect(await answer("n1.node.consul", token)).toBe("NXDOMAIN");
    const withNodes = await secretFor(read("service", "on-node"), read("node", "n1"));
    expect(await answer("on-node.service.consul", withNodes)).toBe(1);
    expect(await answer("n1.node.consul", withNodes)).toBe(1);
    expect(await answer("7.2.0.192.in-addr.arpa", withNodes, "PTR")).toBe(1);
    expect(await answer("7.2.0.192.in-addr.arpa", token, "PTR")).not.toBe(1);
  });

  test("who has no token is the anonymous one; in other namespaces everybody is", async () => {
    expect(await answer("web.service.holdfast", null)).toBe("NXDOMAIN");
    const zone = (namespace: string, statements: object[]) =>
      edge.api("/tokens/anonymous", { method: "PUT", body: { statements } }, namespace);
    await zone("default", [read("service", "we", "prefix")]);
    expect(await answer("web.service.holdfast", null)).toBe(1);
    expect(await answer("db.service.holdfast", null)).toBe("NXDOMAIN");
    const token = await secretFor({ verbs: [...ALL], kind: "service" });
    expect(await answer(`web.${ELSEWHERE}.holdfast`, token)).toBe("NXDOMAIN");
    expect(await answer("web.nowhere.holdfast", token)).toBe("NXDOMAIN");
    await zone(ELSEWHERE, [read("service", "web")]);
    expect(await answer(`web.${ELSEWHERE}.holdfast`, token)).toBe(1);
    expect(await answer(`db.${ELSEWHERE}.holdfast`, token)).toBe("NXDOMAIN");
    await zone("default", []);
    await zone(ELSEWHERE, []);
    expect(await answer("web.service.holdfast", null)).toBe("NXDOMAIN");
  });
});

describe("a watch", () => {
  test("tells what may be seen, and the value of before to who may read", async () => {
    const token = await secretFor({ verbs: ["watch"], kind: "kv", match: "prefix", name: "a/" });
    const put = (key: string, body: string) => edge.api(`/kv/${key}`, { method: "PUT", body });
    await put("a/1", "first");
    const { revision } = (await edge.api("/status")).json;
    await put("b/1", "hidden");
    await put("a/1", "second");
    await put("b/2", "hidden");
    const response = await edge.request(`${NS}/watch?previous=true&since=${revision}`, { token });
    const told = events(response);
    const first = (await told.next()).value!;
    expect(first).toMatchObject({ event: "put", data: { key: "a/1" } });
    expect(first.data.previous).toBeUndefined();
    await put("a/2", "third");
    for await (const event of told) {
      expect(JSON.stringify(event)).not.toContain("b/");
      if (event.data.key === "a/2") break;
    }
  });

  test("ends with its token, and says so (P4)", async () => {
    const { accessor, secret } = await tokenFor([{ verbs: ["watch"], kind: "kv", match: "prefix", name: "a/" }]);
    const told = events(await edge.request(`${NS}/watch?prefix=a/`, { token: secret }));
    expect((await told.next()).value).toMatchObject({ event: "progress" });
    await edge.api(`/tokens/${accessor}`, { method: "DELETE" });
    await edge.api("/kv/a/after", { method: "PUT", body: "x" });
    expect((await told.next()).value).toMatchObject({ event: "error", data: { code: "unauthenticated" } });
    expect((await told.next()).done).toBe(true);
  });
});

describe("Consul's blocking queries (P4)", () => {
  const touch = (value: string) => edge.ask("/v1/kv/blocked", { method: "PUT", body: value });

  test("whoever loses the token, or the right, while waiting is not answered with what is new", async () => {
    await touch("old");
    const lost = await tokenFor([read("kv", "blocked")]);
    const limited = await tokenFor([read("kv", "blocked")]);
    const kept = await tokenFor([read("kv", "blocked")]);
    const index = (await edge.ask("/v1/kv/blocked")).headers.get("x-consul-index");
    const ask = ({ secret: token }: { secret: string }) =>
      edge.ask(`/v1/kv/blocked?index=${index}&wait=30s`, { token });
    const waiting = await whileWaiting(() => [ask(lost), ask(limited), ask(kept)]);
    await edge.api(`/tokens/${lost.accessor}`, { method: "DELETE" });
    await edge.api(`/tokens/${limited.accessor}`, { method: "PUT", body: { statements: [] } });
    await touch("new");
    const [byLost, byLimited, byKept] = await Promise.all(waiting);
    expect([byLost!.status, byLimited!.status, byKept!.status]).toEqual([403, 403, 200]);
    expect(byKept!.json[0].Value).toBe(Buffer.from("new").toString("base64"));
    expect(Number(byKept!.headers.get("x-consul-index"))).toBe(byKept!.json[0].ModifyIndex);
  });
});

describe("P2: each part of a composite", () => {
  const own = (kind: string) => ({ verbs: [...ALL], kind, match: "prefix", name: "own/" });
  const txn = async (token: string, body: object) => (await edge.api("/txn", { method: "POST", body, token })).status;

  test("of a transaction: nested, values of before, leases, comparisons, ranges", async () => {
    const token = await secretFor(own("kv"));
    const writer = await secretFor({ ...own("kv"), verbs: ["create", "update", "delete"] });
    await edge.api("/leases", { method: "POST", body: { ttl: 600, id: "77" } });
    const put = { type: "put", key: "own/a", value: "x" };
    expect(
      await txn(token, {
        then: [
          put,
          { type: "txn", then: [{ ...put, key: "own/b" }], else: [{ type: "range", key: "own/", prefix: true }] },
        ],
      }),
    ).toBe(200);
    for (const part of [
      { type: "put", key: "other", value: "x" },
      { type: "range", key: "own", prefix: true },
      { type: "range", key: "", prefix: true },
      { type: "range", key: "other" },
      { type: "delete", key: "own", prefix: true },
      { type: "put", keyBase64: Buffer.from("other").toString("base64"), value: "x" },
      { ...put, lease: "77" },
      { type: "txn", then: [{ type: "txn", else: [{ type: "delete", key: "other" }] }] },
      { type: "txn", compare: [{ key: "other", target: "version", operator: "=", operand: 0 }] },
    ]) {
      expect([part, await txn(token, { then: [put, part] })]).toEqual([part, 403]);
      // Also where it would not be carried out.
      const never = [{ key: "own/a", target: "version", operator: "=", operand: 9_999 }];
      expect([part, await txn(token, { compare: never, then: [part] })]).toEqual([part, 403]);
    }
    expect(await txn(writer, { then: [put] })).toBe(200);
    expect(await txn(writer, { then: [{ ...put, previous: true }] })).toBe(403);
    expect(await txn(writer, { then: [{ type: "delete", key: "own/a", previous: true }] })).toBe(403);
    expect(await txn(writer, { compare: [{ key: "own/a", target: "value", operator: "=", operand: "x" }] })).toBe(403);
    expect((await edge.api("/kv/other")).status).toBe(404);
  });

  test("of ranges: pages never leave what was asked for", async () => {
    const token = await secretFor({ ...own("kv"), name: "own/" });
    await edge.api("/kv/a-hidden", { method: "PUT", body: "x" });
    const list = (query: string) => edge.api(`/kv/own%2F?prefix=true${query}`, { token });
    expect((await list("")).status).toBe(200);
    expect((await list("&after=a")).text).not.toContain("a-hidden");
    expect((await list("&after=zzz")).json.items).toEqual([]);
    expect((await edge.api("/kv/ow?prefix=true", { token })).status).toBe(403);
    expect((await edge.api("/kv/ow?prefix=true", { method: "DELETE", token })).status).toBe(403);
  });

  test("of batches, heartbeats and proxies: all or nothing", async () => {
    const token = await secretFor({ ...own("service"), name: "own" });
    const instance = { address: "192.0.2.1", port: 1 };
    const batch = (instances: object[]) => edge.api("/instances:batch", { method: "POST", body: { instances }, token });
    expect((await batch([{ service: "own", id: "1", ...instance }])).status).toBe(200);
    expect(
      (
        await batch([
          { service: "own", id: "2", ...instance },
          { service: "db", id: "x", ...instance },
        ])
      ).status,
    ).toBe(403);
    expect((await edge.api("/services/own/instances/2")).status).toBe(404);
    // The traffic of a service that is not the caller's.
    expect((await batch([{ service: "own", id: "2", ...instance, meshFor: "db" }])).status).toBe(403);
    const proxy = { ...instance, meshFor: "db" };
    expect((await edge.put("/services/own/instances/2", proxy, { token })).status).toBe(403);
    const patched = await edge.api("/services/own/instances/1", { method: "PATCH", body: { meshFor: "db" }, token });
    expect(patched.status).toBe(403);
    const beat = (instances: object[]) => edge.api("/heartbeats", { method: "POST", body: { instances }, token });
    expect((await beat([{ service: "own", id: "1" }])).status).toBe(200);
    expect(
      (
        await beat([
          { service: "own", id: "1" },
          { service: "db", id: "i" },
        ])
      ).status,
    ).toBe(403);
    expect((await beat([{ service: "", id: "n1" }])).status).toBe(403);
  });

  test("of a lease: what hangs on it is not told, and does not go with it, for who has no right to it", async () => {
    const token = await secretFor({ ...own("kv") }, { verbs: [...ALL], kind: "session" });
    await edge.api("/leases", { method: "POST", body: { ttl: 600, id: "91" } });
    await edge.api("/kv/own/leased?lease=91", { method: "PUT", body: "x" });
    expect((await edge.api("/leases/91", { token })).json.attached).toMatchObject([{ key: "own/leased" }]);
    await edge.api("/kv/hidden?lease=91", { method: "PUT", body: "x" });
    expect((await edge.api("/leases/91", { token })).json.attached).toMatchObject([{ key: "own/leased" }]);
    expect((await edge.api("/leases/91", { method: "DELETE", token })).status).toBe(403);
    expect((await edge.api("/kv/hidden")).status).toBe(200);
    await edge.api("/kv/hidden", { method: "DELETE" });
    expect((await edge.api("/leases/91", { method: "DELETE", token })).status).toBe(200);
  });

  test("of nodes: another case or its id does not make another node of it", async () => {
    await edge.put("/nodes/Secret", { address: "192.0.2.8", id: "aaaaaaaa-1111-4222-8333-444444444444" });
    const token = await secretFor(
      { verbs: [...ALL], kind: "node" },
      { verbs: [...ALL], kind: "node", name: "Secret", match: "exact", effect: "deny" },
    );
    for (const name of ["Secret", "secret", "SECRET", "aaaaaaaa-1111-4222-8333-444444444444", "aaaaaaaa"]) {
      const reply = await edge.api(`/nodes/${name}`, { token });
      expect([name, reply.status]).toEqual([name, 403]);
      if (name.startsWith("a")) expect(reply.text).not.toContain("Secret");
    }
    expect((await edge.put("/nodes/secret", { address: "192.0.2.66" }, { token })).status).toBe(403);
    expect((await edge.api("/nodes/SECRET", { method: "DELETE", token })).status).toBe(403);
    expect((await edge.put("/nodes/seCret/checks/c", { type: "status" }, { token })).status).toBe(403);
    expect((await edge.api("/nodes", { token })).text).not.toContain("Secret");
  });
});

test("a list never ends at a name that may not be seen", async () => {
  const namespace = "many";
  const instances = Array.from({ length: 1000 }, (_, at) => ({
    service: `s${String(at).padStart(4, "0")}`,
    id: "i",
    address: "192.0.2.1",
  }));
  await edge.api("/instances:batch", { method: "POST", body: { instances } }, namespace);
  await edge.api(
    "/instances:batch",
    { method: "POST", body: { instances: instances.map((one) => ({ ...one, service: `t${one.service}` })) } },
    namespace,
  );
  const { secret: token } = await tokenFor([read("service", "s0001"), read("service", "ts0998")], namespace);
  const seen: string[] = [];
  let after: string | null = null;
  do {
    const query = after === null ? "" : `?after=${after}`;
    const { json, text } = await edge.api(`/services${query}`, { token }, namespace);
    seen.push(...json.services.map(({ name }: { name: string }) => name));
    for (const name of text.match(/t?s\d{4}/g) ?? []) expect(["s0001", "ts0998"]).toContain(name);
    after = json.after;
  } while (after !== null);
  expect(seen).toEqual(["s0001", "ts0998"]);
});
