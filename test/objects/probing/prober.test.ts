/** The prober in workerd, against real servers: plain, over TLS, and behind redirects. */
import { once } from "node:events";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test, vi } from "vitest";
import { Edge } from "../../edge.ts";
import { CERTIFICATE, closedPort } from "../../scripts/agent/checks/servers.ts";

const folder = mkdtempSync(join(tmpdir(), "holdfast-ca-"));
const agents = new Map<string, string | undefined>();
let edge: Edge;
let plain: Server;
let secure: Server;

const answer: http.RequestListener = (request, response) => {
  agents.set(request.url ?? "", request.headers["user-agent"]);
  const location = { "/moved": "/ok", "/away": "http://169.254.169.254/latest" }[request.url ?? ""];
  if (location) response.writeHead(302, { location }).end();
  else response.end("all is well");
};

beforeAll(async () => {
  const authority = join(folder, "ca.pem");
  writeFileSync(authority, CERTIFICATE.cert);
  vi.stubEnv("NODE_EXTRA_CA_CERTS", authority);
  plain = http.createServer(answer).listen(0, "127.0.0.1");
  secure = https.createServer(CERTIFICATE, answer).listen(0, "127.0.0.1");
  await Promise.all([once(plain, "listening"), once(secure, "listening")]);
  edge = await Edge.start();
});

afterAll(async () => {
  vi.unstubAllEnvs();
  await edge[Symbol.asyncDispose]();
  plain.close();
  secure.close();
  rmSync(folder, { recursive: true });
});

const portOf = (server: Server): number => (server.address() as AddressInfo).port;

/** The first check of a fresh instance once it has been run. */
async function found(check: { type: string } & Record<string, unknown>): Promise<{ status: string; output: string }> {
  const path = `/services/${check.type}/instances/i${Math.random()}`;
  await edge.put(path, { address: "127.0.0.1", checks: [{ ...check, interval: 1 }] });
  const { json } = await edge.until(path, (reply) => reply.json.checks[0].output !== "");
  return { status: json.checks[0].status, output: json.checks[0].output };
}

test("http: the answer in Consul's words, asked by our name", async () => {
  const url = `http://127.0.0.1:${portOf(plain)}/named`;
  const output = `HTTP GET ${url}: 200 OK Output: all is well`;
  expect(await found({ type: "http", url })).toEqual({ status: "passing", output });
  expect(agents.get("/named")).toBe("Holdfast-Health-Check");
});

test("http: a check of Consul's clients asks by Consul's name, unless it has one of its own", async () => {
  const asked = async (path: string, Header: Record<string, string[]>): Promise<string | undefined> => {
    const Check = { HTTP: `http://127.0.0.1:${portOf(plain)}/${path}`, Interval: "1s", Header };
    const reply = await edge.ask("/v1/agent/service/register", { method: "PUT", body: { Name: path, Check } });
    expect(reply.status).toBe(200);
    await vi.waitUntil(() => agents.has(`/${path}`), { timeout: 10_000 });
    return agents.get(`/${path}`);
  };
  expect(await asked("of-consul", { "X-Key": ["v"] })).toBe("Consul Health Check");
  expect(await asked("of-its-own", { "user-agent": ["mine"] })).toBe("mine");
});

test("https: with a certificate that the operator trusts", async () => {
  const url = `https://127.0.0.1:${portOf(secure)}/`;
  expect(await found({ type: "http", url })).toMatchObject({ status: "passing" });
});

test("redirects: followed to where the guard allows, judged themselves where they are not to be followed", async () => {
  const url = `http://127.0.0.1:${portOf(plain)}`;
  expect(await found({ type: "http", url: `${url}/moved` })).toEqual({
    status: "passing",
    output: `HTTP GET ${url}/moved: 200 OK Output: all is well`,
  });
  expect(await found({ type: "http", url: `${url}/away` })).toMatchObject({
    status: "critical",
    output: expect.stringMatching(/169\.254\.169\.254.*refused/) as string,
  });
  expect(await found({ type: "http", url: `${url}/moved`, redirects: false })).toMatchObject({
    status: "critical",
    output: expect.stringMatching(/302 Found/) as string,
  });
});

test("tcp: a connection, and with tls a handshake too", async () => {
  const port = portOf(plain);
  const output = `TCP connect 127.0.0.1:${port}: Success`;
  expect(await found({ type: "tcp", port })).toEqual({ status: "passing", output });
  expect(await found({ type: "tcp", port: portOf(secure), tls: true })).toMatchObject({ status: "passing" });
  expect(await found({ type: "tcp", port, tls: true, timeout: 1 })).toMatchObject({ status: "critical" });
  expect(await found({ type: "tcp", port: await closedPort() })).toMatchObject({ status: "critical" });
});
