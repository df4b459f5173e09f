/** The rules as the runtime itself applies them, with real listeners that must see nothing when denied. */
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import type { AddressInfo, Server } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { Miniflare } from "miniflare";
import { afterEach, expect, test } from "vitest";
import { parseEgressPolicy } from "../../objects/egress.ts";
import type { EgressEnv } from "../../objects/egress.ts";
import { networkRules } from "../../objects/egress/network.ts";

const SCRIPT = `
  import { connect } from "cloudflare:sockets";
  const attempts = {
    fetch: async (address) => (await fetch("http://" + address + "/", { signal: AbortSignal.timeout(5000) })).status,
    connect: async (address) => {
      const socket = connect(address);
      socket.closed.catch(() => {});
      await socket.opened;
      await socket.close();
    },
  };
  export default {
    async fetch(request) {
      const { how, address } = await request.json();
      return new Response(await attempts[how](address).then(() => "reached", () => "refused"));
    },
  };`;

const cleanups: (() => unknown)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

interface Canary {
  port: number;
  hits: number;
}

async function canary(host: string): Promise<Canary> {
  const server: Server = createServer((socket) => {
    seen.hits++;
    socket.on("error", () => {});
    socket.on("data", () => socket.end("HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"));
  });
  const seen: Canary = { port: 0, hits: 0 };
  await new Promise<void>((resolve) => server.listen(0, host, resolve));
  seen.port = (server.address() as AddressInfo).port;
  cleanups.push(() => server.close());
  return seen;
}

async function runtime(env: EgressEnv): Promise<(how: "fetch" | "connect", address: string) => Promise<string>> {
  const dir = mkdtempSync(join(tmpdir(), "holdfast-egress-"));
  const miniflare = new Miniflare({
    modules: true,
    script: SCRIPT,
    compatibilityDate: "2026-07-30",
    cf: false,
    defaultPersistRoot: dir,
    outboundService: { network: { ...networkRules(parseEgressPolicy(env)), tlsOptions: { trustBrowserCas: true } } },
  });
  cleanups.push(
    () => rmSync(dir, { recursive: true, force: true }),
    () => miniflare.dispose(),
  );
  const url = await miniflare.ready;
  return async (how, address) => (await fetch(url, { method: "POST", body: JSON.stringify({ how, address }) })).text();
}

test("private allowed: loopback is reached, an unspecified address and a denied network never, by fetch or connect", async () => {
  const [loopback, other] = [await canary("127.0.0.1"), await canary("127.0.0.2")];
  const attempt = await runtime({ HOLDFAST_EGRESS_ALLOW: "private,127.0.0.2", HOLDFAST_EGRESS_DENY: "127.0.0.2/31" });
  for (const how of ["fetch", "connect"] as const) {
    expect(await attempt(how, `127.0.0.1:${loopback.port}`)).toBe("reached");
    for (const host of ["127.0.0.2", "[::ffff:127.0.0.2]"])
      expect(await attempt(how, `${host}:${other.port}`)).toBe("refused");
    for (const host of ["0.0.0.0", "[::]"]) expect(await attempt(how, `${host}:${loopback.port}`)).toBe("refused");
  }
  expect(await attempt("fetch", `localhost:${loopback.port}`)).toBe("reached");
  expect(loopback.hits).toBeGreaterThanOrEqual(3);
  expect(other.hits).toBe(0);
});

test("public only: a name is judged by the address that it resolves to", async () => {
  const loopback = await canary("127.0.0.1");
  const attempt = await runtime({});
  for (const how of ["fetch", "connect"] as const) {
    for (const host of ["127.0.0.1", "localhost"])
      expect(await attempt(how, `${host}:${loopback.port}`)).toBe("refused");
  }
  expect(loopback.hits).toBe(0);
});

test("one listed address within a range that is closed by default", async () => {
  const [listed, neighbour] = [await canary("127.0.0.1"), await canary("127.0.0.2")];
  const attempt = await runtime({ HOLDFAST_EGRESS_ALLOW: "127.0.0.1" });
  expect(await attempt("fetch", `127.0.0.1:${listed.port}`)).toBe("reached");
  expect(await attempt("fetch", `127.0.0.2:${neighbour.port}`)).toBe("refused");
  expect(neighbour.hits).toBe(0);
});

test("metadata stays denied where the operator lists its very address", () => {
  const rules = networkRules(
    parseEgressPolicy({ HOLDFAST_EGRESS_ALLOW: "private,169.254.169.254,fd00:ec2::254,10.0.0.0/8" }),
  );
  expect(rules.allow).toEqual(["public", "private", "10.0.0.0/8", "64:ff9b::a00:0/104", "2002:a00:0::/24"]);
  expect(rules.deny).toEqual(
    expect.arrayContaining(["169.254.0.0/16", "64:ff9b::a9fe:0/112", "2002:a9fe:0::/32", "fd00:ec2::/32", "fe80::/10"]),
  );
});
