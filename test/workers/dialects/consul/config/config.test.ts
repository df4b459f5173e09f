/** `/v1/config` and `/v1/discovery-chain` over HTTP. */
import { afterAll, beforeAll, beforeEach, describe, expect, test } from "vitest";
import type { Reply } from "../../../../edge.ts";
import { Edge } from "../../../../edge.ts";
import { createRoot } from "../../../../../workers/authority/x509.ts";

let edge: Edge;
/** Each test has one of its own. */
let namespace = "";
let count = 0;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(async () => {
  await edge[Symbol.asyncDispose]();
});
beforeEach(() => {
  namespace = `config-${++count}`;
});

const ask = (method: string, path: string, body?: unknown, token?: string): Promise<Reply> =>
  edge.ask(`/ns/${namespace}/v1${path}`, { method, ...(body !== undefined && { body }), ...(token && { token }) });
const put = (entry: object, query = ""): Promise<Reply> => ask("PUT", `/config${query}`, entry);

describe("entries", () => {
  test("are written, read, listed and deleted", async () => {
    expect(await put({ Kind: "service-defaults", Name: "web", Protocol: "http" })).toMatchObject({
      status: 200,
      text: "true",
    });
    await put({ Kind: "proxy-defaults", Config: { a: 1 } });
    const one = await ask("GET", "/config/service-defaults/web");
    expect(one.json).toMatchObject({ Kind: "service-defaults", Name: "web", Protocol: "http" });
    expect(one.headers.get("x-consul-index")).toBe(String(one.json.ModifyIndex));
    expect((await ask("GET", "/config/service-defaults")).json).toHaveLength(1);
    expect((await ask("GET", "/config/proxy-defaults")).json).toMatchObject([{ Name: "global", Config: { a: 1 } }]);
    expect((await ask("GET", "/config/")).json).toHaveLength(2);
    expect(await ask("DELETE", "/config/service-defaults/web")).toMatchObject({ status: 200, text: "{}" });
    expect(await ask("DELETE", "/config/service-defaults/web")).toMatchObject({ status: 200, text: "{}" });
    expect(await ask("GET", "/config/service-defaults/web")).toMatchObject({
      status: 404,
      text: 'Config entry not found for "service-defaults" / "web"',
    });
  });

  test("compare-and-set, and the same again", async () => {
    const entry = { Kind: "service-defaults", Name: "web", Protocol: "http" };
    expect((await put(entry, "?cas=0")).json).toBe(true);
    const { ModifyIndex } = (await ask("GET", "/config/service-defaults/web")).json;
    expect((await put({ ...entry, Protocol: "grpc" }, "?cas=0")).json).toBe(false);
    expect((await put({ ...entry, Protocol: "grpc" }, `?cas=${ModifyIndex + 1}`)).json).toBe(false);
    expect((await put(entry, `?cas=${ModifyIndex + 1}`)).json).toBe(true);
    expect((await ask("GET", "/config/service-defaults/web")).json).toMatchObject({ Protocol: "http", ModifyIndex });
    expect((await put({ ...entry, Protocol: "grpc" }, `?cas=${ModifyIndex}`)).json).toBe(true);
    expect((await ask("DELETE", `/config/service-defaults/web?cas=${ModifyIndex}`)).json).toBe(false);
    const now = (await ask("GET", "/config/service-defaults/web")).json.ModifyIndex;
    expect((await ask("DELETE", `/config/service-defaults/web?cas=${now}`)).json).toBe(true);
    expect((await ask("DELETE", `/config/service-defaults/web?cas=${now}`)).json).toBe(true);
  });

  test.each<[string, string, string, unknown, number, string]>([
    ["an unknown kind, listed", "GET", "/config/web", undefined, 500, "invalid config entry kind: web"],
    ["an unknown kind, deleted", "DELETE", "/config/web/a", undefined, 400, "invalid config entry kind: web"],
    ["no name", "DELETE", "/config/service-defaults", undefined, 404, "Must provide both a kind and name to delete"],
    [
      "a bad cas",
      "PUT",
      "/config?cas=x",
      { Kind: "service-defaults", Name: "a" },
      500,
      'strconv.ParseUint: parsing "x": invalid syntax',
    ],
    ["no JSON", "PUT", "/config", "{", 400, "Request decoding failed: "],
    [
      "a filter where there is none",
      "GET",
      "/config/service-router?filter=Name==a",
      undefined,
      500,
      "filtering not supported for config entry kind=service-router",
    ],
    [
      "another proxy-defaults",
      "DELETE",
      "/config/proxy-defaults/a",
      undefined,
      500,
      'invalid name ("a"), only "global"',
    ],
    ["the wrong method", "POST", "/config", {}, 405, "method POST not allowed"],
  ])("%s", async (_name, method, path, body, status, text) => {
    const reply = await ask(method, path, body);
    expect(reply.status).toBe(status);
    expect(reply.text).toContain(text);
  });

  test("numbers of any length are numbers, or refused", async () => {
    const long = "123456789012345678901234567890";
    const body = `{"Kind":"proxy-defaults","Config":{"a":${long},"b":[1,[${long}]]}}`;
    expect(await ask("PUT", "/config", body)).toMatchObject({ status: 200, text: "true" });
    expect((await ask("GET", "/config/proxy-defaults/global")).json.Config.a).toBe(Number(long));
    for (const value of [long, "1e999", "-1e30"]) {
      const limits = `{"Kind":"service-defaults","Name":"a","MaxInboundConnections":${value}}`;
      expect(await ask("PUT", "/config", limits)).toMatchObject({ status: 400 });
      const timeout = `{"Kind":"service-resolver","Name":"a","ConnectTimeout":${value}}`;
      expect(await ask("PUT", "/config", timeout)).toMatchObject({ status: 400 });
    }
    const config = `{"Provider":"consul","Config":{"LeafCertTTL":"72h","Other":${long}}}`;
    expect(await ask("PUT", "/connect/ca/configuration", config)).toMatchObject({ status: 200 });
  });

  test("lists are filtered", async () => {
    await put({ Kind: "service-defaults", Name: "a", Protocol: "http" });
    await put({ Kind: "service-defaults", Name: "b", Protocol: "grpc" });
    const reply = await ask("GET", "/config/service-defaults?filter=Protocol%20==%20grpc");
    expect(reply.json.map(({ Name }: { Name: string }) => Name)).toEqual(["b"]);
  });

  test("a list waits for the next change of its kind, and not for others", async () => {
    await put({ Kind: "service-defaults", Name: "a" });
    const first = await ask("GET", "/config/service-defaults");
    const waiting = ask("GET", `/config/service-defaults?index=${first.headers.get("x-consul-index")}&wait=60s`);
    await put({ Kind: "service-resolver", Name: "a" });
    await put({ Kind: "service-defaults", Name: "b" });
    expect((await waiting).json).toHaveLength(2);
  });
});

describe("certificates", () => {
  test("are kept when certificate and key belong together", async () => {
    const wishes = { uri: "spiffe://x", ttlMs: 3_600_000, now: Date.now(), serial: 1 };
    const [one, other] = await Promise.all(
      ["a.example.com", "b"].map((commonName) => createRoot({ commonName, ...wishes })),
    );
    const entry = { Kind: "inline-certificate", Name: "c", Certificate: one!.certificate, PrivateKey: one!.privateKey };
    expect((await put(entry)).text).toBe("true");
    expect((await ask("GET", "/config/inline-certificate/c")).json).toMatchObject(entry);
    expect(await put({ ...entry, PrivateKey: other!.privateKey })).toMatchObject({
      status: 500,
      text: "tls: private key does not match public key",
    });
    const Certificate = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----";
    expect((await put({ ...entry, Certificate })).text).toMatch(/^failed to parse certificate: /);
  });
});

describe("what would break the whole is refused in Consul's words", () => {
  test("protocols, subsets, circles, issuers, gateways", async () => {
    const http = (Name: string) => put({ Kind: "service-defaults", Name, Protocol: "http" });
    expect((await put({ Kind: "service-router", Name: "web" })).text).toBe(
      'discovery chain "web" uses a protocol "tcp" that does not permit advanced routing or splitting behavior',
    );
    await http("web");
    await http("api");
    await put({ Kind: "service-splitter", Name: "web", Splits: [{ Weight: 100, Service: "api" }] });
    expect((await put({ Kind: "service-splitter", Name: "api", Splits: [{ Weight: 100, Service: "web" }] })).text).toBe(
      "detected circular reference: [splitter:api.default.default -> splitter:web.default.default -> splitter:api.default.default]",
    );
    await put({ Kind: "service-resolver", Name: "a", Redirect: { Service: "b" } });
    expect((await put({ Kind: "service-resolver", Name: "b", Redirect: { Service: "a" } })).text).toMatch(
      /^detected circular resolver redirect: \[(a|b)\.default\.default\.dc1 -> /,
    );
    expect(
      (await put({ Kind: "service-resolver", Name: "a", Redirect: { Service: "c", ServiceSubset: "v1" } })).text,
    ).toBe('service "c" does not have a subset named "v1"');
    const JWT = { Providers: [{ Name: "okta" }] };
    expect(
      (await put({ Kind: "service-intentions", Name: "web", Sources: [{ Name: "a", Action: "allow" }], JWT })).text,
    ).toBe("1 error occurred:\n\t* Referenced JWT Provider does not exist. Provider Name: okta\n\n");
    const gate = { Kind: "ingress-gateway", Name: "g", Listeners: [{ Port: 1, Services: [{ Name: "plain" }] }] };
    await put(gate);
    expect((await put({ Kind: "terminating-gateway", Name: "g" })).text).toBe(
      'cannot create a "terminating-gateway" config entry with name "g", a "ingress-gateway" config entry with that name already exists',
    );
    expect((await ask("DELETE", "/config/service-defaults/api")).status).toBe(500);
  });
});

describe("discovery chains", () => {
  test("are compiled on reading, and waited for", async () => {
    const plain = await ask("GET", "/discovery-chain/web");
    expect(plain.json.Chain).toMatchObject({ ServiceName: "web", Default: true, Protocol: "tcp" });
    expect(plain.headers.get("x-consul-effective-consistency")).toBe("leader");
    await put({ Kind: "service-defaults", Name: "web", Protocol: "http" });
    const index = (await ask("GET", "/discovery-chain/web")).headers.get("x-consul-index");
    const waiting = ask("GET", `/discovery-chain/web?index=${index}&wait=60s`);
    await put({ Kind: "service-router", Name: "web" });
    expect((await waiting).json.Chain).toMatchObject({ Protocol: "http", StartNode: "router:web.default.default" });
    const [target] = Object.values<{ SNI: string }>((await ask("GET", "/discovery-chain/web")).json.Chain.Targets);
    expect(target!.SNI).toMatch(/^web\.default\.dc1\.internal\.[0-9a-f-]{36}\.consul$/);
  });

  test("to somebody's wishes", async () => {
    const reply = await ask("POST", "/discovery-chain/web?compile-dc=dc9", {
      override_protocol: "grpc",
      OverrideConnectTimeout: "66s",
      OverrideMeshGateway: { Mode: "local" },
    });
    expect(reply.json.Chain).toMatchObject({
      Datacenter: "dc9",
      CustomizationHash: "78ebd528",
      Protocol: "grpc",
      Targets: { "web.default.default.dc9": { ConnectTimeout: "1m6s", MeshGateway: { Mode: "local" } } },
    });
    expect(await ask("POST", "/discovery-chain/web", { OverrideMeshGateway: { Mode: "x" } })).toMatchObject({
      status: 400,
      text: "Invalid OverrideMeshGateway.Mode parameter",
    });
    expect((await ask("POST", "/discovery-chain/web")).text).toBe("Request decoding failed: EOF");
    expect(await ask("GET", "/discovery-chain/")).toMatchObject({ status: 400, text: "Missing chain name" });
  });
});

describe("exported services", () => {
  test("are spelled out, a wildcard by the catalog", async () => {
    expect((await ask("GET", "/exported-services")).json).toEqual([]);
    await ask("PUT", "/catalog/register", { Node: "n", Address: "192.0.2.1", Service: { Service: "db", Port: 1 } });
    await put({
      Kind: "exported-services",
      Name: "default",
      Services: [
        { Name: "*", Consumers: [{ Peer: "east" }] },
        { Name: "web", Consumers: [{ peer_name: "west" }, { Peer: "east" }] },
      ],
    });
    expect((await ask("GET", "/exported-services")).json).toEqual([
      { Service: "db", Consumers: { Peers: ["east"] } },
      { Service: "web", Consumers: { Peers: ["east", "west"] } },
    ]);
  });
});

describe("rights", () => {
  /** A token with these rules, in the open namespace of the test. */
  async function tokenWith(rules: string): Promise<string> {
    const policy = (await ask("PUT", "/acl/policy", { Name: "p", Rules: rules })).json;
    return (await ask("PUT", "/acl/token", { Policies: [{ ID: policy.ID }] })).json.SecretID;
  }

  test("what may not be seen is left out; what may not be written is refused", async () => {
    for (const Name of ["web", "db"]) await put({ Kind: "service-defaults", Name });
    await put({ Kind: "mesh" });
    const token = await tokenWith('service "web" { policy = "write" intentions = "read" }');
    const asToken = (method: string, path: string, body?: unknown) => ask(method, path, body, token);
    const list = await asToken("GET", "/config/service-defaults");
    expect(list.json.map(({ Name }: { Name: string }) => Name)).toEqual(["web"]);
    expect(list.headers.get("x-consul-results-filtered-by-acls")).toBe("true");
    expect((await asToken("GET", "/config/service-defaults/db")).status).toBe(403);
    expect((await asToken("GET", "/config/mesh/mesh")).status).toBe(200);
    expect((await asToken("PUT", "/config", { Kind: "mesh" })).status).toBe(403);
    expect((await asToken("PUT", "/config", { Kind: "service-resolver", Name: "web" })).status).toBe(200);
    const redirect = { Kind: "service-resolver", Name: "web", Redirect: { Service: "db" } };
    expect((await asToken("PUT", "/config", redirect)).status).toBe(403);
    expect((await asToken("DELETE", "/config/service-defaults/db")).status).toBe(403);
    expect((await asToken("GET", "/discovery-chain/db")).status).toBe(403);
    expect((await asToken("GET", "/exported-services")).status).toBe(403);
  });
});
