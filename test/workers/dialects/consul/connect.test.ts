/** The certificate authority over HTTP, its certificates judged by Node's own X.509 and by a TLS handshake. */
import { createPrivateKey, X509Certificate } from "node:crypto";
import { once } from "node:events";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { connect, createServer } from "node:tls";
import type { TLSSocket } from "node:tls";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(async () => {
  await edge[Symbol.asyncDispose]();
});

const ask = (method: string, path: string, body?: unknown, headers: Record<string, string> = {}): Promise<Reply> =>
  edge.ask(`/v1${path}`, { method, headers, ...(body !== undefined && { body }) });

const rootsOf = async () => (await ask("GET", "/connect/ca/roots")).json;
const leafOf = (service: string, query = "", node = "n1"): Promise<Reply> =>
  ask("GET", `/agent/connect/ca/leaf/${service}${query}`, undefined, { "x-holdfast-node": node });

describe("roots", () => {
  test("are one, and the agent says the same", async () => {
    const { ActiveRootID, TrustDomain, Roots } = await rootsOf();
    expect(TrustDomain).toMatch(/^[0-9a-f-]{36}\.consul$/);
    expect(Roots).toMatchObject([{ ID: ActiveRootID, Active: true, PrivateKeyType: "ec", PrivateKeyBits: 256 }]);
    expect((await ask("GET", "/agent/connect/ca/roots")).json.ActiveRootID).toBe(ActiveRootID);
    const root = new X509Certificate(Roots[0].RootCert);
    expect(root).toMatchObject({ ca: true, subjectAltName: `URI:spiffe://${TrustDomain}` });
    expect(root.verify(root.publicKey)).toBe(true);
    expect(ActiveRootID).toBe(root.fingerprint.toLowerCase());
    const pem = await ask("GET", "/connect/ca/roots?pem=true");
    expect(pem.headers.get("content-type")).toBe("application/pem-certificate-chain");
    expect(pem.text).toBe(Roots[0].RootCert);
    expect((await ask("GET", "/connect/ca/roots?pem=maybe")).status).toBe(400);
  });

  test("are made once, however many ask first", async () => {
    const asked = Array.from({ length: 8 }, () => edge.ask("/ns/first/v1/connect/ca/roots"));
    const ids = (await Promise.all(asked)).map(({ json }) => json.ActiveRootID);
    expect(new Set(ids).size).toBe(1);
  });
});

describe("leaf certificates", () => {
  test("are signed by the root for the service's name, and stay until they are due", async () => {
    const { TrustDomain, Roots } = await rootsOf();
    const reply = await leafOf("web");
    const leaf = new X509Certificate(reply.json.CertPEM);
    const uri = `spiffe://${TrustDomain}/ns/default/dc/dc1/svc/web`;
    expect(reply.json).toMatchObject({ Service: "web", ServiceURI: uri });
    expect(leaf).toMatchObject({ ca: false, subjectAltName: `URI:${uri}` });
    expect(leaf.checkIssued(new X509Certificate(Roots[0].RootCert))).toBe(true);
    expect(leaf.verify(new X509Certificate(Roots[0].RootCert).publicKey)).toBe(true);
    expect(leaf.checkPrivateKey(createPrivateKey(reply.json.PrivateKeyPEM))).toBe(true);
    expect(reply.json.SerialNumber.replaceAll(":", "").toUpperCase()).toBe(leaf.serialNumber);
    expect(Date.parse(reply.json.ValidBefore) - Date.parse(reply.json.ValidAfter)).toBe(72 * 3_600_000);
    expect((await leafOf("web")).json).toEqual(reply.json);
    expect((await leafOf("web", "", "n2")).json.SerialNumber).not.toBe(reply.json.SerialNumber);
  });

  test("open a TLS connection of both ends", async () => {
    const ca = (await rootsOf()).Roots[0].RootCert;
    const [server, client] = await Promise.all([leafOf("db"), leafOf("api")]);
    const listener = createServer({
      ca,
      cert: server.json.CertPEM,
      key: server.json.PrivateKeyPEM,
      requestCert: true,
      rejectUnauthorized: true,
    });
    listener.listen(0, "127.0.0.1");
    await once(listener, "listening");
    const { port } = listener.address() as { port: number };
    const names: (string | undefined)[] = [];
    const socket = connect({
      host: "127.0.0.1",
      port,
      ca,
      cert: client.json.CertPEM,
      key: client.json.PrivateKeyPEM,
      checkServerIdentity: (_host, certificate) => void names.push(certificate.subjectaltname),
    });
    const [accepted] = (await once(listener, "secureConnection")) as [TLSSocket];
    expect(accepted.authorized).toBe(true);
    expect(accepted.getPeerCertificate().subjectaltname).toBe(`URI:${client.json.ServiceURI}`);
    expect(names).toEqual([`URI:${server.json.ServiceURI}`]);
    socket.destroy();
    listener.close();
  });

  test("survive a crash, and their keys are nowhere on disk", async () => {
    const before = (await leafOf("kept")).json;
    await edge.kill();
    await edge.boot();
    expect((await leafOf("kept")).json).toEqual(before);
    const key = before.PrivateKeyPEM.split("\n")[1];
    const files = readdirSync(edge.data, { recursive: true, withFileTypes: true }).filter((file) => file.isFile());
    expect(files.length).toBeGreaterThan(0);
    for (const file of files) {
      expect(readFileSync(join(file.parentPath, file.name), "latin1")).not.toContain(key);
    }
  });
});

describe("configuration", () => {
  test("changes how long certificates live", async () => {
    expect((await ask("GET", "/connect/ca/configuration")).json).toMatchObject({
      Provider: "consul",
      Config: { LeafCertTTL: "72h", IntermediateCertTTL: "8760h", RootCertTTL: "87600h" },
    });
    const Config = { LeafCertTTL: "1h", IntermediateCertTTL: "3h", RootCertTTL: "87600h" };
    expect(await ask("PUT", "/connect/ca/configuration", { Provider: "consul", Config })).toMatchObject({
      status: 200,
      text: "",
    });
    expect((await ask("GET", "/connect/ca/configuration")).json.Config).toEqual(Config);
    const { json } = await leafOf("short");
    expect(Date.parse(json.ValidBefore) - Date.parse(json.ValidAfter)).toBe(3_600_000);
  });

  test("ends a wait for a certificate once, and not again and again", async () => {
    const indexOf = (reply: Reply): number => Number(reply.headers.get("x-consul-index"));
    const first = await leafOf("waited");
    const Config = { LeafCertTTL: "2h", IntermediateCertTTL: "6h" };
    await ask("PUT", "/connect/ca/configuration", { Provider: "consul", Config });
    const woken = await leafOf("waited", `?index=${indexOf(first)}&wait=60s`);
    expect(woken.json).toEqual(first.json);
    expect(indexOf(woken)).toBeGreaterThan(indexOf(first));
    expect(indexOf(await leafOf("waited", `?index=${indexOf(woken)}&wait=10ms`))).toBe(indexOf(woken));
  });

  test.each<[object, number, string]>([
    [{ Provider: "vault" }, 500, 'unknown CA provider "vault"'],
    [{ Provider: "consul", Config: { LeafCertTTL: "1m" } }, 500, "leaf cert TTL must be greater or equal than 1h0m0s"],
    [
      { Provider: "consul", Config: { LeafCertTTL: "72h", IntermediateCertTTL: "100h" } },
      500,
      "Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=216h0m0s).",
    ],
    [
      { Provider: "consul", State: { a: "b" } },
      400,
      "Provider State is read-only. It must be omitted or identical to the current value",
    ],
    [{ Foo: 1 }, 400, 'Request decode failed: json: unknown field "Foo"'],
  ])("refused: %j", async (body, status, text) => {
    expect(await ask("PUT", "/connect/ca/configuration", body)).toMatchObject({ status, text });
  });
});

describe("authorize", () => {
  const asked = (Target: string, source: string): Promise<Reply> =>
    ask("POST", "/agent/connect/authorize", {
      Target,
      ClientCertURI: `spiffe://x.consul/ns/default/dc/dc1/svc/${source}`,
      ClientCertSerial: "aa",
    });

  test("says who decided", async () => {
    await ask("PUT", "/connect/intentions/exact?source=api&destination=db", { Action: "allow" });
    await ask("PUT", "/connect/intentions/exact?source=*&destination=db", { Action: "deny" });
    expect((await asked("db", "api")).json).toEqual({
      Authorized: true,
      Reason: "Matched L4 intention: default/api => default/db (Precedence: 9, Action: ALLOW)",
    });
    expect((await asked("db", "web")).json).toMatchObject({ Authorized: false });
    expect((await asked("cache", "web")).json).toEqual({
      Authorized: false,
      Reason: "Default behavior configured by ACLs",
    });
  });

  test.each([
    [{}, "Target service must be specified"],
    [{ Target: "db", ClientCertURI: "web" }, "ClientCertURI not a valid Connect identifier"],
    [
      { Target: "db", ClientCertURI: "spiffe://x/agent/client/dc/a/id/b" },
      "ClientCertURI not a valid Service identifier",
    ],
  ])("refused: %j", async (body, text) => {
    expect(await ask("POST", "/agent/connect/authorize", body)).toMatchObject({ status: 400, text });
  });
});
