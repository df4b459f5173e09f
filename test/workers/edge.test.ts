/** The edge as a whole: who may ask, which surface answers, and traffic through it to real servers. */
import { createServer, type Server } from "node:http";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN } from "../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
});
afterAll(() => edge[Symbol.asyncDispose]());

async function serve(
  answer: (path: string, body: string, headers: NodeJS.Dict<string | string[]>) => string,
): Promise<{ server: Server; port: number }> {
  const server = createServer((request, response) => {
    const chunks: Buffer[] = [];
    request.on("data", (chunk: Buffer) => chunks.push(chunk));
    request.on("end", () => response.end(answer(request.url ?? "", Buffer.concat(chunks).toString(), request.headers)));
  });
  const port = await new Promise<number>((resolve) => {
    server.listen(0, "127.0.0.1", () => resolve((server.address() as { port: number }).port));
  });
  return { server, port };
}

describe("register, resolve, route, kill, gone", () => {
  test("requests reach both instances; when one is killed the next answers; when all are gone, 503", async () => {
    const servers = await Promise.all(["a", "b"].map((name) => serve((path, body) => `${name} ${path} ${body}`)));
    for (const [at, { port }] of servers.entries()) {
      await edge.put(`/services/web/instances/${at}`, { address: "127.0.0.1", port, ttl: 60 });
    }
    await edge.until("/resolve/web", ({ json }) => json.instances.length === 2);
    const names = new Set<string>();
    for (let i = 0; i < 20; i++) names.add((await edge.ask("/route/web/x/y?z=1")).text.split(" ")[0]!);
    expect([...names].toSorted()).toEqual(["a", "b"]);
    expect((await edge.ask("/route/web/echo", { method: "POST", body: "hello" })).text).toMatch(/^[ab] \/echo hello$/);

    servers[0]!.server.closeAllConnections();
    await new Promise((resolve) => servers[0]!.server.close(resolve));
    for (let i = 0; i < 10; i++) expect((await edge.ask("/route/web/")).text).toBe("b / ");

    await edge.api("/services/web", { method: "DELETE" });
    await edge.until("/resolve/web", ({ json }) => json.instances.length === 0);
    const none = await edge.ask("/route/web/");
    expect(none.json).toMatchObject({ status: 503, code: "unavailable", service: "web" });
    servers[1]!.server.close();
  });

  test("the credential stays here; a host names service and namespace", async () => {
    const { server, port } = await serve((path, _body, headers) =>
      JSON.stringify({ path, authorization: headers["authorization"] ?? null, host: headers["x-forwarded-host"] }),
    );
    await edge.api("/services/api/instances/1", { method: "PUT", body: { address: "127.0.0.1", port } }, "team");
    const byPath = await edge.ask("/ns/team/route/api/v1/things");
    expect(JSON.parse(byPath.text)).toMatchObject({ path: "/v1/things", authorization: null });
    const { request } = await import("node:http");
    const byHost = await new Promise<string>((resolve, reject) => {
      const url = new URL(edge.address);
      const asked = request(
        {
          host: url.hostname,
          port: url.port,
          path: "/deep/path?q=1",
          headers: { host: "api.team.holdfast", authorization: `Bearer ${TOKEN}` },
        },
        (response) => {
          let text = "";
          response.on("data", (chunk: Buffer) => (text += chunk.toString()));
          response.on("end", () => resolve(text));
        },
      );
      asked.on("error", reject);
      asked.end();
    });
    expect(JSON.parse(byHost)).toMatchObject({ path: "/deep/path?q=1", host: "api.team.holdfast" });
    server.close();
  });
});

test("DNS over HTTPS: healthy instances, NXDOMAIN, another namespace", async () => {
  await edge.put("/services/dns/instances/1", { address: "192.0.2.7", port: 8080 });
  await edge.put("/services/dns/instances/2", { address: "192.0.2.8", port: 8080, adminState: "maintenance" });
  const a = (await edge.ask("/dns-query?name=dns.service.holdfast&type=A")).json;
  expect(a.Answer.map(({ data }: { data: string }) => data)).toEqual(["192.0.2.7"]);
  const srv = (await edge.ask("/dns-query?name=dns.service.holdfast&type=SRV")).json;
  expect(srv.Answer[0].data).toMatch(/^1 1 8080 /);
  expect((await edge.ask("/dns-query?name=none.service.holdfast&type=A")).json.Status).toBe(3);
  await edge.api("/services/dns/instances/1", { method: "PUT", body: { address: "192.0.2.9", port: 1 } }, "team");
  const other = (await edge.ask("/dns-query?name=dns.team.holdfast&type=A")).json;
  expect(other.Answer.map(({ data }: { data: string }) => data)).toEqual(["192.0.2.9"]);
});

test("S1: when the owner fails, the last good answer is given with a warning and its age", async () => {
  await edge.put("/services/last/instances/1", { address: "192.0.2.7", port: 8080 });
  await edge.until("/resolve/last", ({ json }) => json.instances.length === 1);
  const stop = new AbortController();
  // The owner ends whenever it is about to commit; reads that need it fail while it is away.
  const killer = (async () => {
    while (!stop.signal.aborted) {
      await edge.put("/kv/kill", "x", { headers: { "x-holdfast-test-abort": "before_commit" } });
    }
  })();
  for (let i = 0; i < 50; i++) {
    const reply = await edge.api("/resolve/last");
    expect(reply.status).toBe(200);
    expect(reply.json.instances).toHaveLength(1);
    if (Number(reply.headers.get("age")) > 0) expect(reply.headers.get("warning")).toContain("110");
  }
  stop.abort();
  await killer;
  expect(
    (await edge.until("/resolve/last?consistency=strong", ({ status }) => status === 200)).json.instances,
  ).toHaveLength(1);
});

test("K1, K5: an object that ends in the middle of a batch: nothing acknowledged is lost, nothing half is left", async () => {
  const acknowledged: string[] = [];
  const writers = Array.from({ length: 16 }, async (_, writer) => {
    for (let at = 0; at < 20; at++) {
      const key = `${writer}-${at}`;
      const headers =
        writer === 0 && at % 3 === 1
          ? { "x-holdfast-test-abort": at % 2 ? "before_commit" : "after_commit" }
          : undefined;
      const body = {
        then: [
          { type: "put", key: `m/${key}/a`, value: key },
          { type: "put", key: `m/${key}/b`, value: key },
        ],
      };
      const reply = await edge.api("/txn", { method: "POST", body, ...(headers && { headers }) });
      if (reply.status === 200) acknowledged.push(key);
      else expect(reply.json).toMatchObject({ status: 503, code: "unavailable" });
    }
  });
  await Promise.all(writers);
  expect(acknowledged.length).toBeGreaterThan(100);
  const kept = new Map<string, number>();
  for (const { key } of (await edge.until("/kv/m/?prefix=true&keys=true&limit=10000", ({ status }) => status === 200))
    .json.items as { key: string }[]) {
    const name = key.split("/")[1]!;
    kept.set(name, (kept.get(name) ?? 0) + 1);
  }
  for (const key of acknowledged) expect([key, kept.get(key)]).toEqual([key, 2]);
  expect([...kept.values()].every((count) => count === 2)).toBe(true);
});

describe("open mode", () => {
  test("no token is needed on loopback; foreign hosts and foreign origins are refused", async () => {
    await using open = await Edge.start(["--open"]);
    expect((await open.api("/status", { token: null })).status).toBe(200);
    const foreign = await open.api("/kv/a", {
      method: "PUT",
      body: "x",
      token: null,
      headers: { origin: "https://evil.example" },
    });
    expect(foreign.json).toMatchObject({ status: 403, code: "permission_denied" });
    const { request } = await import("node:http");
    const rebound = await new Promise<number>((resolve, reject) => {
      const url = new URL(open.address);
      const asked = request(
        { host: url.hostname, port: url.port, path: "/api/v1/namespaces", headers: { host: "evil.example" } },
        (response) => {
          response.resume();
          resolve(response.statusCode ?? 0);
        },
      );
      asked.on("error", reject);
      asked.end();
    });
    expect(rebound).toBe(403);
    const { entries } = (await open.put("/kv/a", "x", { token: null }).then(() => open.api("/audit", { token: null })))
      .json;
    expect(entries.at(-1)).toMatchObject({ principal: "anonymous" });
  });
});
