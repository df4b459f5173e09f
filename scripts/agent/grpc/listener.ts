/**
 * A port that speaks two languages: gRPC over HTTP/2 without TLS (prior knowledge, RFC 9113 §3.3) goes through the tunnel;
 * everything else is HTTP/1.1. Of that, too, goes through the tunnel what is plain enough, and the rest to the edge as it
 * is, byte for byte, so that streams both ways and WebSockets work.
 *
 * Knows no service and no dialect. Guards the port: counts, sizes, time.
 */
import { once } from "node:events";
import http2 from "node:http2";
import net from "node:net";
import { serveCall } from "./call.ts";
import { serveHttp1 } from "./http1.ts";
import { Tunnel } from "./tunnel.ts";
import { whenSniffed } from "./sniff.ts";

export interface GrpcListenerOptions {
  /** An address. */
  host: string;
  /** 0 picks one that is free. */
  port: number;
  /** The edge's origin, without TLS: `http://127.0.0.1:8500`. */
  edge: string;
  /** The agent's own. */
  token: string | null;
  /** The namespace of gRPC calls; the edge's default when absent. */
  namespace?: string;
  /** How long a gRPC call waits for the edge; the tunnel's default when absent. */
  waitMs?: number;
}

export interface GrpcListener {
  port: number;
  /** Resolves when the port is free; open connections are cut. */
  close(): Promise<void>;
}

const CONNECTIONS_MAX = 4096;
/** As many as the tunnel carries: a client that needs more would hang without a word. */
const STREAMS_PER_CONNECTION_MAX = 4096;
const HEADER_BYTES_MAX = 32 * 1024;
const HEADER_PAIRS_MAX = 256;
const STREAM_WINDOW_BYTES = 256 * 1024;
/** Per connection, for all that waits to be sent and to be read. */
const SESSION_MEGABYTES_MAX = 64;
/**
 * Calls that a client may call off: at once, and a second. Watches and calls past their deadline are, so it is more than
 * Node's own 33; one that does nothing else is cut off.
 */
const RESETS_AT_ONCE = 2000;
const RESETS_PER_SECOND = 100;
const SILENT_BEFORE_PROBE_MS = 60_000;

/** Rejects when the port cannot be had. */
export async function startGrpcListener(options: GrpcListenerOptions): Promise<GrpcListener> {
  const edge = new URL(options.edge);
  if (edge.protocol !== "http:") throw new Error(`the edge must be an http URL here, not ${options.edge}`);
  const tunnel = new Tunnel(options);
  const sessions = createSessions(tunnel);
  const sockets = new Set<net.Socket>();
  const server = net.createServer({ allowHalfOpen: true, noDelay: true }, (socket) => {
    sockets.add(socket);
    socket.on("close", () => sockets.delete(socket));
    socket.on("error", () => socket.destroy());
    // A client that has vanished must not keep its watches here.
    socket.setKeepAlive(true, SILENT_BEFORE_PROBE_MS);
    whenSniffed(socket, (isHttp2) => {
      if (!isHttp2) return serveHttp1(socket, edge, tunnel);
      socket.allowHalfOpen = false;
      sessions.emit("connection", socket);
    });
  });
  server.maxConnections = CONNECTIONS_MAX;
  // A failed accept concerns one connection, not the listener.
  server.on("error", () => {});
  server.listen({ host: options.host, port: options.port });
  await once(server, "listening");
  const close = async (): Promise<void> => {
    const closed = once(server, "close");
    server.close();
    tunnel.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  };
  return { port: (server.address() as net.AddressInfo).port, close };
}

/** Never listens: it is given connections. Against floods Node counts resets and invalid frames itself. */
function createSessions(tunnel: Tunnel): http2.Http2Server {
  const server = http2.createServer({
    settings: {
      maxConcurrentStreams: STREAMS_PER_CONNECTION_MAX,
      maxHeaderListSize: HEADER_BYTES_MAX,
      initialWindowSize: STREAM_WINDOW_BYTES,
      enablePush: false,
    },
    maxHeaderListPairs: HEADER_PAIRS_MAX,
    streamResetBurst: RESETS_AT_ONCE,
    streamResetRate: RESETS_PER_SECOND,
    maxSessionMemory: SESSION_MEGABYTES_MAX,
    maxSendHeaderBlockLength: 2 * HEADER_BYTES_MAX,
  });
  server.on("stream", (stream, headers) => serveCall(stream, headers, tunnel));
  server.on("sessionError", (_error, session) => session.destroy());
  return server;
}
