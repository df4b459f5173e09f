/** `/v1/acl` through a real server: what clients send, what they get back, and what the rights then are. */
import Consul from "consul";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked, Reply } from "../../../../edge.ts";
import { Edge, TOKEN } from "../../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const UUID = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ANONYMOUS = "00000000-0000-0000-0000-000000000002";
const MANAGEMENT = "00000000-0000-0000-0000-000000000001";

const ask = (path: string, asked: Asked = {}): Promise<Reply> => edge.ask(`/v1${path}`, asked);
const put = (path: string, body: unknown, asked: Asked = {}) => ask(path, { method: "PUT", body, ...asked });
const post = (path: string, body: unknown, asked: Asked = {}) => ask(path, { method: "POST", body, ...asked });
const remove = (path: string, asked: Asked = {}) => ask(path, { method: "DELETE", ...asked });
const as = (token: string | null): Asked => ({ token });

let names = 0;
const unique = (what: string): string => `${what}-${++names}`;
const policy = async (rules: string): Promise<string> => {
  const { json } = await put("/acl/policy", { Name: unique("p"), Rules: rules });
  return json.Name;
};
const tokenWith = async (rules: string, more: object = {}): Promise<{ AccessorID: string; SecretID: string }> => {
  const { json } = await put("/acl/token", { Policies: [{ Name: await policy(rules) }], ...more });
  return json;
};
/** Asks what a token may do, `key:write:a` a question. */
const may = async (token: string | null, ...questions: string[]): Promise<boolean[]> => {
  const body = questions.map((question) => {
    const [Resource, Access, Segment = ""] = question.split(":");
    return { Resource, Access, Segment };
  });
  const { json } = await post("/internal/acl/authorize", body, as(token));
  return (json as { Allow: boolean }[]).map(({ Allow }) => Allow);
};

describe("the first token", () => {
  test("is given once, to the holder of the root token, as npm's client asks for it", async () => {
    expect(await put("/acl/bootstrap", undefined, as(null))).toMatchObject({ status: 403 });
    const { hostname: host, port } = new URL(edge.address);
    const consul = new Consul({ host, port: Number(port), defaults: { token: TOKEN } });
    const token = (await consul.acl.bootstrap()) as Record<string, unknown>;
    expect(token).toMatchObject({ Policies: [{ ID: MANAGEMENT, Name: "global-management" }], Local: false });
    expect(token["ID"]).toBe(token["SecretID"]);
    expect(await may(token["SecretID"] as string, "acl:write", "operator:write", "key:write:x")).toEqual([
      true,
      true,
      true,
    ]);
    const again = await put("/acl/bootstrap", undefined);
    expect(again.status).toBe(403);
    expect(again.text).toMatch(/^Permission denied: ACL bootstrap no longer allowed \(reset index: \d+\)$/);
    expect(await consul.acl.replication()).toMatchObject({ Enabled: false, ReplicatedIndex: 0 });
  });

  test("is not needed in a namespace of its own", async () => {
    const secret = "5a3f0f3e-7d1c-4a57-9e0c-0f4a1f9d7c11";
    const asked = { method: "PUT", body: { BootstrapSecret: secret } };
    const given = await edge.ask("/ns/team/v1/acl/bootstrap", asked);
    expect(given.json).toMatchObject({ SecretID: secret });
    // Here nobody knows it.
    expect(await ask("/acl/policies", as(secret))).toMatchObject({ status: 403, text: "ACL not found" });
  });
});

describe("policies", () => {
  test("are created, read, renamed, listed and deleted", async () => {
    const Rules = 'key_prefix "a/" { policy = "read" }';
    const created = await put("/acl/policy", { Name: "crud", Description: "d", Rules, Datacenters: ["dc1"] });
    expect(created.json).toMatchObject({ Name: "crud", Description: "d", Rules, Datacenters: ["dc1"] });
    const { ID } = created.json;
    expect(ID).toMatch(UUID);
    const read = await ask(`/acl/policy/${ID}`);
    expect(read.json).toEqual(created.json);
    expect(Number(read.headers.get("x-consul-index"))).toBeGreaterThan(0);
    expect((await ask("/acl/policy/name/crud")).json).toEqual(created.json);
    const renamed = await put(`/acl/policy/${ID}`, { ...created.json, Name: "crud2" });
    expect(renamed.json.ModifyIndex).toBeGreaterThan(created.json.ModifyIndex);
    const stub = (await ask("/acl/policies")).json.find((one: { ID: string }) => one.ID === ID);
    expect(stub).toMatchObject({ Name: "crud2" });
    expect(stub).not.toHaveProperty("Rules");
    expect(await remove(`/acl/policy/${ID}`)).toMatchObject({ status: 200, text: "true" });
    expect(await ask(`/acl/policy/${ID}`)).toMatchObject({
      status: 404,
      text: "Requested policy does not exist: ACL not found",
    });
    expect(await remove(`/acl/policy/${ID}`)).toMatchObject({ status: 404, text: "Cannot find policy to delete" });
  });

  test.each([
    ["/acl/policy", { ID: MANAGEMENT, Name: "x" }, 400, "Cannot specify the ID when creating a new policy"],
    ["/acl/policy", { Nom: "x" }, 400, 'Policy decoding failed: json: unknown field "Nom"'],
    [
      "/acl/policy",
      { Name: "x", Namespace: "y" },
      400,
      'Policy decoding failed: json: unknown field "Namespace" - Namespaces are a Consul Enterprise feature',
    ],
    ["/acl/policy", {}, 500, "Invalid Policy: no Name is set"],
    [
      "/acl/policy",
      { Name: "a b" },
      500,
      "Invalid Policy: invalid Name. Only alphanumeric characters, a single '/', '-' and '_' are allowed",
    ],
    [
      "/acl/policy",
      { Name: "builtin/x" },
      500,
      "Invalid Policy: invalid Name. Names cannot be prefixed with '/' or 'builtin/'",
    ],
    [
      "/acl/policy",
      { Name: "global-management" },
      500,
      'Invalid Policy: A Policy with Name "global-management" already exists',
    ],
    ["/acl/policy", { Name: "x", Rules: 'acl = "no"' }, 500, 'Invalid acl policy: "no"'],
    ["/acl/policy/nothing", { ID: "another", Name: "x" }, 400, "Policy ID in URL and payload do not match"],
    ["/acl/policy/nothing", { Name: "x" }, 500, "Policy ID invalid UUID"],
    [
      `/acl/policy/${MANAGEMENT}`,
      { Name: "global-management", Rules: "" },
      500,
      "Changing the Rules for the builtin global-management policy is not permitted",
    ],
  ])("PUT %s %j is refused", async (path, body, status, text) => {
    expect(await put(path, body)).toMatchObject({ status, text });
  });

  test("that are built in can be read, and not deleted", async () => {
    const { json } = await ask("/acl/policy/name/builtin%2Fglobal-read-only");
    expect(json).toMatchObject({ ID: ANONYMOUS });
    expect(json.Rules).toContain('key_prefix "" {\n\tpolicy = "read"\n}');
    expect(await remove(`/acl/policy/${MANAGEMENT}`)).toMatchObject({
      status: 500,
      text: "Delete operation not permitted on the builtin global-management policy",
    });
  });

  test("of another datacenter mean nothing here", async () => {
    const { json } = await put("/acl/policy", { Name: unique("p"), Rules: 'acl = "read"', Datacenters: ["dc9"] });
    const token = (await put("/acl/token", { Policies: [{ ID: json.ID }] })).json;
    expect(await may(token.SecretID, "acl:read")).toEqual([false]);
  });

  test("can be waited for", async () => {
    const before = await ask("/acl/policies");
    const index = before.headers.get("x-consul-index");
    const waiting = ask(`/acl/policies?index=${index}&wait=20s`);
    const name = await policy("");
    const after = await waiting;
    expect(Number(after.headers.get("x-consul-index"))).toBeGreaterThan(Number(index));
    expect(after.json.some(({ Name }: { Name: string }) => Name === name)).toBe(true);
  });
});

describe("tokens", () => {
  test("are created, read, updated, cloned, listed and deleted", async () => {
    const name = await policy('key_prefix "" { policy = "read" }');
    const created = (await put("/acl/token", { Description: "one", Policies: [{ Name: name }], Local: true })).json;
    expect(created).toMatchObject({ Description: "one", Local: true, Policies: [{ Name: name }] });
    expect([created.AccessorID, created.SecretID].every((id) => UUID.test(id))).toBe(true);
    expect((await ask(`/acl/token/${created.AccessorID}`)).json).toEqual(created);
    expect((await ask("/acl/token/self", as(created.SecretID))).json).toEqual(created);
    const body = { ...created, Description: "two", Policies: [] };
    const updated = (await put(`/acl/token/${created.AccessorID}`, body)).json;
    expect(updated).toMatchObject({ Description: "two", SecretID: created.SecretID });
    expect(updated).not.toHaveProperty("Policies");
    expect(await may(created.SecretID, "key:read:a")).toEqual([false]);
    const clone = (await put(`/acl/token/${created.AccessorID}/clone`, { Description: "copy" })).json;
    expect(clone).toMatchObject({ Description: "copy", Local: true });
    expect(clone.SecretID).not.toBe(created.SecretID);
    const listed = (await ask("/acl/tokens")).json.map(({ AccessorID }: { AccessorID: string }) => AccessorID);
    expect(listed).toEqual(expect.arrayContaining([created.AccessorID, clone.AccessorID]));
    expect(await remove(`/acl/token/${created.AccessorID}`)).toMatchObject({ status: 200, text: "true" });
    expect(await ask("/acl/token/self", as(created.SecretID))).toMatchObject({ status: 403, text: "ACL not found" });
    expect(await remove(`/acl/token/${created.AccessorID}`)).toMatchObject({
      status: 404,
      text: "Cannot find token to delete",
    });
    expect(await ask(`/acl/token/${created.AccessorID}`)).toMatchObject({
      status: 403,
      text: "token does not exist: ACL not found",
    });
  });

  test("may be chosen, and are never given twice", async () => {
    const AccessorID = crypto.randomUUID();
    const SecretID = crypto.randomUUID();
    expect((await put("/acl/token", { AccessorID, SecretID })).json).toMatchObject({ AccessorID, SecretID });
    const refused = async (body: object) => (await put("/acl/token", body)).text;
    expect(await refused({ AccessorID })).toBe("Invalid Token: AccessorID is already in use");
    expect(await refused({ SecretID })).toBe("Invalid Token: SecretID is already in use");
    expect(await refused({ AccessorID: "x" })).toBe("Invalid Token: AccessorID - not a valid UUID");
    expect(await refused({ SecretID: ANONYMOUS })).toMatch(/^Invalid Token: SecretID - UUIDs with the prefix/);
    expect(await refused({ Policies: [{ Name: "none" }] })).toBe('No such ACL policy with name "none"');
    expect(await refused({ Roles: [{ ID: "none" }] })).toBe('No such ACL role with ID "none"');
    expect(await refused({ ExpirationTTL: "59s" })).toBe(
      "ExpirationTime cannot be less than 1m0s in the future (was 59s)",
    );
    expect(await refused({ ExpirationTTL: "25h" })).toBe(
      "ExpirationTime cannot be more than 24h0m0s in the future (was 25h0m0s)",
    );
  });

  test("keep what cannot be changed", async () => {
    const { AccessorID } = await tokenWith("", { ExpirationTTL: "1h" });
    const { json } = await ask(`/acl/token/${AccessorID}`);
    expect(Date.parse(json.ExpirationTime) - Date.parse(json.CreateTime)).toBeCloseTo(3_600_000, -4);
    const change = async (body: object) => (await put(`/acl/token/${AccessorID}`, { ...json, ...body })).text;
    expect(await change({ SecretID: crypto.randomUUID() })).toBe("Changing a token's SecretID is not permitted");
    expect(await change({ Local: true })).toBe(`Cannot toggle local mode of ${AccessorID}`);
    expect(await change({ ExpirationTTL: "2h" })).toBe(`Cannot change expiration time of ${AccessorID}`);
    expect(await change({ AuthMethod: "x" })).toBe(`Cannot change AuthMethod of ${AccessorID}`);
    expect(await change({ AccessorID: ANONYMOUS })).toBe("Token Accessor ID in URL and payload do not match");
    expect((await put(`/acl/token/${AccessorID}`, json)).json).toMatchObject({ ExpirationTime: json.ExpirationTime });
  });

  test("show their secret to who may write tokens, and to nobody else", async () => {
    const { AccessorID, SecretID } = await tokenWith("");
    const reader = await tokenWith('acl = "read"');
    expect((await ask(`/acl/token/${AccessorID}`, as(reader.SecretID))).json.SecretID).toBe("<hidden>");
    const all = await ask("/acl/tokens", as(reader.SecretID));
    expect(all.text).not.toContain(SecretID);
    expect((await ask(`/acl/token/${AccessorID}`)).json.SecretID).toBe(SecretID);
    const none = await tokenWith("");
    expect(await ask(`/acl/token/${AccessorID}`, as(none.SecretID))).toMatchObject({
      status: 403,
      text: `Permission denied: token with AccessorID '${none.AccessorID}' lacks permission 'acl:read'`,
    });
    // Nor is it in what the namespace keeps: snapshot and audit log.
    const snapshot = await edge.api("/snapshot");
    expect(snapshot.status).toBe(200);
    const kept = snapshot.text.replaceAll(/"([A-Za-z0-9+/=]{4,})"/g, (_, base64: string) =>
      Buffer.from(base64, "base64").toString(),
    );
    expect(kept).toContain(AccessorID);
    expect(kept).not.toContain(SecretID);
    expect((await edge.api("/audit?limit=1000")).text).not.toContain(SecretID);
  });

  test("can be listed by what they link to", async () => {
    const { json: role } = await put("/acl/role", { Name: unique("r") });
    const name = await policy("");
    const { json: linked } = await ask(`/acl/policy/name/${name}`);
    const body = {
      Policies: [{ Name: name }],
      Roles: [{ Name: role.Name }],
      ServiceIdentities: [{ ServiceName: "listed" }],
    };
    const { json: token } = await put("/acl/token", body);
    for (const query of [`policy=${linked.ID}`, `role=${role.ID}`, "servicename=listed"]) {
      const { json } = await ask(`/acl/tokens?${query}`);
      expect(json.map(({ AccessorID }: { AccessorID: string }) => AccessorID)).toEqual([token.AccessorID]);
    }
    expect(await ask(`/acl/tokens?policy=${linked.ID}&role=${role.ID}`)).toMatchObject({ status: 500 });
  });

  test("do not delete themselves, nor the anonymous one", async () => {
    const { AccessorID, SecretID } = await tokenWith('acl = "write"');
    expect((await remove(`/acl/token/${AccessorID}`, as(SecretID))).text).toBe(
      "Deletion of the request's authorization token is not permitted",
    );
    expect((await remove(`/acl/token/${ANONYMOUS}`)).text).toBe(
      "Delete operation not permitted on the anonymous token",
    );
  });

  test("without one the anonymous token's rights hold, and a refusal says so", async () => {
    expect(await ask("/acl/policies", as(null))).toMatchObject({
      status: 403,
      text: "Permission denied: anonymous token lacks permission 'acl:read'. The anonymous token is used implicitly when a request does not specify a token.",
    });
    expect(await may(null, "key:read:public/a", "key:read:secret")).toEqual([false, false]);
    const name = await policy('key_prefix "public/" { policy = "read" }');
    const { json } = await put(`/acl/token/${ANONYMOUS}`, { Policies: [{ Name: name }] });
    expect(json).toMatchObject({ AccessorID: ANONYMOUS, SecretID: "anonymous" });
    expect(await may(null, "key:read:public/a", "key:read:secret")).toEqual([true, false]);
    expect(await may("anonymous", "key:read:public/a")).toEqual([true]);
    await put(`/acl/token/${ANONYMOUS}`, { Policies: [] });
    expect(await may(null, "key:read:public/a")).toEqual([false]);
  });

  test("are told from the root token, which shows as itself", async () => {
    expect((await ask("/acl/token/self")).json).toMatchObject({ SecretID: TOKEN, Policies: [{ ID: MANAGEMENT }] });
    const deep = await ask("/acl/token/self", { token: null, headers: { "x-consul-token": TOKEN } });
    expect(deep.status).toBe(200);
    expect((await ask(`/acl/token/self?token=${crypto.randomUUID()}`)).status).toBe(403);
  });
});

describe("rights", () => {
  test("follow a change of policy at once, and end with it", async () => {
    const name = await policy('key_prefix "a/" { policy = "write" } key_prefix "a/b/" { policy = "read" }');
    const { json } = await put("/acl/token", { Policies: [{ Name: name }] });
    const asked = [
      "key:write:a/1",
      "key:write:a/b/1",
      "key:read:a/b/1",
      "key:list:a/b/1",
      "key:write-prefix:a/",
      "key:write-prefix:a/c",
    ];
    expect(await may(json.SecretID, ...asked)).toEqual([true, false, true, false, false, true]);
    const { json: found } = await ask(`/acl/policy/name/${name}`);
    await put(`/acl/policy/${found.ID}`, { ...found, Rules: 'key_prefix "a/" { policy = "deny" }' });
    expect(await may(json.SecretID, "key:read:a/1")).toEqual([false]);
    await remove(`/acl/policy/${found.ID}`);
    expect((await ask(`/acl/token/${json.AccessorID}`)).json).not.toHaveProperty("Policies");
  });

  test("come from roles, identities and templates, too", async () => {
    const role = (await put("/acl/role", { Name: unique("r"), ServiceIdentities: [{ ServiceName: "web" }] })).json;
    const { json: token } = await put("/acl/token", {
      Roles: [{ Name: role.Name }],
      NodeIdentities: [
        { NodeName: "n1", Datacenter: "dc1" },
        { NodeName: "n9", Datacenter: "dc9" },
      ],
      TemplatedPolicies: [{ TemplateName: "builtin/dns" }],
    });
    const asked = [
      "service:write:web",
      "service:write:web-sidecar-proxy",
      "service:write:api",
      "node:write:n1",
      "node:write:n9",
      "query:read:q",
    ];
    expect(await may(token.SecretID, ...asked)).toEqual([true, true, false, true, false, true]);
    const { json } = await ask(`/acl/token/${token.AccessorID}?expanded`);
    expect(json.ExpandedRoles).toMatchObject([{ ID: role.ID }]);
    expect(json.ExpandedPolicies.map(({ Rules }: { Rules: string }) => Rules)).toHaveLength(3);
    expect(json).toMatchObject({ AgentACLDefaultPolicy: "deny" });
    expect((await ask("/acl/policies", as(token.SecretID))).headers.get("x-consul-default-acl-policy")).toBe("deny");
  });

  test("where no policy says anything are the namespace's default", async () => {
    const team = (path: string, asked: Asked) => edge.ask(`/ns/allowing/v1${path}`, asked);
    const token = (await team("/acl/token", { method: "PUT", body: {} })).json.SecretID;
    const setting = { policy: { default: "allow" } };
    const patched = await edge.api("/settings", { method: "PATCH", body: setting }, "allowing");
    expect(patched.json).toMatchObject(setting);
    for (const caller of [token, null]) {
      const reply = await team("/acl/policies", as(caller));
      expect(reply.status).toBe(200);
      expect(reply.headers.get("x-consul-default-acl-policy")).toBe("allow");
    }
    await edge.api("/settings", { method: "PATCH", body: { policy: { default: "deny" } } }, "allowing");
    expect((await team("/acl/policies", as(token))).status).toBe(403);
    const wrong = await edge.api("/settings", { method: "PATCH", body: { policy: { default: "maybe" } } }, "allowing");
    expect(wrong).toMatchObject({ status: 400, json: { field: "policy.default" } });
  });

  test("listing keys is a right of its own where the namespace says so, natively as well", async () => {
    const team = (path: string, asked: Asked = {}) => edge.ask(`/ns/listing${path}`, asked);
    await team("/v1/kv/app/a", { method: "PUT", body: "1" });
    const rules = 'key_prefix "app/" { policy = "read" } key_prefix "app/open/" { policy = "list" }';
    await team("/v1/acl/policy", { method: "PUT", body: { Name: "reader", Rules: rules } });
    const made = await team("/v1/acl/token", { method: "PUT", body: { Policies: [{ Name: "reader" }] } });
    const { SecretID, AccessorID } = made.json;
    const native = "/api/v1/namespaces/listing/kv/app%2F?prefix=true";
    const statuses = async (paths: string[]) =>
      Promise.all(paths.map(async (path) => (await edge.ask(path, as(SecretID))).status));
    const lists = ["/ns/listing/v1/kv/app/?recurse", "/ns/listing/v1/kv/app/?keys", native];
    expect(await statuses(lists)).toEqual([200, 200, 200]);
    expect(
      (await edge.api("/settings", { method: "PATCH", body: { policy: { keyList: true } } }, "listing")).json,
    ).toMatchObject({ policy: { default: "deny", keyList: true } });
    expect(await statuses(lists)).toEqual([403, 403, 403]);
    expect((await team("/v1/kv/app/?recurse", as(SecretID))).text).toBe(
      `Permission denied: token with AccessorID '${AccessorID}' lacks permission 'key:list' on "app/"`,
    );
    // One by one they are read as before, and so is what may be listed.
    expect((await team("/v1/kv/app/a?raw", as(SecretID))).text).toBe("1");
    await team("/v1/kv/app/open/b", { method: "PUT", body: "2" });
    expect((await team("/v1/kv/app/open/?keys", as(SecretID))).json).toEqual(["app/open/b"]);
    expect((await team("/v1/kv/app/?keys")).json).toEqual(["app/a", "app/open/b"]);
    const wrong = await edge.api("/settings", { method: "PATCH", body: { policy: { keyList: "yes" } } }, "listing");
    expect(wrong.status).toBe(400);
  });

  test.each([
    [{ ServiceIdentities: [{ ServiceName: "" }] }, "Service identity is missing the service name field on this token"],
    [
      { ServiceIdentities: [{ ServiceName: 'x" {' }] },
      `Service identity "x\\" {" has an invalid name. Only lowercase alphanumeric characters, '-' and '_' are allowed`,
    ],
    [
      { Local: true, ServiceIdentities: [{ ServiceName: "a", Datacenters: ["dc1"] }] },
      'Service identity "a" cannot specify a list of datacenters on a local token',
    ],
    [{ NodeIdentities: [{ NodeName: "a" }] }, "Node identity is missing the datacenter field on this token"],
    [{ TemplatedPolicies: [{ TemplateName: "x" }] }, 'no such ACL templated policy with Name "x"'],
    [
      {
        TemplatedPolicies: [
          { TemplateName: "builtin/api-gateway", TemplateVariables: { Name: 'a" {} acl = "write" #' } },
        ],
      },
      /has an invalid name/,
    ],
  ])("of %j are refused", async (body, text) => {
    const reply = await put("/acl/token", body);
    expect(reply.status).toBe(500);
    expect(reply.text).toEqual(typeof text === "string" ? text : expect.stringMatching(text));
  });

  test("cannot be asked about what does not exist, nor about everything at once", async () => {
    const wrong = (body: unknown) => post("/internal/acl/authorize", body);
    expect(await wrong([{ Resource: "x", Access: "read" }])).toMatchObject({
      status: 400,
      text: 'Invalid ACL resource requested: "x"',
    });
    expect(await wrong([{ Resource: "node", Access: "list" }])).toMatchObject({
      status: 400,
      text: "Invalid access level for node resource: list",
    });
    const many = Array.from({ length: 65 }, () => ({ Resource: "acl", Access: "read" }));
    expect(await wrong(many)).toMatchObject({
      status: 400,
      text: "Refusing to process more than 64 authorizations at once",
    });
    expect((await wrong([])).json).toEqual([]);
  });
});

describe("roles and templates", () => {
  test("roles are created, read, changed, listed and deleted", async () => {
    const name = await policy("");
    const Name = unique("r");
    const created = (await put("/acl/role", { Name, Description: "d", Policies: [{ Name: name }] })).json;
    expect((await ask(`/acl/role/${created.ID}`)).json).toEqual(created);
    expect((await ask(`/acl/role/name/${Name}`)).json).toEqual(created);
    expect((await ask(`/acl/roles?policy=${created.Policies[0].ID}`)).json).toEqual([created]);
    expect((await put("/acl/role", { Name })).text).toBe(`Invalid Role: A Role with Name "${Name}" already exists`);
    const changed = (await put(`/acl/role/${created.ID}`, { Name, Policies: [] })).json;
    expect(changed).not.toHaveProperty("Policies");
    expect((await put(`/acl/role/${crypto.randomUUID()}`, { Name: "x" })).text).toMatch(/^cannot find role /);
    expect(await remove(`/acl/role/${created.ID}`)).toMatchObject({ text: "true" });
    expect(await remove(`/acl/role/${created.ID}`)).toMatchObject({ status: 404, text: "Cannot find role to delete" });
    expect(await ask(`/acl/role/${created.ID}`)).toMatchObject({
      status: 404,
      text: "Requested role does not exist: ACL not found",
    });
  });

  test("templates are shown and tried out", async () => {
    expect(Object.keys((await ask("/acl/templated-policies")).json)).toHaveLength(6);
    const { json } = await ask("/acl/templated-policy/name/builtin%2Fservice");
    expect(json).toMatchObject({ TemplateName: "builtin/service", Template: expect.stringContaining("{{.Name}}") });
    const preview = await post("/acl/templated-policy/preview/builtin%2Fservice", { name: "web" });
    expect(preview.json.Rules).toContain('service "web-sidecar-proxy"');
    expect(await post("/acl/templated-policy/preview/builtin%2Fservice", { name: "" })).toMatchObject({ status: 400 });
    expect(await ask("/acl/templated-policy/name/none")).toMatchObject({ status: 400 });
  });
});

test("what a token did is in the audit log under its accessor", async () => {
  const { AccessorID, SecretID } = await tokenWith('acl = "write"');
  await put("/acl/role", { Name: unique("r") }, as(SecretID));
  const { entries } = (await edge.api("/audit?limit=1000")).json;
  expect(entries.at(-1)).toMatchObject({ principal: `token:${AccessorID}`, command: "role.put", dialect: "consul" });
});

test("in open mode there is no ACL system, in the words that clients look for", async () => {
  await using open = await Edge.start(["--no-agent", "--open"]);
  const reply = await open.ask("/v1/acl/policies", as(null));
  expect(reply).toMatchObject({ status: 401, text: "ACL support disabled" });
});
