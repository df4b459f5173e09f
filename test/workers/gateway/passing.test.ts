/** What comes through the gateway, seen from both ends: headers, bodies, upgrades, and clients that leave. */
import { createHash } from "node:crypto";
import { once } from "node:events";
import type { IncomingMessage, OutgoingHttpHeaders, RequestListener, Server } from "node:http";
import { createServer, request as ask } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge, TOKEN } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

/** A server that is the only instance of a service, until the test ends. */
async function instance(service: string, listener: RequestListener): Promise<Server & AsyncDisposable> {
  const server = createServer(listener);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  expect((await edge.put(`/services/${service}/instances/1`, { address: "127.0.0.1", port })).status).toBe(200);
  return server;
}

function open(path: string, method = "GET", headers: OutgoingHttpHeaders = {}): ReturnType<typeof ask> {
  const { hostname, port } = new URL(edge.address);
  return ask({ host: hostname, port, path, method, headers: { authorization: `Bearer ${TOKEN}`, ...headers } });
}

async function answered(asked: ReturnType<typeof ask>): Promise<IncomingMessage> {
  const [response] = (await once(asked, "response")) as [IncomingMessage];
  return response;
}

async function textOf(message: IncomingMessage): Promise<string> {
  let text = "";
  for await (const chunk of message) text += String(chunk);
  return text;
}

/** Answers with what it got: `[name, value]` of each header line, names in lower case. */
const telling: RequestListener = ({ method, url, rawHeaders }, response) => {
  const lines = rawHeaders.flatMap((name, at) => (at % 2 === 0 ? [[name.toLowerCase(), rawHeaders[at + 1]!]] : []));
  response.end(JSON.stringify({ method, url, lines: lines.toSorted() }));
};

test("an instance gets the client's own headers, and the platform's word in place of the client's", async () => {
  await using _server = await instance("telling", telling);
  const asked = open("/route/telling/a%20b?x=1&x=2", "GET", {
    host: "shop.example:8080",
    connection: "keep-alive, x-hop",
    "x-hop": "1",
    te: "trailers",
    "keep-alive": "timeout=9",
    "x-own": "1",
    accept: "text/plain",
    "x-forwarded-for": "6.6.6.6",
    x_forwarded_for: "6.6.6.6",
    forwarded: "for=6.6.6.6",
    "x-forwarded-port": "1",
    "x-real-ip": "6.6.6.6",
    "proxy-authorization": "Basic x",
    "x-consul-token": "x",
    "x-holdfast-instance": "x",
    via: "1.0 edge",
  });
  asked.end();
  const { url, lines } = JSON.parse(await textOf(await answered(asked)));
  expect(url).toBe("/a%20b?x=1&x=2");
  const { port } = new URL(`http://${lines.find(([name]: [string]) => name === "host")[1]}`);
  // The runtime's own, and no more.
  expect(lines.filter(([name]: [string]) => name !== "cf-worker")).toEqual([
    ["accept", "text/plain"],
    ["forwarded", 'for=unknown;host="shop.example:8080";proto=http'],
    ["host", `127.0.0.1:${port}`],
    ["via", "1.0 edge, 1.1 holdfast"],
    ["x-forwarded-host", "shop.example:8080"],
    ["x-forwarded-prefix", "/route/telling"],
    ["x-forwarded-proto", "http"],
    ["x-own", "1"],
  ]);
});

test("a method and its fixed length are kept; what has no length goes out in chunks", async () => {
  await using _server = await instance("methods", telling);
  for (const method of ["DELETE", "OPTIONS", "PATCH"]) {
    const asked = open("/route/methods/", method);
    asked.end();
    expect(JSON.parse(await textOf(await answered(asked)))).toMatchObject({ method });
  }
  const fixed = open("/route/methods/", "PUT", { "content-length": 5 });
  fixed.end("hello");
  const { lines } = JSON.parse(await textOf(await answered(fixed)));
  expect(lines).toContainEqual(["content-length", "5"]);
  const chunked = open("/route/methods/", "POST");
  chunked.write("hel");
  chunked.end("lo");
  const framing = JSON.parse(await textOf(await answered(chunked))).lines;
  expect(framing).toContainEqual(["transfer-encoding", "chunked"]);
  expect(framing.map(([name]: [string]) => name)).not.toContain("content-length");
});

test("a redirect, an error and an answer without a body are the instance's", async () => {
  await using _server = await instance("statuses", ({ url }, response) => {
    const status = Number(url!.slice(1));
    response.writeHead(status, { "x-own": "1", ...(status === 302 && { location: "/elsewhere" }) });
    response.end(status === 204 ? undefined : "body");
  });
  for (const status of [204, 302, 404, 503]) {
    const reply = await edge.ask(`/route/statuses/${status}`);
    expect([reply.status, reply.text]).toEqual([status, status === 204 ? "" : "body"]);
    expect(reply.headers.get("x-own")).toBe("1");
    if (status === 302) expect(reply.headers.get("location")).toBe("/elsewhere");
  }
  expect((await edge.ask("/route/statuses/200", { method: "HEAD" })).text).toBe("");
});

test("a body streams there and back at once", async () => {
  await using _server = await instance("echo", (request, response) => {
    response.writeHead(200);
    response.flushHeaders();
    request.pipe(response);
  });
  const asked = open("/route/echo/", "POST");
  asked.flushHeaders();
  const response = await answered(asked);
  for (const word of ["one", "two", "three"]) {
    asked.write(word);
    expect(String((await once(response, "data"))[0])).toBe(word);
  }
  asked.end();
  await once(response, "end");
});

test("a WebSocket is opened and carries both ways", async () => {
  await using server = await instance("socket", (_request, response) => response.writeHead(400).end());
  server.on("upgrade", ({ url, headers }, socket) => {
    const guid = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11";
    const accept = createHash("sha1").update(`${headers["sec-websocket-key"]}${guid}`).digest("base64");
    const head = ["HTTP/1.1 101 Switching Protocols", "upgrade: websocket", "connection: upgrade"];
    socket.write([...head, `sec-websocket-accept: ${accept}`, "", ""].join("\r\n"));
    socket.once("data", (frame: Buffer) => {
      const mask = frame.subarray(2, 6);
      const said = frame.subarray(6).map((byte, at) => byte ^ mask[at % 4]!);
      const text = Buffer.from(`${url} ${Buffer.from(said).toString()}`);
      socket.end(Buffer.concat([Buffer.from([0x81, text.length]), text]));
    });
  });
  const options = { headers: { authorization: `Bearer ${TOKEN}` } };
  const socket = new WebSocket(`${edge.address.replace("http", "ws")}/route/socket/chat`, options as never);
  await once(socket, "open");
  socket.send("hello");
  const [{ data }] = (await once(socket, "message")) as [MessageEvent];
  expect(data).toBe("/chat hello");
});

test("the next instance is asked the same; a body is not sent twice", async () => {
  await using _server = await instance("next", telling);
  const closed = createServer().listen(0, "127.0.0.1");
  await once(closed, "listening");
  const { port } = closed.address() as AddressInfo;
  closed.close();
  await edge.put("/services/next/instances/2", { address: "127.0.0.1", port });
  await edge.until("/resolve/next", ({ json }) => json.instances.length === 2);
  for (let i = 0; i < 6; i++) {
    const { lines } = JSON.parse((await edge.ask("/route/next/", { headers: { "x-own": "1" } })).text);
    for (const name of ["via", "forwarded", "x-own", "x-forwarded-prefix"]) {
      expect(lines.filter(([found]: [string]) => found === name)).toHaveLength(1);
    }
  }
  await edge.put("/services/dead/instances/1", { address: "127.0.0.1", port });
  await edge.until("/resolve/dead", ({ json }) => json.instances.length === 1);
  const refused = await edge.ask("/route/dead/", { method: "POST", body: "x" });
  expect(refused.json).toMatchObject({ status: 502, reason: "attempts_failed" });
});

test("a request that has gone round is ended", async () => {
  await using _server = await instance("round", telling);
  const via = Array.from({ length: 4 }, () => "1.1 holdfast").join(", ");
  expect((await edge.ask("/route/round/", { headers: { via } })).json).toMatchObject({ status: 508, reason: "loop" });
});

test("a client that leaves takes its request to the instance with it", async () => {
  const left: Promise<unknown>[] = [];
  const arrivals: (() => void)[] = [];
  await using _server = await instance("slow", (request, response) => {
    left.push(once(response, "close"));
    if (request.url === "/body") response.write("begun");
    arrivals.shift()?.();
  });
  for (const path of ["/head", "/body", "/head", "/body"]) {
    const { promise: arrived, resolve } = Promise.withResolvers<void>();
    arrivals.push(resolve);
    const asked = open(`/route/slow${path}`);
    asked.on("error", () => {});
    asked.end();
    await arrived;
    if (path === "/body") await once(await answered(asked), "data");
    // Reset: whoever only closes may still read.
    asked.socket!.resetAndDestroy();
    await left.at(-1);
  }
  expect(left).toHaveLength(4);
});
