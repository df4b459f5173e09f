/** The native API over HTTP, against a running server. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
});
afterAll(() => edge[Symbol.asyncDispose]());

const bytes = (text: string): string => Buffer.from(text).toString("base64");

describe("services", () => {
  test("register, describe, resolve, list, change, deregister", async () => {
    const registered = await edge.put("/services/web/instances/a", {
      address: "192.0.2.1",
      port: 80,
      ttl: 60,
      tags: ["v1"],
      meta: { owner: "me" },
      locality: { region: "eu", zone: "eu-1" },
    });
    expect(registered.status).toBe(200);
    expect(registered.json).toMatchObject({
      service: "web",
      id: "a",
      port: 80,
      ports: { default: 80 },
      ttl: 60,
      status: "passing",
    });
    const revision = Number(registered.headers.get("x-holdfast-revision"));
    expect(revision).toBe(registered.json.modRevision);

    expect((await edge.api("/services/web/instances/a")).json).toEqual(registered.json);
    expect((await edge.api("/services")).json.services).toContainEqual({
      name: "web",
      class: "balanced",
      instanceCount: 1,
      healthyCount: 1,
      tags: ["v1"],
      modRevision: revision,
    });
    const resolved = await edge.api("/resolve/web?consistency=strong");
    expect(resolved.json).toMatchObject({
      name: "web",
      revision,
      selfPreservation: false,
      instances: [registered.json],
    });
    expect(resolved.headers.get("age")).toBe("0");

    const changed = await edge.api("/services/web/instances/a", { method: "PATCH", body: { adminState: "draining" } });
    expect(changed.json).toMatchObject({ adminState: "draining", tags: ["v1"], ttl: 60 });
    expect((await edge.api("/resolve/web?consistency=strong")).json.instances).toEqual([]);
    expect((await edge.api("/resolve/web?consistency=strong&healthy=false")).json.instances).toHaveLength(1);

    expect((await edge.api("/services/web/instances/a", { method: "DELETE" })).json).toEqual({ existed: true });
    expect((await edge.api("/services/web/instances/a", { method: "DELETE" })).json).toMatchObject({
      status: 404,
      code: "not_found",
    });
    expect((await edge.api("/services/web")).status).toBe(404);
  });

  test("R1: a change is seen by cached resolves without asking the owner each time", async () => {
    await edge.put("/services/feed/instances/a", { address: "192.0.2.1", port: 1 });
    expect((await edge.api("/resolve/feed")).json.instances).toHaveLength(1);
    await edge.put("/services/feed/instances/b", { address: "192.0.2.2", port: 1 });
    const seen = await edge.until("/resolve/feed", ({ json }) => json.instances.length === 2);
    expect(seen.json.instances.map(({ id }: { id: string }) => id)).toEqual(["a", "b"]);
    await edge.api("/services/feed", { method: "DELETE" });
    expect((await edge.until("/resolve/feed", ({ json }) => json.instances.length === 0)).json).toMatchObject({
      revision: 0,
    });
  });

  test("resolve: tag, zone, near, pick; a wrong parameter is named", async () => {
    const at = (zone: string, tags: string[]) => ({
      address: "192.0.2.1",
      port: 1,
      locality: { region: "eu", zone },
      tags,
    });
    await edge.put("/services/sel/instances/a", at("z1", ["blue"]));
    await edge.put("/services/sel/instances/b", at("z2", ["blue", "hot"]));
    await edge.put("/services/sel/instances/c", at("z2", ["green"]));
    const ids = async (query: string): Promise<string[]> =>
      (await edge.api(`/resolve/sel?consistency=strong&${query}`)).json.instances.map(({ id }: { id: string }) => id);
    expect(await ids("tag=blue")).toEqual(["a", "b"]);
    expect(await ids("tag=blue&tag=hot")).toEqual(["b"]);
    expect(await ids("zone=z2")).toEqual(["b", "c"]);
    expect((await ids("near=z2"))[2]).toBe("a");
    expect(await ids("pick=2")).toHaveLength(2);
    for (const [query, field] of [
      ["pick=0", "pick"],
      ["pick=x", "pick"],
      ["healthy=maybe", "healthy"],
      ["colour=red", "colour"],
      ["consistency=weak", "consistency"],
      ["revision=1&wait=2h", "wait"],
    ]) {
      expect((await edge.api(`/resolve/sel?${query}`)).json).toMatchObject({
        status: 400,
        code: "invalid_argument",
        field,
      });
    }
  });

  test("long poll: answers when the service changes, and not when another does", async () => {
    const { json } = await edge.put("/services/poll/instances/a", { address: "192.0.2.1", port: 1 });
    const waiting = edge.api(`/resolve/poll?revision=${json.modRevision}&wait=20s`);
    await edge.put("/services/other/instances/a", { address: "192.0.2.1", port: 1 });
    await edge.until("/status", (reply) => reply.json.waiters > 0);
    const changed = await edge.api("/services/poll/instances/a", { method: "PATCH", body: { weight: 9 } });
    const reply = await waiting;
    expect(reply.json).toMatchObject({ revision: changed.json.modRevision, instances: [{ weight: 9 }] });
    const unchanged = await edge.api(`/resolve/poll?revision=${changed.json.modRevision}&wait=100ms`);
    expect(unchanged.json.revision).toBe(changed.json.modRevision);
    expect((await edge.api("/resolve/poll?revision=999999999&wait=1s")).json.revision).toBe(changed.json.modRevision);
  });

  test("heartbeats: single and batch, without a revision; the unknown are named", async () => {
    await edge.put("/services/beat/instances/a", { address: "192.0.2.1", ttl: 60 });
    const before = (await edge.api("/status")).json.revision;
    expect((await edge.api("/services/beat/instances/a/heartbeat", { method: "POST" })).json).toEqual({
      renewed: true,
    });
    const batch = {
      instances: [
        { service: "beat", id: "a" },
        { service: "beat", id: "gone" },
      ],
    };
    expect((await edge.api("/heartbeats", { method: "POST", body: batch })).json).toEqual({
      renewed: 1,
      unknown: [{ service: "beat", id: "gone" }],
    });
    expect((await edge.api("/services/beat/instances/gone/heartbeat", { method: "POST" })).status).toBe(404);
    expect((await edge.api("/status")).json.revision).toBe(before);
  });

  test("a time to live that passes: the instance is gone", async () => {
    await edge.put("/services/short/instances/a", { address: "192.0.2.1", ttl: 1 });
    expect((await edge.api("/resolve/short?consistency=strong")).json.instances).toHaveLength(1);
    expect((await edge.until("/resolve/short", ({ json }) => json.instances.length === 0)).json.instances).toEqual([]);
  });

  test("a batch is one revision; one wrong entry and nothing is registered", async () => {
    const entry = (id: string) => ({ service: "batch", id, address: "192.0.2.1", port: 1 });
    const reply = await edge.api("/instances:batch", { method: "POST", body: { instances: [entry("a"), entry("b")] } });
    expect(new Set(reply.json.instances.map(({ modRevision }: { modRevision: number }) => modRevision)).size).toBe(1);
    const wrong = { instances: [entry("c"), { ...entry("d"), weight: -1 }] };
    expect((await edge.api("/instances:batch", { method: "POST", body: wrong })).json).toMatchObject({
      status: 400,
      field: "instances[1].weight",
    });
    expect((await edge.api("/services/batch/instances")).json.instances).toHaveLength(2);
  });

  test("pulled checks: an instance turns passing, and critical when its server goes", async () => {
    const { createServer } = await import("node:http");
    const server = createServer((_request, response) => response.end("fine"));
    const port = await new Promise<number>((resolve) => {
      server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
    });
    await edge.put("/services/pull/instances/a", {
      address: "127.0.0.1",
      port,
      checks: [
        { type: "http", url: `http://127.0.0.1:${port}/`, interval: 1 },
        { type: "tcp", interval: 1 },
      ],
    });
    const passing = await edge.until("/services/pull/instances/a", ({ json }) => json.status === "passing");
    expect(passing.json.checks.map(({ status }: { status: string }) => status)).toEqual(["passing", "passing"]);
    server.closeAllConnections();
    server.close();
    const critical = await edge.until("/services/pull/instances/a", ({ json }) => json.status === "critical");
    expect(critical.json.status).toBe("critical");
    await edge.api("/services/pull", { method: "DELETE" });
  });
});

describe("keys", () => {
  test("bytes come back as they were, with their revisions", async () => {
    const value = Uint8Array.from({ length: 1000 }, (_, at) => at % 256);
    const written = await edge.put("/kv/bin/a", value);
    const response = await edge.request("/api/v1/namespaces/default/kv/bin/a");
    expect(new Uint8Array(await response.arrayBuffer())).toEqual(value);
    expect(response.headers.get("etag")).toBe(`"${written.json.modRevision}"`);
    expect(response.headers.get("x-holdfast-version")).toBe("1");
    const empty = await edge.put("/kv/bin/empty", "");
    expect(empty.json.version).toBe(1);
    expect((await edge.api("/kv/bin/empty")).text).toBe("");
    expect((await edge.put("/kv/bin/empty", "")).json.version).toBe(2);
    expect((await edge.api("/kv/bin/none")).json).toMatchObject({ status: 404, code: "not_found" });
  });

  test("keys with slashes, blanks, umlauts and dots; encoded and plain are the same key", async () => {
    for (const key of ["dir/sub/key", "a b", "ä/ö", "..x", "%25", "q?x", "semi;colon", "plus+plus"]) {
      expect((await edge.put(`/kv/${encodeURIComponent(key)}`, key)).status, key).toBe(200);
      expect((await edge.api(`/kv/${encodeURIComponent(key)}`)).text).toBe(key);
    }
    expect((await edge.api("/kv/dir/sub/key")).text).toBe("dir/sub/key");
  });

  test("K7: of many concurrent compare-and-sets on one revision exactly one succeeds", async () => {
    const { json } = await edge.put("/kv/cas/a", "0");
    const tries = await Promise.all(
      Array.from({ length: 20 }, (_, at) => edge.put(`/kv/cas/a?cas=${json.modRevision}`, String(at))),
    );
    expect(tries.filter(({ status }) => status === 200)).toHaveLength(1);
    const winner = tries.findIndex(({ status }) => status === 200);
    const loser = tries.find(({ status }) => status !== 200)!;
    expect(loser.json).toMatchObject({ status: 409, code: "conflict", revision: tries[winner]!.json.modRevision });
    expect((await edge.api("/kv/cas/a")).text).toBe(String(winner));
    expect((await edge.put("/kv/cas/new?cas=0", "x")).status).toBe(200);
    expect((await edge.put("/kv/cas/new?cas=0", "y")).status).toBe(409);
  });

  test("lists by prefix, in pages, with and without values, as of an old revision", async () => {
    for (let i = 0; i < 5; i++) await edge.put(`/kv/list/${i}`, String(i));
    const first = await edge.api("/kv/list/?prefix=true&limit=2");
    expect(first.json).toMatchObject({
      items: [{ key: "list/0", value: bytes("0") }, { key: "list/1" }],
      more: true,
      after: "list/1",
    });
    const second = await edge.api("/kv/list/?prefix=true&after=list/1&keys=true");
    expect(second.json.items.map(({ key, value }: { key: string; value?: string }) => [key, value])).toEqual([
      ["list/2", undefined],
      ["list/3", undefined],
      ["list/4", undefined],
    ]);
    const revision = first.headers.get("x-holdfast-revision");
    await edge.api("/kv/list/?prefix=true", { method: "DELETE" });
    expect((await edge.api("/kv/list/?prefix=true")).json.items).toEqual([]);
    expect((await edge.api(`/kv/list/?prefix=true&revision=${revision}`)).json.items).toHaveLength(5);
    expect((await edge.api(`/kv/list/3?revision=${revision}`)).text).toBe("3");
    expect((await edge.api("/kv/list/3?revision=99999999")).json).toMatchObject({
      status: 400,
      code: "future_revision",
    });
  });

  test("transactions: one revision, then or else, nested, reading what they wrote", async () => {
    const body = {
      compare: [{ key: "t/lock", target: "version", operator: "=", operand: 0 }],
      then: [
        { type: "put", key: "t/lock", value: "me" },
        { type: "put", keyBase64: bytes("t/b"), valueBase64: bytes("x") },
        { type: "range", key: "t/", prefix: true },
        { type: "txn", then: [{ type: "put", key: "t/nested", value: "y" }] },
      ],
      else: [{ type: "range", key: "t/lock" }],
    };
    const first = await edge.api("/txn", { method: "POST", body });
    expect(first.json).toMatchObject({
      succeeded: true,
      results: [
        { type: "put" },
        { type: "put" },
        { items: [{ key: "t/b" }, { key: "t/lock" }] },
        { type: "txn", succeeded: true },
      ],
    });
    const second = await edge.api("/txn", { method: "POST", body });
    expect(second.json).toMatchObject({
      succeeded: false,
      results: [{ type: "range", items: [{ value: bytes("me") }] }],
    });
    const listed = (await edge.api("/kv/t/?prefix=true")).json.items as { modRevision: number }[];
    expect(new Set(listed.map(({ modRevision }) => modRevision)).size).toBe(1);
    const twice = {
      then: [
        { type: "put", key: "t/x", value: "1" },
        { type: "delete", key: "t/", prefix: true },
      ],
    };
    expect((await edge.api("/txn", { method: "POST", body: twice })).json).toMatchObject({ status: 400 });
    const many = {
      then: Array.from({ length: 127 }, (_, at) => ({
        type: "txn",
        then: [{ type: "put", key: `m${at}`, value: "" }],
      })),
    };
    expect((await edge.api("/txn", { method: "POST", body: many })).json).toMatchObject({
      status: 413,
      code: "too_large",
    });
  });

  test("K6: a repeated request id gives the first answer and runs once", async () => {
    const headers = { "idempotency-key": "op-1" };
    const first = await edge.put("/kv/once", "1", { headers });
    const again = await edge.put("/kv/once", "1", { headers });
    expect(again.json).toEqual(first.json);
    expect((await edge.api("/kv/once")).headers.get("x-holdfast-version")).toBe("1");
    expect((await edge.api("/kv/once", { method: "DELETE", headers })).json).toMatchObject({ code: "conflict" });
  });
});

describe("leases", () => {
  test("grant, attach, look, renew, revoke", async () => {
    const { json: lease } = await edge.api("/leases", { method: "POST", body: { ttl: 60 } });
    await edge.put(`/kv/leased/a?lease=${lease.id}`, "x");
    expect((await edge.api(`/leases/${lease.id}`)).json).toMatchObject({
      ttl: 60,
      attached: [{ space: "kv", key: "leased/a" }],
    });
    expect((await edge.api("/leases")).json.ids).toContain(lease.id);
    expect((await edge.api(`/leases/${lease.id}/renew`, { method: "POST" })).json).toEqual({ id: lease.id, ttl: 60 });
    expect((await edge.api(`/leases/${lease.id}`, { method: "DELETE" })).json).toEqual({ detached: 1 });
    expect((await edge.api("/kv/leased/a")).status).toBe(404);
    expect((await edge.api(`/leases/${lease.id}/renew`, { method: "POST" })).status).toBe(404);
    expect((await edge.put("/kv/leased/b?lease=12345", "x")).json).toMatchObject({ status: 404, lease: "12345" });
  });
});

describe("operations", () => {
  test("A1: every change has one audit entry, and the chain verifies", async () => {
    const { json } = await edge.put("/kv/audited", "x", { headers: { "idempotency-key": "audit-1" } });
    const { entries } = (await edge.api(`/audit?since=${json.modRevision - 1}&limit=1`)).json;
    expect(entries).toMatchObject([
      {
        revision: json.modRevision,
        command: "kv.put",
        principal: "root",
        dialect: "api",
        requestId: "audit-1",
        changes: [{ space: "kv", key: "audited", type: "put" }],
      },
    ]);
    let since = 0;
    for (;;) {
      const verdict = (await edge.api(`/audit/verify?since=${since}`)).json;
      expect(verdict.brokenAt).toBeNull();
      if (verdict.checked === 0) break;
      since = verdict.through;
    }
    expect(since).toBe((await edge.api("/status")).json.revision);
  });

  test("settings: read, changed in part, wrong ones refused", async () => {
    const { json } = await edge.api("/settings", { method: "PATCH", body: { selfPreservation: { threshold: 0.5 } } });
    expect(json.selfPreservation).toEqual({ threshold: 0.5, minimum: 20 });
    expect((await edge.api("/settings")).json).toEqual(json);
    expect(
      (await edge.api("/settings", { method: "PATCH", body: { selfPreservation: { threshold: 2 } } })).json,
    ).toMatchObject({
      status: 400,
      field: "selfPreservation.threshold",
    });
  });

  test("D1, D2: a snapshot restores what was, above every revision that ever was; old watches learn it", async () => {
    const at = (path: string, asked = {}) => edge.api(path, asked, "snap");
    for (const key of ["a", "b"]) await at(`/kv/${key}`, { method: "PUT", body: key });
    await at("/services/web/instances/i", { method: "PUT", body: { address: "192.0.2.1", port: 80 } });
    const snapshot = await at("/snapshot");
    await at("/kv/a", { method: "PUT", body: "later" });
    const newest = (await at("/status")).json.revision;
    expect((await at("/restore", { method: "POST", body: snapshot.text })).json).toMatchObject({
      status: 409,
      code: "conflict",
    });
    const restored = await at("/restore?force=true", { method: "POST", body: snapshot.text });
    expect(restored.json.revision).toBeGreaterThan(newest);
    expect((await at("/kv/a")).text).toBe("a");
    expect((await at("/resolve/web?consistency=strong")).json.instances).toHaveLength(1);
    expect((await at(`/kv/a?revision=${newest}`)).json).toMatchObject({ code: "compacted" });
    expect((await at(`/watch?since=${newest}`)).json).toMatchObject({ status: 410, code: "compacted" });
    expect((await at("/kv/c", { method: "PUT", body: "c" })).json.modRevision).toBeGreaterThan(restored.json.revision);
    const copy = await edge.api("/restore", { method: "POST", body: snapshot.text }, "copy");
    expect(copy.status).toBe(200);
    expect((await edge.api("/kv/b", {}, "copy")).text).toBe("b");
  });

  test("D3: a damaged snapshot is refused whole, and nothing has changed", async () => {
    const at = (path: string, asked = {}) => edge.api(path, asked, "damaged");
    await at("/kv/keep", { method: "PUT", body: "me" });
    const { text } = await at("/snapshot");
    const cut = text.slice(0, text.lastIndexOf("{"));
    const flipped = text.replace('"bWU="', '"bWV="');
    for (const body of [cut, flipped, "", "nonsense\n", `${text}${text}`]) {
      const reply = await at("/restore?force=true", { method: "POST", body });
      expect(reply.status).toBe(400);
    }
    expect((await at("/kv/keep")).text).toBe("me");
  });

  test("namespaces are apart, and listed", async () => {
    await edge.api("/kv/only", { method: "PUT", body: "here" }, "team-a");
    expect((await edge.api("/kv/only", {}, "team-b")).status).toBe(404);
    const { namespaces } = (await edge.ask("/api/v1/namespaces")).json;
    expect(namespaces.map(({ name }: { name: string }) => name)).toContain("team-a");
    expect(namespaces.map(({ name }: { name: string }) => name)).not.toContain("team-b");
    expect((await edge.api("/status", {}, "UPPER")).json).toMatchObject({ status: 400, field: "namespace" });
  });

  test("the OpenAPI document names every operation, and the page shows them", async () => {
    const document = (await edge.ask("/api/openapi.json", { token: null })).json;
    expect(document.openapi).toBe("3.1.0");
    const operations = Object.values(document.paths).flatMap((item) => Object.values(item as object)) as {
      operationId: string;
    }[];
    const ids = operations.map(({ operationId }) => operationId);
    expect(new Set(ids).size).toBe(ids.length);
    for (const id of ["register", "resolve", "heartbeats", "transact", "watch", "saveSnapshot", "listNamespaces"])
      expect(ids).toContain(id);
    const references = JSON.stringify(document).match(/"#\/components\/schemas\/[^"]+"/g) ?? [];
    for (const reference of references)
      expect(Object.keys(document.components.schemas)).toContain(JSON.parse(reference).split("/").at(-1));
    const page = await edge.ask("/api/docs", { token: null });
    expect(page.headers.get("content-security-policy")).toContain("default-src 'none'");
    for (const id of ids) expect(page.text).toContain(`id="${id}"`);
  });
});
