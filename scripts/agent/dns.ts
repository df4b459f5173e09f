/**
 * The agent's DNS port: UDP and TCP on one port number, every message carried to the edge's `/dns-query` as it is.
 *
 * Knows nothing of names, zones or records: the protocol lives at the edge. What it guards is the port itself: counts,
 * sizes, time, and the rate at which one source is answered. Sources: RFC 1035 §4.2, RFC 7766.
 */
import dgram from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import net from "node:net";
import { DnsEdge } from "./dns-edge.ts";
import { FORMERR, QUERY_BYTES_MAX, SERVFAIL, errorReply, isQuery, truncatedReply } from "./dns-header.ts";
import { ResponseRateLimit } from "./dns-rate.ts";
import { serveDnsConnection } from "./dns-tcp.ts";

export interface DnsListenerOptions {
  /** The address to listen on; a host name is resolved once, so that UDP and TCP agree. */
  host: string;
  /** 0 picks one that is free for both. */
  port: number;
  /** The edge's origin: `http://127.0.0.1:8500`. */
  edge: string;
  token: string | null;
  /** The namespace that names without one belong to. */
  namespace?: string;
  /**
   * UDP answers per second and source. Default 1000, with loopback free of it, since nobody forges that from afar;
   * given, it holds for loopback too.
   */
  responsesPerSecond?: number;
  /** When a TCP connection without progress is cut. Default 10 s. */
  idleMs?: number;
  /** When the edge's answer is given up for SERVFAIL. Default 4 s. */
  timeoutMs?: number;
  /** TCP connections at once; further ones are closed. Default 256. */
  connectionsMax?: number;
}

export interface DnsListener {
  port: number;
  /** Resolves when both sockets are closed; open connections are cut. */
  close(): Promise<void>;
}

const IN_FLIGHT_MAX = 1024;
const PORT_TRIES = 20;
const RESPONSES_PER_SECOND = 1000;

/** Rejects with a clear message when the port is taken or may not be used. */
export async function startDnsListener(options: DnsListenerOptions): Promise<DnsListener> {
  const edge = new DnsEdge({
    edge: options.edge,
    token: options.token,
    ...(options.namespace !== undefined && { namespace: options.namespace }),
    timeoutMs: options.timeoutMs ?? 4000,
    inFlightMax: IN_FLIGHT_MAX,
  });
  const { address, family } = await lookup(options.host);
  const { tcp, udp, port } = await bindBoth(address, family === 6, options.port);
  const connections = serveTcp(tcp, edge, options);
  serveUdp(udp, edge, options);
  let closing: Promise<void> | null = null;
  const close = async (): Promise<void> => {
    const closed = Promise.all([once(udp, "close"), once(tcp, "close")]);
    udp.close();
    tcp.close();
    for (const socket of connections) socket.destroy();
    edge.close();
    await closed;
  };
  return { port, close: () => (closing ??= close()) };
}

function serveTcp(server: net.Server, edge: DnsEdge, options: DnsListenerOptions): Set<net.Socket> {
  const connections = new Set<net.Socket>();
  server.maxConnections = options.connectionsMax ?? 256;
  server.on("connection", (socket) => {
    connections.add(socket);
    socket.on("close", () => connections.delete(socket));
    serveDnsConnection(socket, { answer: (query) => edge.ask(query, "tcp"), idleMs: options.idleMs ?? 10_000 });
  });
  // A failed accept (no descriptors left) concerns one connection, not the listener.
  server.on("error", () => {});
  return connections;
}

function serveUdp(socket: dgram.Socket, edge: DnsEdge, options: DnsListenerOptions): void {
  const limit = new ResponseRateLimit(options.responsesPerSecond ?? RESPONSES_PER_SECOND);
  const limitsLoopback = options.responsesPerSecond !== undefined;
  let open = true;
  socket.on("close", () => (open = false));
  // An unreachable client shows up here; it concerns nobody else.
  socket.on("error", () => {});
  const send = (message: Uint8Array, to: dgram.RemoteInfo): void => {
    if (open) socket.send(message, to.port, to.address, () => {});
  };
  socket.on("message", (datagram, from) => {
    // Port 0 cannot be answered.
    if (!isQuery(datagram) || from.port === 0) return;
    const isFree = !limitsLoopback && isLoopback(from.address);
    const verdict = isFree ? "answer" : limit.take(from.address, performance.now());
    if (verdict === "drop") return;
    if (verdict === "truncate") return send(truncatedReply(datagram), from);
    if (datagram.length > QUERY_BYTES_MAX) return send(errorReply(datagram, FORMERR), from);
    void edge.ask(datagram, "udp").then((message) => {
      if (message !== null) send(message.length > 4096 ? errorReply(datagram, SERVFAIL) : message, from);
    });
  });
}

interface Bound {
  tcp: net.Server;
  udp: dgram.Socket;
  port: number;
}

/** The system picks a free TCP port without looking at UDP, so for port 0 the pair is tried until both are free. */
async function bindBoth(address: string, isV6: boolean, port: number): Promise<Bound> {
  for (let tries = 1; ; tries++) {
    const tcp = await bindTcp(address, port);
    const chosen = (tcp.address() as net.AddressInfo).port;
    try {
      return { tcp, udp: await bindUdp(address, isV6, chosen), port: chosen };
    } catch (error) {
      tcp.close();
      if (port !== 0 || tries === PORT_TRIES || !isInUse(error)) throw error;
    }
  }
}

async function bindTcp(address: string, port: number): Promise<net.Server> {
  const server = net.createServer({ allowHalfOpen: true });
  try {
    server.listen({ host: address, port });
    await once(server, "listening");
    return server;
  } catch (error) {
    throw bindError(error, address, port, "tcp");
  }
}

async function bindUdp(address: string, isV6: boolean, port: number): Promise<dgram.Socket> {
  const socket = dgram.createSocket({ type: isV6 ? "udp6" : "udp4", ipv6Only: isV6 });
  try {
    socket.bind({ address, port, exclusive: true });
    await once(socket, "listening");
    return socket;
  } catch (error) {
    socket.close();
    throw bindError(error, address, port, "udp");
  }
}

function bindError(error: unknown, address: string, port: number, transport: string): Error {
  const code = errorCode(error);
  const reasons: Record<string, string> = {
    EADDRINUSE: "is already in use",
    EACCES: "needs more rights than this process has",
    EADDRNOTAVAIL: "is not an address of this machine",
  };
  const reason = reasons[code] ?? `could not be opened (${code})`;
  const message = `dns: ${net.isIPv6(address) ? `[${address}]` : address}:${port} (${transport}) ${reason}`;
  return Object.assign(new Error(message, { cause: error }), { code });
}

const isInUse = (error: unknown): boolean => errorCode(error) === "EADDRINUSE";

function errorCode(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "unknown error";
}

const isLoopback = (address: string): boolean => address === "::1" || address.startsWith("127.");
