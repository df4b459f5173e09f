/** `/v1/connect/intentions` over HTTP: one by one, by id, and as entries. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
let namespace = "";
let count = 0;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(async () => {
  await edge[Symbol.asyncDispose]();
});
beforeEach(() => {
  namespace = `intentions-${++count}`;
});

const ask = (method: string, path: string, body?: unknown, token?: string): Promise<Reply> =>
  edge.ask(`/ns/${namespace}/v1${path}`, { method, ...(body !== undefined && { body }), ...(token && { token }) });
const exact = (method: string, source: string, destination: string, body?: unknown): Promise<Reply> =>
  ask(method, `/connect/intentions/exact?source=${source}&destination=${destination}`, body);

describe("exact", () => {
  test("are written, read, replaced and deleted, and are entries", async () => {
    expect(await exact("PUT", "api", "db", { Action: "allow", Description: "d" })).toMatchObject({
      status: 200,
      text: "true",
    });
    await exact("PUT", "*", "db", { Action: "deny" });
    await exact("PUT", "api", "db", { Action: "deny", SourceType: "consul" });
    expect((await exact("GET", "default/api", "db")).json).toMatchObject({
      SourceNS: "default",
      SourceName: "api",
      DestinationNS: "default",
      DestinationName: "db",
      SourceType: "consul",
      Action: "deny",
      Precedence: 9,
    });
    expect((await ask("GET", "/config/service-intentions/db")).json.Sources).toMatchObject([
      { Name: "api", Action: "deny", Precedence: 9, Type: "consul" },
      { Name: "*", Action: "deny", Precedence: 8 },
    ]);
    expect((await exact("DELETE", "api", "db")).json).toBe(true);
    expect((await exact("DELETE", "api", "db")).json).toBe(true);
    expect(await exact("GET", "api", "db")).toMatchObject({ status: 404, text: "Intention not found" });
    await exact("DELETE", "*", "db");
    expect((await ask("GET", "/config/service-intentions/db")).status).toBe(404);
  });

  test("with permissions need a protocol that has requests", async () => {
    const body = { Permissions: [{ Action: "allow", HTTP: { PathPrefix: "/", Methods: ["get"] } }] };
    expect(await exact("PUT", "api", "web", body)).toMatchObject({
      status: 500,
      text: 'service "web" has protocol "tcp", which is incompatible with L7 intentions permissions',
    });
    await ask("PUT", "/config", { Kind: "service-defaults", Name: "web", Protocol: "http" });
    expect((await exact("PUT", "api", "web", body)).json).toBe(true);
    expect((await exact("GET", "api", "web")).json.Permissions).toEqual([
      { Action: "allow", HTTP: { PathPrefix: "/", Methods: ["GET"] } },
    ]);
  });

  test("many at once towards one destination all stay", async () => {
    const names = Array.from({ length: 6 }, (_, index) => `s${index}`);
    const replies = await Promise.all(names.map((name) => exact("PUT", name, "db", { Action: "allow" })));
    expect(replies.map(({ text }) => text)).toEqual(names.map(() => "true"));
    expect((await ask("GET", "/config/service-intentions/db")).json.Sources).toHaveLength(6);
  });

  test.each<[string, string, unknown, number, string]>([
    ["source=a", "GET", undefined, 500, "required query parameter 'destination' not set"],
    ["destination=a&source=", "PUT", {}, 500, "required query parameter 'source' not set"],
    [
      "source=a/b/c/d&destination=b",
      "PUT",
      {},
      500,
      "source \"a/b/c/d\" is invalid: input can contain at most two '/'",
    ],
    ["source=peer:x/a&destination=b", "PUT", {}, 500, 'source "peer:x/a" is invalid: cannot specify a peer here'],
    [
      "source=other/a&destination=b",
      "PUT",
      {},
      500,
      'Invalid SourceNS "other": Namespaces is a Consul Enterprise feature',
    ],
    ["source=a&destination=b", "PUT", { Action: "maybe" }, 500, "Sources[0].Action must be set to 'allow' or 'deny'"],
    ["source=a&destination=b", "PUT", { Actoin: "allow" }, 400, 'Request decode failed: json: unknown field "Actoin"'],
    ["source=a&destination=b", "PUT", { Action: "allow", Meta: { a: "b" } }, 500, "Meta must not be specified"],
    [
      "source=a&destination=b",
      "PUT",
      { SourcePeer: "x" },
      500,
      "SourcePeer field is not supported on this endpoint. Use config entries instead",
    ],
  ])("refused: %s", async (query, method, body, status, text) => {
    expect(await ask(method, `/connect/intentions/exact?${query}`, body)).toMatchObject({ status, text });
  });
});

describe("by id", () => {
  test("are written, changed and deleted", async () => {
    const body = { SourceName: "api", DestinationName: "db", Action: "allow", Meta: { a: "b" } };
    const { ID } = (await ask("POST", "/connect/intentions", body)).json;
    const first = (await ask("GET", `/connect/intentions/${ID}`)).json;
    expect(first).toMatchObject({ ID, SourceName: "api", Action: "allow", Meta: { a: "b" }, Precedence: 9 });
    expect((await ask("PUT", `/connect/intentions/${ID}`, { ...body, Action: "deny" })).json).toEqual({ ID });
    expect((await ask("GET", `/connect/intentions/${ID}`)).json).toMatchObject({
      Action: "deny",
      CreatedAt: first.CreatedAt,
    });
    expect((await ask("PUT", `/connect/intentions/${ID}`, { ...body, DestinationName: "x" })).text).toBe(
      "Cannot modify Destination partition/namespace/name for an intention once it exists.",
    );
    expect((await ask("DELETE", `/connect/intentions/${ID}`)).json).toBe(true);
    expect(await ask("DELETE", `/connect/intentions/${ID}`)).toMatchObject({
      status: 500,
      text: `Cannot delete non-existent intention: '${ID}'`,
    });
    expect(await ask("GET", `/connect/intentions/${ID}`)).toMatchObject({ status: 404, text: "Intention not found" });
  });

  test("not where entries were written", async () => {
    await exact("PUT", "api", "db", { Action: "allow" });
    const reply = await ask("POST", "/connect/intentions", { SourceName: "x", DestinationName: "db", Action: "deny" });
    expect(reply.text).toBe(
      'cannot use legacy intention API to edit intentions with a destination of "db" after editing them via a service-intentions config entry',
    );
  });

  test("what is wrong is told at once", async () => {
    const reply = await ask("POST", "/connect/intentions", { DestinationName: "d*b" });
    expect(reply).toMatchObject({
      status: 500,
      text: "3 errors occurred:\n\t* SourceName must be set\n\t* DestinationName: wildcard character '*' cannot be used with partial values\n\t* Action must be set to 'allow' or 'deny'\n\n",
    });
    expect(await ask("GET", "/connect/intentions/x")).toMatchObject({ status: 400 });
    expect(await ask("POST", "/connect/intentions", { Nothing: 1 })).toMatchObject({
      status: 500,
      text: 'Failed to decode request body: json: unknown field "Nothing"',
    });
  });
});

describe("together", () => {
  const pairs = (reply: { SourceName: string; DestinationName: string }[]): string[] =>
    reply.map(({ SourceName, DestinationName }) => `${SourceName}>${DestinationName}`);

  beforeEach(async () => {
    await exact("PUT", "*", "*", { Action: "deny" });
    await exact("PUT", "api", "*", { Action: "allow" });
    await exact("PUT", "api", "db", { Action: "allow" });
    await exact("PUT", "*", "db", { Action: "deny" });
  });

  test("are listed with the most exact first, filtered, and waited for", async () => {
    const list = await ask("GET", "/connect/intentions");
    expect(pairs(list.json)).toEqual(["api>db", "*>db", "api>*", "*>*"]);
    const filtered = await ask("GET", "/connect/intentions?filter=Action%20==%20allow");
    expect(pairs(filtered.json)).toEqual(["api>db", "api>*"]);
    const waiting = ask("GET", `/connect/intentions?index=${list.headers.get("x-consul-index")}&wait=60s`);
    await exact("PUT", "x", "y", { Action: "allow" });
    expect((await waiting).json).toHaveLength(5);
  });

  test("match by either end", async () => {
    const bySource = (await ask("GET", "/connect/intentions/match?by=source&name=api&name=web")).json;
    expect(pairs(bySource.api)).toEqual(["api>db", "*>db", "api>*", "*>*"]);
    expect(pairs(bySource.web)).toEqual(["*>db", "*>*"]);
    const byDestination = (await ask("GET", "/connect/intentions/match?by=destination&name=web")).json;
    expect(pairs(byDestination.web)).toEqual(["api>*", "*>*"]);
    expect((await ask("GET", "/connect/intentions/match?by=source&name=__proto__")).text).toContain('{"__proto__":[');
    expect((await ask("GET", `/connect/intentions/match?by=source${"&name=a".repeat(65)}`)).status).toBe(500);
    expect((await ask("GET", "/connect/intentions/match?name=a")).text).toBe("required query parameter 'by' not set");
    expect((await ask("GET", "/connect/intentions/match?by=source")).text).toBe(
      "required query parameter 'name' not set",
    );
  });

  test.each([
    ["api", "db", true],
    ["web", "db", false],
    ["api", "web", true],
    ["web", "cache", false],
  ])("check %s → %s", async (source, destination, Allowed) => {
    const reply = await ask("GET", `/connect/intentions/check?source=${source}&destination=${destination}`);
    expect(reply.json).toEqual({ Allowed });
  });

  test("are seen from either end, and written from the destination", async () => {
    const policy = (
      await ask("PUT", "/acl/policy", { Name: "p", Rules: 'service "db" { policy = "read" intentions = "write" }' })
    ).json;
    const token = (await ask("PUT", "/acl/token", { Policies: [{ ID: policy.ID }] })).json.SecretID;
    await exact("PUT", "x", "web", { Action: "allow" });
    // Rules for any destination may be read by whoever may read those of one.
    const list = (await ask("GET", "/connect/intentions", undefined, token)).json;
    expect(pairs(list)).toEqual(["api>db", "*>db", "api>*", "*>*"]);
    const url = (destination: string) => `/connect/intentions/exact?source=new&destination=${destination}`;
    expect((await ask("PUT", url("db"), { Action: "deny" }, token)).status).toBe(200);
    expect(await ask("PUT", url("web"), { Action: "deny" }, token)).toMatchObject({
      status: 403,
      text: "Permission denied",
    });
  });
});
