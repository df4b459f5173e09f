/** Policies, roles and tokens of the native API. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge, TOKEN } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await edge.api("/kv/a/1", { method: "PUT", body: "x" });
});
afterAll(() => edge[Symbol.asyncDispose]());

const post = (path: string, body: unknown, more = {}) => edge.api(path, { method: "POST", body, ...more });
const drop = (path: string) => edge.api(path, { method: "DELETE" });
const reading = { verbs: ["read"], kind: "kv", match: "prefix", name: "a/" };

test("a policy, a role with it, a token with that: each gives and takes rights at once (P4)", async () => {
  const policy = await edge.put("/policies/reads-a", { description: "d", statements: [reading] });
  expect(policy).toMatchObject({
    status: 200,
    json: { name: "reads-a", description: "d", dialect: null, statements: [{ effect: "allow", ...reading }] },
  });
  const role = await edge.put("/roles/app", { policies: ["reads-a"] });
  expect(role).toMatchObject({ status: 200, json: { name: "app", policies: ["reads-a"], statements: [] } });
  const { secret, accessor } = (await post("/tokens", { roles: ["app"], description: "for the app" })).json;
  expect(secret).toMatch(/^hf_[\w-]{32}$/);
  const status = async (method = "GET") =>
    (await edge.api("/kv/a/1", { method, body: method === "PUT" ? "y" : undefined, token: secret })).status;
  expect([await status(), await status("PUT")]).toEqual([200, 403]);
  await edge.put("/roles/app", { policies: ["reads-a"], statements: [{ ...reading, verbs: ["create", "update"] }] });
  expect([await status(), await status("PUT")]).toEqual([200, 200]);
  await edge.put("/policies/reads-a", { statements: [] });
  expect([await status(), await status("PUT")]).toEqual([403, 200]);
  await drop("/roles/app");
  expect([await status(), await status("PUT")]).toEqual([403, 403]);
  await edge.put(`/tokens/${accessor}`, { statements: [reading] });
  expect(await status()).toBe(200);
  expect((await drop(`/tokens/${accessor}`)).json).toEqual({ existed: true });
  expect([await status(), (await drop(`/tokens/${accessor}`)).status]).toEqual([401, 404]);
});

test("what is read can be written again, whatever the names are", async () => {
  const bytes = Buffer.from([0xff, 0x00, 0x61]).toString("base64");
  const statements = [
    { verbs: ["read", "watch"], kind: "service" },
    { effect: "deny", verbs: ["update"], kind: "kv", match: "exact", name: "schlüssel/😀" },
    { effect: "stop", verbs: ["update"], kind: "kv", match: "range", name: "a", end: "b" },
    { verbs: ["delete"], kind: "kv", match: "range", nameBase64: bytes },
    { verbs: ["operate"], kind: "settings" },
  ];
  const written = (await edge.put("/policies/all-forms", { statements })).json;
  const {
    id: _id,
    createRevision: _c,
    modRevision,
    name: _n,
    dialect: _d,
    ...body
  } = (await edge.api("/policies/all-forms")).json;
  expect(body.statements).toEqual(written.statements);
  expect(body.statements).toMatchObject(statements);
  const again = (await edge.put(`/policies/all-forms?cas=${modRevision}`, body)).json;
  expect(again.statements).toEqual(body.statements);
  expect((await edge.put(`/policies/all-forms?cas=${modRevision}`, body)).json.code).toBe("conflict");
});

test.each([
  [{ verbs: [], kind: "kv" }, "statements[0].verbs"],
  [{ verbs: ["fly"], kind: "kv" }, "statements[0].verbs[0]"],
  [{ verbs: ["read"], kind: "moon" }, "statements[0].kind"],
  [{ verbs: ["read"], kind: "kv", match: "exact" }, "statements[0].name"],
  [{ verbs: ["read"], kind: "kv", match: "range", name: "b", end: "a" }, "statements[0].end"],
  [{ verbs: ["read"], kind: "kv", match: "prefix", name: "b", end: "c" }, "statements[0].end"],
  [{ verbs: ["read"], kind: "kv", nameBase64: "?" }, "statements[0].nameBase64"],
  [{ verbs: ["read", "read"], kind: "kv" }, "statements[0].verbs"],
  [{ verbs: ["read"], kind: "kv", more: 1 }, "statements[0].more"],
])("a statement that is none is refused: %j", async (statement, field) => {
  const { json } = await edge.put("/policies/wrong", { statements: [statement] });
  expect(json).toMatchObject({ code: "invalid_argument", field });
});

test("links to what is not there, and names that are taken or built in, are refused", async () => {
  expect((await post("/tokens", { policies: ["none"] })).json.code).toBe("not_found");
  expect((await edge.put("/roles/r", { policies: ["none"] })).json.code).toBe("not_found");
  expect((await edge.put("/policies/global-management", { statements: [] })).json.code).toBe("unsupported");
  expect((await drop("/policies/global-management")).json.code).toBe("unsupported");
  expect((await drop("/policies/none")).json.code).toBe("not_found");
  expect((await edge.put("/policies/new?cas=5", { statements: [] })).json.code).toBe("conflict");
  expect((await drop("/tokens/anonymous")).json.code).toBe("invalid_argument");
  expect((await edge.api("/tokens/no-uuid")).json.code).toBe("invalid_argument");
});

test("a secret is in one answer only (P5); the repetition of that call tells it again", async () => {
  const headers = { "idempotency-key": "make-a-token" };
  const made = (await post("/tokens", { policies: ["global-management"] }, { headers })).json;
  expect((await post("/tokens", { policies: ["global-management"] }, { headers })).json).toEqual(made);
  expect((await edge.api("/status", { token: made.secret })).status).toBe(200);
  for (const path of ["/tokens", `/tokens/${made.accessor}`, "/audit?limit=1000", "/snapshot"]) {
    const { text, status } = await edge.api(path);
    expect(status).toBe(200);
    expect(text).not.toContain(made.secret);
    if (path.startsWith("/tokens")) expect(text).not.toMatch(/sealed|hash/i);
  }
  const self = await edge.api("/tokens/self", { token: made.secret });
  expect(self.json).toMatchObject({ principal: `token:${made.accessor}`, token: { policies: ["global-management"] } });
  expect((await edge.api("/tokens/self")).json).toEqual({ principal: "root", token: null });
  expect((await edge.api("/tokens/self", { token: null })).json).toMatchObject({ principal: "anonymous" });
  expect((await edge.api("/tokens/self", { token: `${made.secret}x` })).status).toBe(401);
  const { entries } = (await edge.api("/audit?limit=1000")).json;
  expect(entries.at(-1)).toMatchObject({ command: "token.create", principal: "root" });
});

test("a token ends by itself", async () => {
  const { secret, expiresAt } = (await post("/tokens", { statements: [reading], ttl: 1 })).json;
  expect((await edge.api("/kv/a/1", { token: secret })).status).toBe(200);
  expect(Date.parse(expiresAt)).toBeGreaterThan(Date.now() - 1000);
  await edge.until("/tokens", async () => (await edge.api("/kv/a/1", { token: secret })).status === 401);
  expect((await edge.api("/kv/a/1", { token: secret })).status).toBe(401);
});

test("rights are a namespace's own; what is above them is for the root token", async () => {
  const all = { policies: ["global-management"] };
  const { secret } = (await post("/tokens", all)).json;
  expect((await edge.api("/tokens", { token: secret })).status).toBe(200);
  expect((await edge.api("/tokens", { token: secret }, "other")).status).toBe(401);
  expect((await edge.ask("/api/v1/namespaces", { token: secret })).status).toBe(403);
  expect((await edge.ask("/api/v1/namespaces", { token: TOKEN })).status).toBe(200);
});

test("who may operate may not give rights", async () => {
  const { secret: token } = (
    await post("/tokens", {
      statements: ["settings", "snapshot"].map((kind) => ({ verbs: ["operate", "backup"], kind })),
    })
  ).json;
  const patch = (body: object) => edge.api("/settings", { method: "PATCH", body, token });
  expect((await patch({ history: { revisions: 100_000 } })).status).toBe(200);
  expect((await patch({ policy: { default: "allow" } })).json).toMatchObject({
    code: "permission_denied",
    kind: "acl",
  });
  expect((await edge.api("/snapshot", { token })).status).toBe(200);
  expect((await edge.api("/restore", { method: "POST", body: "x", token })).json).toMatchObject({ kind: "acl" });
});

test("every operation says in the document what it needs", async () => {
  const { paths } = (await edge.ask("/api/openapi.json", { token: null })).json;
  const at = (path: string) => paths[`/api/v1/namespaces/{namespace}${path}`];
  expect(at("/policies/{name}").put.description).toBe("Needs: create on acl; update on acl.");
  expect(at("/services/{service}").get.description).toBe("Needs: read on service {service}.");
  expect(at("/tokens").post.operationId).toBe("createToken");
});

test("a certificate authority that is made because somebody asked is nobody's doing", async () => {
  await edge.ask("/v1/connect/ca/roots", { token: null });
  const { entries } = (await edge.api("/audit?limit=1000")).json;
  const made = entries.filter(({ command }: { command: string }) => command === "authority.put");
  expect(made).toMatchObject([{ principal: "holdfast:authority" }]);
});

test("a user: written, read, listed, replaced and deleted, and nothing tells its password", async () => {
  await edge.put("/policies/for-users", { statements: [reading] });
  await edge.put("/roles/for-users", {});
  const grants = { policies: ["for-users"], roles: ["for-users"], statements: [reading] };
  const made = await edge.put("/users/ann", { ...grants, password: "first secret" });
  const { status, json } = made;
  expect(status).toBe(200);
  expect(json).toMatchObject({ name: "ann", hasPassword: true, ...grants });
  expect(Object.keys(json).toSorted()).toEqual(
    ["id", "name", "hasPassword", "policies", "roles", "statements", "createRevision", "modRevision"].toSorted(),
  );
  expect((await edge.api("/users/ann")).json).toEqual(json);
  const { statements: _statements, ...summary } = json;
  expect((await edge.api("/users")).json).toEqual({ users: [summary], after: null });

  const refused = async (body: unknown, query = "") => (await edge.put(`/users/ann${query}`, body)).status;
  expect(await refused({ roles: ["none"] })).toBe(404);
  expect(await refused({ password: "" })).toBe(400);
  expect(await refused({ passwd: "x" })).toBe(400);
  expect(await refused({}, "?cas=1")).toBe(409);
  expect((await edge.api("/users/ann")).json).toEqual(json);

  const kept = (await edge.put(`/users/ann?cas=${json.modRevision}`, { roles: [] })).json;
  expect(kept).toMatchObject({ id: json.id, hasPassword: true, policies: [], roles: [], statements: [] });
  expect((await edge.put("/users/ann", { password: null })).json).toMatchObject({ hasPassword: false });
  expect((await edge.put("/users/bob", {})).json).toMatchObject({ name: "bob", hasPassword: false });
  const audit = (await edge.api("/audit?limit=1000")).text;
  expect(audit).toContain("user.put");
  expect(audit).not.toContain("first secret");
  for (const name of ["ann", "bob"]) expect((await drop(`/users/${name}`)).json).toEqual({ existed: true });
  expect([(await drop("/users/ann")).status, (await edge.api("/users/ann")).status]).toEqual([404, 404]);
});

test("a user logs in with its password, by the rights of now; another password ends that, other rights do not (P4)", async () => {
  const ask = (path: string, body: unknown, token: string | null = TOKEN) =>
    edge.ask(`/v3${path}`, { method: "POST", body, token });
  const logIn = async (password: string) =>
    (await ask("/auth/authenticate", { name: "cy", password }, null)).json.token;
  const get = async (token: string) => (await edge.api("/kv/a/1", { token })).status;
  await edge.put("/users/root", { password: "r", policies: ["global-management"] });
  expect((await ask("/auth/enable", {})).status).toBe(200);
  try {
    await edge.put("/users/cy", { password: "one", statements: [reading] });
    const token = await logIn("one");
    expect(await get(token)).toBe(200);
    await edge.put("/users/cy", {});
    expect(await get(token)).toBe(403);
    await edge.put("/users/cy", { statements: [reading] });
    expect(await get(token)).toBe(200);
    await edge.put("/users/cy", { password: "two", statements: [reading] });
    expect(await get(token)).toBe(401);
    expect([await logIn("one"), await get(await logIn("two"))]).toEqual([undefined, 200]);
    // Who administers the logins goes on to.
    expect((await edge.put("/users/root", {})).status).toBe(501);
    expect((await drop("/users/root")).status).toBe(501);
  } finally {
    await ask("/auth/disable", {});
  }
});
