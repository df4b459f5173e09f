/** Logins by JWT: what proves an identity and what does not, what it is granted, and how often an issuer is asked. */
import { createServer } from "node:http";
import type { Server } from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, exportSPKI, generateKeyPair, SignJWT } from "jose";
import type { JWTPayload } from "jose";
import { afterAll, afterEach, beforeAll, describe, expect, test, vi } from "vitest";
import type { BindingRule } from "../../../../../objects/policy/auth-methods.ts";
import type { Claims } from "../../../../../workers/dialects/consul/acl/binding.ts";
import { assertBinding, bindingsOf } from "../../../../../workers/dialects/consul/acl/binding.ts";
import { readJwtConfig } from "../../../../../workers/dialects/consul/acl/jwt-config.ts";
import { checkKeys, verifyLogin } from "../../../../../workers/dialects/consul/acl/jwt.ts";
import { Edge } from "../../../../edge.ts";

type Pair = Awaited<ReturnType<typeof generateKeyPair>>;
const NOW = 1_800_000_000;
const ENV = { HOLDFAST_EGRESS_ALLOW: "private" };

let rsa: Pair;
let ec: Pair;
let stranger: Pair;
let pem: { rsa: string; ec: string };
let issuer: { server: Server; url: string; asked: number; keys: object[] };

beforeAll(async () => {
  [rsa, ec, stranger] = await Promise.all([
    generateKeyPair("RS256", { extractable: true }),
    generateKeyPair("ES256", { extractable: true }),
    generateKeyPair("RS256", { extractable: true }),
  ]);
  pem = { rsa: await exportSPKI(rsa.publicKey), ec: await exportSPKI(ec.publicKey) };
  const server = createServer((request, response) => {
    if (request.url === "/moved") return response.writeHead(302, { location: "/keys" }).end();
    if (request.url === "/large") return response.end(`{"keys":[],"x":"${"x".repeat(70_000)}"}`);
    issuer.asked++;
    const found = request.url?.startsWith("/keys")
      ? { keys: issuer.keys }
      : { issuer: issuer.url, jwks_uri: `${issuer.url}/keys-of-it` };
    return response.end(JSON.stringify(found));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const keys = [{ ...(await exportJWK(rsa.publicKey)), kid: "r1", alg: "RS256" }];
  issuer = { server, url, asked: 0, keys };
});
afterAll(() => issuer.server.close());
afterEach(() => void vi.useRealTimers());

const signed = (claims: JWTPayload, pair = rsa, header: { alg?: string; kid?: string } = {}): Promise<string> =>
  new SignJWT({ exp: NOW + 60, ...claims }).setProtectedHeader({ alg: "RS256", ...header }).sign(pair.privateKey);
const config = (more: object = {}) => readJwtConfig({ JWTValidationPubKeys: [pem.rsa], ...more });
const login = (token: string, more: object = {}, now = NOW): Promise<Claims> =>
  verifyLogin(token, config(more), ENV, now * 1000);
const refusal = (message: string | RegExp) =>
  expect.objectContaining({ status: 500, message: expect.stringMatching(message) as string }) as Error;

describe("a token proves an identity", () => {
  test("by any of the keys, of any kind", async () => {
    const keys = {
      JWTValidationPubKeys: [await exportSPKI(stranger.publicKey), pem.ec, pem.rsa],
      ClaimMappings: { sub: "who" },
    };
    expect(await login(await signed({ sub: "a" }), keys)).toEqual({ value: { who: "a" }, list: {} });
    expect(await login(await signed({ sub: "b" }, ec, { alg: "ES256" }), keys)).toMatchObject({ value: { who: "b" } });
  });

  test("with the claims that are mapped, found by name or by pointer", async () => {
    const claims = { sub: "a", n: 7.9, ok: true, deep: { "x/y": { z: "w" } }, groups: ["g1", "", 2], one: "g3" };
    const mapped = await login(await signed(claims), {
      ClaimMappings: { sub: "who", n: "n", ok: "ok", "/deep/x~1y/z": "z", none: "none" },
      ListClaimMappings: { groups: "groups", one: "one", none: "none" },
    });
    expect(mapped.value).toEqual({ who: "a", n: "7", ok: "true", z: "w", none: "" });
    expect(mapped.list).toEqual({ groups: ["g1", "2"], one: ["g3"], none: [] });
    await expect(login(await signed({ o: {} }), { ClaimMappings: { o: "o" } })).rejects.toThrow(
      refusal("error converting claim 'o'"),
    );
  });

  test.each([
    ["", "missing jwt"],
    ["a.b", "error verifying token"],
    ["x".repeat(20_000), "the token is too long"],
  ])("not as %.10s", async (token, message) => {
    await expect(login(token)).rejects.toThrow(refusal(message));
  });

  test("not when somebody else signed it, or the signature was cut off", async () => {
    await expect(login(await signed({}, stranger))).rejects.toThrow(refusal("no known key"));
    const [header, payload] = (await signed({})).split(".");
    await expect(login(`${header}.${payload}.`)).rejects.toThrow(refusal("error verifying token"));
    const none = `${btoa('{"alg":"none"}').replaceAll("=", "")}.${payload}.`;
    await expect(login(none)).rejects.toThrow(refusal("error verifying token"));
  });

  test("not when the public key was used as a shared secret", async () => {
    const secret = new TextEncoder().encode(pem.rsa);
    const forged = await new SignJWT({ exp: NOW + 60 }).setProtectedHeader({ alg: "HS256" }).sign(secret);
    await expect(login(forged)).rejects.toThrow(refusal("error verifying token"));
  });

  test("not by an algorithm that the method does not name", async () => {
    await expect(login(await signed({}), { JWTSupportedAlgs: ["ES256"] })).rejects.toThrow(
      refusal("error verifying token"),
    );
    await login(await signed({}), { JWTSupportedAlgs: ["RS256"] });
  });

  test("not from another issuer, nor for somebody else", async () => {
    await expect(login(await signed({ iss: "b" }), { BoundIssuer: "a" })).rejects.toThrow(refusal("iss"));
    await expect(login(await signed({}), { BoundIssuer: "a" })).rejects.toThrow(refusal("iss"));
    await login(await signed({ iss: "a" }), { BoundIssuer: "a" });
    await expect(login(await signed({ aud: "x" }))).rejects.toThrow(refusal("no audiences are bound"));
    await expect(login(await signed({ aud: ["x"] }), { BoundAudiences: ["y"] })).rejects.toThrow(
      refusal("does not match any bound"),
    );
    await expect(login(await signed({}), { BoundAudiences: ["y"] })).rejects.toThrow(
      refusal("does not match any bound"),
    );
    await login(await signed({ aud: ["x", "y"] }), { BoundAudiences: ["y"] });
  });

  test.each<[string, JWTPayload, object, string | null]>([
    ["no time at all", { exp: 0 }, {}, "no issue time, notbefore, or expiration time"],
    ["expired within the skew", { exp: NOW - 59 }, {}, null],
    ["expired", { exp: NOW - 61 }, {}, "expired"],
    ["expired, without skew", { exp: NOW - 1 }, { ClockSkewLeeway: -1 }, "expired"],
    ["not yet valid", { nbf: NOW + 61 }, {}, "not valid yet"],
    ["from the future", { iat: NOW + 61, nbf: NOW }, {}, "in the future"],
    ["without an end, lately issued", { exp: 0, iat: NOW - 200 }, {}, null],
    ["without an end, long ago issued", { exp: 0, iat: NOW - 211 }, {}, "expired"],
    ["without an end, with a leeway of its own", { exp: 0, iat: NOW - 300 }, { ExpirationLeeway: "10m" }, null],
    ["without a begin, ending much later", { exp: NOW + 3600 }, {}, "not valid yet"],
  ])("%s", async (_what, claims, more, message) => {
    const attempt = signed(claims).then((token) => login(token, more));
    if (message === null) await attempt;
    else await expect(attempt).rejects.toThrow(refusal(message));
  });
});

describe("an issuer's key set", () => {
  const withJwks = (path = "/keys") => readJwtConfig({ JWKSURL: issuer.url + path });
  const attempt = async (token: string, path?: string) => verifyLogin(token, withJwks(path), ENV, NOW * 1000);

  test("is fetched once for many logins, and however many unknown keys are named", async () => {
    const path = "/keys?flood";
    issuer.asked = 0;
    await attempt(await signed({}, rsa, { kid: "r1" }), path);
    await attempt(await signed({}, rsa, { kid: "r1" }), path);
    for (let i = 0; i < 20; i++) {
      const token = await signed({}, stranger, { kid: `unknown-${i}` });
      await expect(attempt(token, path)).rejects.toThrow(refusal("error verifying token"));
    }
    expect(issuer.asked).toBe(1);
  });

  test("is fetched anew for a new key after half a minute", async () => {
    const path = "/keys?rotated";
    issuer.asked = 0;
    await attempt(await signed({}, rsa, { kid: "r1" }), path);
    const before = issuer.keys;
    issuer.keys = [...before, { ...(await exportJWK(ec.publicKey)), kid: "e1", alg: "ES256" }];
    const token = await signed({}, ec, { alg: "ES256", kid: "e1" });
    await expect(attempt(token, path)).rejects.toThrow(refusal("error verifying token"));
    vi.useFakeTimers({ toFake: ["Date"], now: Date.now() + 31_000 });
    await attempt(token, path);
    expect(issuer.asked).toBe(2);
    issuer.keys = before;
  });

  test("is found by discovery, from the issuer that was asked for", async () => {
    const discovered = readJwtConfig({ OIDCDiscoveryURL: issuer.url });
    await verifyLogin(await signed({ iss: issuer.url }), discovered, ENV, NOW * 1000);
    await expect(verifyLogin(await signed({ iss: "b" }), discovered, ENV, NOW * 1000)).rejects.toThrow(refusal("iss"));
    const other = readJwtConfig({ OIDCDiscoveryURL: `${issuer.url}/` });
    await expect(checkKeys(other, ENV)).rejects.toThrow(refusal("issuer did not match"));
  });

  test("is not fetched from where nothing may be fetched, nor through a redirect, nor when it is too large", async () => {
    await expect(checkKeys(withJwks(), {})).rejects.toThrow(refusal("error checking JWKSURL: .*loopback"));
    const metadata = readJwtConfig({ JWKSURL: "http://169.254.169.254/keys" });
    await expect(checkKeys(metadata, ENV)).rejects.toThrow(refusal("error checking JWKSURL"));
    await expect(checkKeys(withJwks("/moved"), ENV)).rejects.toThrow(refusal("status 302"));
    await expect(checkKeys(withJwks("/large"), ENV)).rejects.toThrow(refusal("more than 65536 bytes"));
    await checkKeys(withJwks(), ENV);
  });
});

test.each([
  [{}, "exactly one of"],
  [{ JWKSURL: "http://a", JWTValidationPubKeys: ["x"] }, "exactly one of"],
  [{ JWTValidationPubKeys: ["x"], JWKSCACert: "y" }, "'JWKSCACert' should not be set"],
  [{ JWTValidationPubKeys: ["x"], JWTSupportedAlgs: ["HS256"] }, "Invalid supported algorithm: HS256"],
  [
    { JWTValidationPubKeys: ["x"], ClaimMappings: { a: "c", b: "c" } },
    'ClaimMappings contains multiple mappings for key "c"',
  ],
  [{ JWTValidationPubKeys: ["x"], Nonsense: 1 }, 'error decoding config: json: unknown field "Nonsense"'],
])("the settings %j are refused", (given, message) => {
  expect(() => readJwtConfig(given)).toThrow(refusal(`^Invalid Auth Method: ${message}`));
});

test("a key that is none is refused", async () => {
  const broken = readJwtConfig({ JWTValidationPubKeys: ["nothing"] });
  await expect(checkKeys(broken, ENV)).rejects.toThrow(refusal(String.raw`JWTValidationPubKeys\[0\]`));
});

describe("binding rules", () => {
  const rule = (type: string, name: string, selector = "", variable?: string): BindingRule => ({
    id: "id",
    method: "m",
    description: "",
    selector,
    bind: { type, name, variables: variable === undefined ? {} : { name: variable } },
    extra: {},
  });
  const claims: Claims = { value: { team: "Red", empty: "" }, list: { groups: ["a", "b"] } };

  test("grant what their template names, in lower case, to those they select", () => {
    const rules = [
      rule("role", "team-${value.team}", 'value.team == Red and "b" in list.groups'),
      rule("policy", "none", "value.team == Blue"),
      rule("service", "${ value.team }-web"),
      rule("node", "n"),
      rule("templated-policy", "builtin/service", "", "${value.team}"),
      rule("role", "never", "value.team =="),
    ];
    expect(bindingsOf(rules, claims)).toEqual({
      roles: ["team-red"],
      policies: [],
      services: ["red-web"],
      nodes: ["n"],
      templates: [{ name: "builtin/service", variable: "red" }],
    });
  });

  test("never make a name that could bring rules along", () => {
    const evil: Claims = { value: { team: 'x" { policy = "write" } acl = "write" #' }, list: {} };
    for (const bad of [
      rule("service", "${value.team}"),
      rule("templated-policy", "builtin/api-gateway", "", "${value.team}"),
    ]) {
      expect(() => bindingsOf([bad], evil)).toThrow(refusal("invalid"));
    }
    expect(() => bindingsOf([rule("role", "${value.empty}")], claims)).toThrow(refusal("invalid bind name"));
  });

  test.each([
    [{ type: "", name: "x" }, "Invalid Binding Rule: no BindType is set"],
    [{ type: "role", name: "" }, "Invalid Binding Rule: no BindName is set"],
    [{ type: "user", name: "x" }, 'unknown BindType "user"'],
    [{ type: "role", name: "${value.nothing}" }, "unknown variable accessed: value.nothing"],
    [{ type: "role", name: "${nothing" }, "unknown variable accessed"],
    [{ type: "role", name: "a b" }, 'invalid bind name: "a b"'],
    [{ type: "role", name: "x", variable: "y" }, "BindVars cannot be set"],
    [{ type: "templated-policy", name: "x" }, "does not match existing template name"],
    [{ type: "templated-policy", name: "builtin/node" }, "name is required"],
    [{ type: "role", name: "x", selector: "value.team ==" }, "invalid Binding Rule: Selector is invalid"],
    [{ type: "role", name: "x", selector: "nonsense == 1" }, "invalid Binding Rule: Selector is invalid"],
  ])("%j are refused when they are written", (bind, message) => {
    const mapped = config({ ClaimMappings: { sub: "team" } });
    expect(() => assertBinding({ selector: "", variable: undefined, ...bind }, mapped)).toThrow(refusal(message));
  });
});

test("log in, act, log out, through a real server", async () => {
  await using edge = await Edge.start(["--no-agent"]);
  const send = (method: string, path: string, body?: unknown, token?: string | null) =>
    edge.ask(`/v1${path}`, { method, body, ...(token !== undefined && { token }) });
  const now = Math.floor(Date.now() / 1000);
  const bearer = (claims: JWTPayload) => signed({ iat: now, exp: now + 600, ...claims });
  const Config = { JWTValidationPubKeys: [pem.rsa], ClaimMappings: { team: "team" } };
  const method = await send("PUT", "/acl/auth-method", { Name: "ci", Type: "jwt", MaxTokenTTL: "5m", Config });
  expect(method.json).toMatchObject({ Name: "ci", Type: "jwt", MaxTokenTTL: "5m0s", Config });
  expect((await send("GET", "/acl/auth-methods")).json).toMatchObject([{ Name: "ci" }]);
  expect((await send("PUT", "/acl/auth-method", { Name: "x", Type: "kubernetes" })).text).toBe(
    "Invalid Auth Method: Type should be one of: [jwt]",
  );
  const rule = await send("PUT", "/acl/binding-rule", {
    AuthMethod: "ci",
    Selector: 'value.team != ""',
    BindType: "service",
    BindName: "${value.team}",
  });
  expect((await send("GET", `/acl/binding-rule/${rule.json.ID}`)).json).toEqual(rule.json);
  expect((await send("GET", "/acl/binding-rules?authmethod=ci")).json).toEqual([rule.json]);

  const login = (BearerToken: string, AuthMethod = "ci") =>
    send("POST", "/acl/login", { AuthMethod, BearerToken, Meta: { job: "7" } }, null);
  const given = await login(await bearer({ team: "web" }));
  expect(given.json).toMatchObject({
    AuthMethod: "ci",
    Local: true,
    Description: 'token created via login: {"job":"7"}',
    ServiceIdentities: [{ ServiceName: "web" }],
  });
  const { SecretID, AccessorID } = given.json;
  const may = await send(
    "POST",
    "/internal/acl/authorize",
    [{ Resource: "service", Access: "write", Segment: "web" }],
    SecretID,
  );
  expect(may.json).toMatchObject([{ Allow: true }]);
  expect(await login(await bearer({}))).toMatchObject({ status: 403, text: "Permission denied" });
  expect(await login("nonsense")).toMatchObject({ status: 500 });
  expect(await login(await bearer({ team: "web" }), "none")).toMatchObject({ status: 403 });

  expect(await send("POST", "/acl/logout", undefined, SecretID)).toMatchObject({ status: 200, text: "true" });
  expect(await send("GET", "/acl/token/self", undefined, SecretID)).toMatchObject({
    status: 403,
    text: "ACL not found",
  });
  const operator = (await send("PUT", "/acl/token", {})).json;
  expect((await send("POST", "/acl/logout", undefined, operator.SecretID)).text).toBe(
    "Permission denied: token wasn't created via login",
  );

  const second = (await login(await bearer({ team: "api" }))).json;
  const { entries } = (await edge.api("/audit?limit=1000")).json;
  expect(entries.at(-1)).toMatchObject({ principal: "login:ci", command: "token.create" });
  expect(await send("DELETE", "/acl/auth-method/ci")).toMatchObject({ text: "true" });
  expect(await send("GET", "/acl/token/self", undefined, second.SecretID)).toMatchObject({ status: 403 });
  expect((await send("GET", "/acl/binding-rules")).json).toEqual([]);
  expect((await send("GET", `/acl/token/${AccessorID}`)).status).toBe(403);
});
