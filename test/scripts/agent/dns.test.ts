/** The agent's DNS port on real sockets, in front of a real HTTP edge that runs the dialect. */
import { execFile, spawnSync } from "node:child_process";
import dgram from "node:dgram";
import { Resolver as StubResolver } from "node:dns/promises";
import { once } from "node:events";
import http from "node:http";
import net from "node:net";
import { promisify } from "node:util";
import { decode } from "dns-packet";
import type { DecodedPacket } from "dns-packet";
import { afterEach, describe, expect, test } from "vitest";
import { startDnsListener } from "../../../scripts/agent/dns.ts";
import type { DnsListener, DnsListenerOptions } from "../../../scripts/agent/dns.ts";
import { serveDnsConnection } from "../../../scripts/agent/dns-tcp.ts";
import { handleDnsQuery } from "../../../workers/dialects/dns/http.ts";
import { MemoryResolver, depsFor, instance, query } from "../../workers/dialects/dns/fixture.ts";

type Answered = DecodedPacket & { rcode: string };

const cleanups: (() => Promise<unknown> | void)[] = [];
afterEach(async () => {
  for (const cleanup of cleanups.splice(0).toReversed()) await cleanup();
});

const resolver = new MemoryResolver()
  .add("web", [
    instance("web-1", "10.0.0.1", { ports: { default: 8080, admin: 9000 }, tags: ["v1"], meta: { version: "1.2" } }),
    instance("web-2", "2001:db8::2"),
  ])
  .add(
    "many",
    Array.from({ length: 200 }, (_, i) => instance(`i-${i}`, `10.0.0.${i}`)),
  );

interface Edge {
  url: string;
  requests: { path: string; headers: http.IncomingHttpHeaders }[];
}

type Serve = (request: http.IncomingMessage, response: http.ServerResponse) => Promise<void> | void;

async function startEdge(serve: Serve = serveDns): Promise<Edge> {
  const requests: Edge["requests"] = [];
  const server = http.createServer((request, response) => {
    requests.push({ path: request.url ?? "", headers: request.headers });
    void serve(request, response);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  cleanups.push(async () => {
    server.closeAllConnections();
    server.close();
    await once(server, "close");
  });
  return { url: `http://127.0.0.1:${(server.address() as net.AddressInfo).port}`, requests };
}

async function serveDns(incoming: http.IncomingMessage, outgoing: http.ServerResponse): Promise<void> {
  const body = Buffer.concat(await incoming.toArray());
  const headers = Object.entries(incoming.headersDistinct).map(([name, values]): [string, string] => [
    name,
    values![0]!,
  ]);
  const request = new Request(`http://edge${incoming.url}`, { method: incoming.method!, headers, body });
  const response = await handleDnsQuery(request, depsFor(resolver));
  outgoing.writeHead(response.status, Object.fromEntries(response.headers));
  outgoing.end(Buffer.from(await response.arrayBuffer()));
}

async function startAgent(edge: string, options: Partial<DnsListenerOptions> = {}): Promise<DnsListener> {
  const listener = await startDnsListener({ host: "127.0.0.1", port: 0, edge, token: null, ...options });
  cleanups.push(() => listener.close());
  return listener;
}

function stub(port: number): StubResolver {
  const client = new StubResolver({ timeout: 5000, tries: 1 });
  client.setServers([`127.0.0.1:${port}`]);
  return client;
}

async function openUdp(port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket("udp4");
  socket.connect(port, "127.0.0.1");
  await once(socket, "connect");
  cleanups.push(() => void socket.close());
  return socket;
}

async function askUdp(port: number, message: Uint8Array): Promise<Answered> {
  const socket = await openUdp(port);
  const answered = once(socket, "message") as Promise<[Buffer]>;
  socket.send(message);
  return decode((await answered)[0]) as Answered;
}

/** A TCP client that hands out whole messages. */
async function openTcp(port: number): Promise<{ socket: net.Socket; next: () => Promise<Answered> }> {
  const socket = net.connect({ port, host: "127.0.0.1", allowHalfOpen: true });
  await once(socket, "connect");
  cleanups.push(() => void socket.destroy());
  const chunks = socket[Symbol.asyncIterator]() as AsyncIterator<Buffer>;
  let buffered: Buffer = Buffer.alloc(0);
  const next = async (): Promise<Answered> => {
    while (buffered.length < 2 || buffered.length < 2 + buffered.readUInt16BE(0)) {
      const { value, done } = await chunks.next();
      if (done) throw new Error("the connection ended");
      buffered = Buffer.concat([buffered, value]);
    }
    const end = 2 + buffered.readUInt16BE(0);
    const message = decode(buffered.subarray(2, end)) as Answered;
    buffered = buffered.subarray(end);
    return message;
  };
  return { socket, next };
}

const framed = (message: Uint8Array): Buffer =>
  Buffer.concat([Buffer.of(message.length >> 8, message.length & 255), message]);

describe("real clients", () => {
  test("the system's stub resolver finds addresses, SRV with its targets, TXT, SOA, and learns what is not there", async () => {
    const { port } = await startAgent((await startEdge()).url);
    const client = stub(port);
    expect(await client.resolve4("web.service.holdfast", { ttl: true })).toEqual([{ address: "10.0.0.1", ttl: 5 }]);
    expect(await client.resolve6("web.service.holdfast")).toEqual(["2001:db8::2"]);
    const services = await client.resolveSrv("_web._tcp.service.holdfast");
    expect(services.map(({ port: asked, weight }) => [asked, weight])).toEqual([
      [8080, 10],
      [8080, 10],
    ]);
    const [target] = services.filter(({ name }) => name.startsWith("web-1"));
    expect(await client.resolve4(target!.name)).toEqual(["10.0.0.1"]);
    expect((await client.resolveSrv("_admin._tcp.web.service.holdfast"))[0]).toMatchObject({ port: 9000 });
    expect(await client.resolveTxt("web.holdfast")).toEqual([["version=1.2"]]);
    expect(await client.resolveSoa("holdfast")).toMatchObject({ nsname: "ns.holdfast", minttl: 5 });
    await expect(client.resolve4("nope.service.holdfast")).rejects.toMatchObject({ code: "ENOTFOUND" });
    await expect(client.resolveMx("web.service.holdfast")).rejects.toMatchObject({ code: "ENODATA" });
    await expect(client.resolve4("example.com")).rejects.toMatchObject({ code: "EREFUSED" });
  });

  test("a truncated answer sends the client to TCP", async () => {
    const edge = await startEdge();
    const { port } = await startAgent(edge.url);
    const addresses = await stub(port).resolve4("many.holdfast");
    expect(new Set(addresses).size).toBe(200);
    expect(edge.requests.map(({ headers }) => headers["x-holdfast-transport"])).toEqual(["udp", "tcp"]);
  });

  const hasDig = spawnSync("dig", ["-v"]).status === 0;
  test.runIf(hasDig)("dig reads every reply without a warning, over UDP and TCP, with and without EDNS", async () => {
    const { port } = await startAgent((await startEdge()).url);
    const dig = async (...args: string[]): Promise<string> => {
      const common = ["@127.0.0.1", "-p", String(port), "+norecurse", "+tries=1", "+time=5"];
      const { stdout } = await promisify(execFile)("dig", [...common, ...args], {
        env: { ...process.env, HOME: "/nonexistent" },
      });
      expect(stdout).not.toMatch(/warning|malformed|mismatch|extra bytes|timed out/i);
      return stdout;
    };
    const short = (text: string): string[] => text.trim().split("\n").toSorted();
    expect(short(await dig("+short", "WEB.service.holdfast", "A"))).toEqual(["10.0.0.1"]);
    expect(await dig("web.service.holdfast", "SRV")).toMatch(
      /1 10 8080 web-1\.instance\.web\.service\.dc1\.holdfast\.[^]*ADDITIONAL SECTION:[^]*10\.0\.0\.1/,
    );
    expect(short(await dig("+short", "+tcp", "many.holdfast", "A"))).toHaveLength(200);
    expect(await dig("+ignore", "+noedns", "many.holdfast", "A")).toMatch(/flags: qr aa tc;/);
    expect(await dig("+ignore", "+bufsize=1232", "many.holdfast", "A")).toMatch(/udp: 1232/);
    expect(await dig("nope.holdfast", "A")).toMatch(
      /status: NXDOMAIN[^]*AUTHORITY SECTION:\nholdfast\.\s+5\s+IN\s+SOA/,
    );
    expect(await dig("web.holdfast", "MX")).toMatch(/status: NOERROR[^]*AUTHORITY SECTION/);
    expect(await dig("+notcp", "web.holdfast", "ANY")).toMatch(/status: REFUSED/);
    expect(await dig("+edns=1", "+noednsnegotiation", "web.holdfast", "A")).toMatch(/status: BADVERS/);
    expect(await dig("+noedns", "+opcode=notify", "holdfast", "SOA")).toMatch(/status: NOTIMP/);
    expect(await dig("-c", "CH", "version.bind", "TXT")).toMatch(/status: REFUSED/);
    expect(await dig("+keepopen", "+tcp", "web.holdfast", "TXT", "web.holdfast", "AAAA")).toMatch(
      /version=1\.2[^]*2001:db8::2/,
    );
  });
});

describe("the way to the edge", () => {
  test("carries the token and the namespace, and nothing else decides", async () => {
    const edge = await startEdge();
    const { port } = await startAgent(`${edge.url}/`, { token: "s3cret", namespace: "a/b" });
    expect((await askUdp(port, query("web.holdfast", "A"))).rcode).toBe("NOERROR");
    expect(edge.requests).toMatchObject([
      {
        path: "/ns/a%2Fb/dns-query",
        headers: {
          authorization: "Bearer s3cret",
          "content-type": "application/dns-message",
          "x-holdfast-transport": "udp",
        },
      },
    ]);
  });

  test("keeps its connections", async () => {
    let connections = 0;
    const edge = await startEdge((request, response) => {
      const counted = request.socket as net.Socket & { seen?: boolean };
      if (counted.seen !== true) connections++;
      counted.seen = true;
      return serveDns(request, response);
    });
    const { port } = await startAgent(edge.url);
    for (let i = 0; i < 5; i++) await askUdp(port, query("web.holdfast", "A"));
    expect([edge.requests.length, connections]).toEqual([5, 1]);
  });

  test("asks again where the edge had just closed a kept connection", async () => {
    let calls = 0;
    const edge = await startEdge((request, response) => {
      if (++calls === 2) request.socket.destroy();
      else return serveDns(request, response);
    });
    const { port } = await startAgent(edge.url);
    expect((await askUdp(port, query("web.holdfast", "A"))).rcode).toBe("NOERROR");
    expect((await askUdp(port, query("web.holdfast", "A"))).rcode).toBe("NOERROR");
    expect(calls).toBe(3);
  });

  const failures: [what: string, serve: Serve][] = [
    ["503", (_request, response) => void response.writeHead(503).end("busy")],
    ["401", (_request, response) => void response.writeHead(401).end()],
    [
      "a page with status 200",
      (_request, response) => void response.writeHead(200, { "content-type": "text/html" }).end("<html>hello</html>"),
    ],
    [
      "a message that is none",
      (_request, response) => void response.writeHead(200, { "content-type": "application/dns-message" }).end("x"),
    ],
    [
      "an answer without end",
      (_request, response) => {
        response.writeHead(200, { "content-type": "application/dns-message" });
        const more = (): void => {
          while (!response.destroyed && response.write(Buffer.alloc(16_384)));
        };
        response.on("drain", more);
        more();
      },
    ],
    ["a connection that is cut", (request) => void request.socket.destroy()],
    ["silence", () => {}],
  ];
  test.each(failures)("%s becomes SERVFAIL with the client's id and question", async (_what, serve) => {
    const { port } = await startAgent((await startEdge(serve)).url, { timeoutMs: 200 });
    const answered = await askUdp(port, query("wEb.holdfast", "A"));
    expect([answered.rcode, answered.id, answered.questions]).toEqual([
      "SERVFAIL",
      4711,
      [{ name: "wEb.holdfast", type: "A", class: "IN" }],
    ]);
    const { socket, next } = await openTcp(port);
    socket.write(framed(query("web.holdfast", "A")));
    expect((await next()).rcode).toBe("SERVFAIL");
  });

  test("no edge at all becomes SERVFAIL", async () => {
    const gone = net.createServer().listen(0, "127.0.0.1");
    await once(gone, "listening");
    const { port: free } = gone.address() as net.AddressInfo;
    gone.close();
    await once(gone, "close");
    const { port } = await startAgent(`http://127.0.0.1:${free}`);
    expect((await askUdp(port, query("web.holdfast", "A"))).rcode).toBe("SERVFAIL");
  });
});

describe("noise over UDP", () => {
  test("is dropped without a word to the edge, and the next query is answered", async () => {
    const edge = await startEdge();
    const { port } = await startAgent(edge.url);
    const socket = await openUdp(port);
    const messages: Buffer[] = [];
    socket.on("message", (message) => messages.push(message));
    const noise = [new Uint8Array(0), new Uint8Array(11), query("web.holdfast", "A", { type: "response" })];
    for (const message of noise) socket.send(message);
    const answered = once(socket, "message");
    socket.send(query("web.holdfast", "A", { id: 9 }));
    await answered;
    expect(messages.map((message) => message.readUInt16BE(0))).toEqual([9]);
    expect(edge.requests).toHaveLength(1);
  });

  test("a datagram over 4096 bytes is FORMERR", async () => {
    const edge = await startEdge();
    const { port } = await startAgent(edge.url);
    const large = Buffer.concat([query("web.holdfast", "A"), Buffer.alloc(5000)]);
    expect((await askUdp(port, large)).rcode).toBe("FORMERR");
    expect(edge.requests).toEqual([]);
  });

  test("a flood from one source is answered up to the rate, then truncated or dropped", async () => {
    const { port } = await startAgent((await startEdge()).url, { responsesPerSecond: 0.001 });
    const socket = await openUdp(port);
    const messages: Answered[] = [];
    const enough = new Promise<void>((resolve) => {
      socket.on("message", (message) => {
        messages.push(decode(message) as Answered);
        if (messages.filter((one) => one.flag_tc).length === 3 && messages.length >= 4) resolve();
      });
    });
    for (let id = 0; id < 7; id++) socket.send(query("web.holdfast", "A", { id }));
    await enough;
    const truncated = messages.filter((one) => one.flag_tc);
    expect(truncated.map((one) => [one.rcode, one.answers, one.questions!.length])).toEqual(
      Array.from({ length: 3 }, () => ["NOERROR", [], 1]),
    );
  });
});

describe("TCP connections", () => {
  test("carry many queries at once, in any pieces", async () => {
    const { port } = await startAgent((await startEdge()).url);
    const { socket, next } = await openTcp(port);
    socket.setNoDelay(true);
    const ids = Array.from({ length: 50 }, (_, i) => i + 1);
    const all = Buffer.concat(ids.map((id) => framed(query("web.holdfast", "A", { id }))));
    for (let at = 0; at < all.length; at += 37) socket.write(all.subarray(at, at + 37));
    const answered: number[] = [];
    for (let i = 0; i < ids.length; i++) answered.push((await next()).id!);
    expect(answered.toSorted((a, b) => a - b)).toEqual(ids);
  });

  test("are answered to the end where the client closes its side", async () => {
    const { port } = await startAgent((await startEdge()).url);
    const { socket, next } = await openTcp(port);
    socket.end(Buffer.concat([framed(query("web.holdfast", "A")), framed(query("many.holdfast", "A"))]));
    const counts = [(await next()).answers!.length, (await next()).answers!.length];
    expect(counts.toSorted((a, b) => a - b)).toEqual([1, 200]);
    await expect(next()).rejects.toThrow("ended");
  });

  const broken: [what: string, bytes: Buffer][] = [
    ["a length of 0", Buffer.of(0, 0)],
    ["a length of 11", Buffer.concat([Buffer.of(0, 11), Buffer.alloc(11)])],
    ["a length over 4096", Buffer.of(0xff, 0xff)],
    ["a response", framed(query("web.holdfast", "A", { type: "response" }))],
  ];
  test.each(broken)("are cut at %s", async (_what, bytes) => {
    const { port } = await startAgent((await startEdge()).url);
    const { socket } = await openTcp(port);
    const closed = once(socket.resume(), "close");
    socket.on("end", () => socket.end());
    socket.write(bytes);
    await closed;
    expect(socket.bytesRead).toBe(0);
  });

  test("are cut when they drip without ever completing a query", async () => {
    const { port } = await startAgent((await startEdge()).url, { idleMs: 100 });
    const { socket } = await openTcp(port);
    // By a reset, where a drop was on its way.
    socket.on("error", () => {});
    const closed = new Promise((resolve) => socket.resume().once("close", resolve));
    socket.on("end", () => socket.end());
    socket.write(Buffer.of(1));
    const drip = setInterval(() => socket.write(Buffer.of(0)), 10);
    cleanups.push(() => clearInterval(drip));
    await closed;
    expect(socket.bytesRead).toBe(0);
  });

  test("are cut when replies are not taken, and are not answered on and on until then", async () => {
    let answered = 0;
    const reply = new Uint8Array(65_535);
    const server = net.createServer({ allowHalfOpen: true }, (socket) => {
      serveDnsConnection(socket, { answer: async () => (answered++, reply), idleMs: 300 });
    });
    server.listen(0, "127.0.0.1");
    await once(server, "listening");
    cleanups.push(() => void server.close());
    const served = once(server, "connection") as Promise<[net.Socket]>;
    const client = net.connect((server.address() as net.AddressInfo).port, "127.0.0.1");
    client.on("error", () => {});
    client.pause();
    const queries = 4000;
    client.write(Buffer.concat(Array.from({ length: queries }, () => framed(query("web.holdfast", "A")))));
    const [socket] = await served;
    await once(socket, "close");
    client.destroy();
    expect(answered).toBeGreaterThan(0);
    expect(answered).toBeLessThan(queries / 2);
  });

  test("over the cap are closed, those below it go on", async () => {
    const { port } = await startAgent((await startEdge()).url, { connectionsMax: 1 });
    const first = await openTcp(port);
    first.socket.write(framed(query("web.holdfast", "A")));
    await first.next();
    const second = await openTcp(port);
    second.socket.on("error", () => {});
    await expect(second.next()).rejects.toThrow();
    first.socket.write(framed(query("web.holdfast", "A")));
    expect((await first.next()).rcode).toBe("NOERROR");
  });
});

describe("the port", () => {
  test("0 picks one for both", async () => {
    const { port } = await startAgent((await startEdge()).url);
    expect(port).toBeGreaterThan(0);
    expect((await askUdp(port, query("web.holdfast", "A"))).rcode).toBe("NOERROR");
    const { socket, next } = await openTcp(port);
    socket.write(framed(query("web.holdfast", "A")));
    expect((await next()).rcode).toBe("NOERROR");
  });

  test("taken over TCP, or only over UDP, is a clear error and leaves nothing open", async () => {
    const edge = "http://127.0.0.1:1";
    const { port } = await startAgent(edge);
    const again = { host: "127.0.0.1", port, edge, token: null };
    await expect(startDnsListener(again)).rejects.toThrow(`dns: 127.0.0.1:${port} (tcp) is already in use`);

    const socket = dgram.createSocket("udp4").bind(0, "127.0.0.1");
    await once(socket, "listening");
    cleanups.push(() => void socket.close());
    const udpPort = socket.address().port;
    const attempt = startDnsListener({ ...again, port: udpPort });
    await expect(attempt).rejects.toMatchObject({
      code: "EADDRINUSE",
      message: `dns: 127.0.0.1:${udpPort} (udp) is already in use`,
    });
    const tcp = net.createServer().listen(udpPort, "127.0.0.1");
    cleanups.push(() => void tcp.close());
    await once(tcp, "listening");
  });

  test("an edge that is no URL of ours is refused", async () => {
    await expect(startDnsListener({ host: "127.0.0.1", port: 0, edge: "ftp://x", token: null })).rejects.toThrow(
      "http or https",
    );
  });

  test("IPv6 works alike", async () => {
    const edge = await startEdge();
    const { port } = await startAgent(edge.url, { host: "::1" });
    const client = new StubResolver({ timeout: 5000, tries: 1 });
    client.setServers([`[::1]:${port}`]);
    expect(await client.resolve4("web.holdfast")).toEqual(["10.0.0.1"]);
  });

  test("close cuts connections and queries under way, frees the port, and may be called twice", async () => {
    const asked = Promise.withResolvers<void>();
    const edge = await startEdge(() => asked.resolve());
    const listener = await startAgent(edge.url);
    const { socket } = await openTcp(listener.port);
    socket.on("error", () => {});
    socket.on("end", () => socket.end());
    const cut = once(socket.resume(), "close");
    socket.write(framed(query("web.holdfast", "A")));
    await asked.promise;
    await Promise.all([listener.close(), listener.close()]);
    await cut;
    const { port } = await startAgent(edge.url, { port: listener.port });
    expect(port).toBe(listener.port);
  });
});
