/**
 * A client's connection, joined to one of the edge's: every byte as it is. Requests, answers and their chunks keep their
 * borders, which clients of etcd's JSON gateway rely on.
 */
import net from "node:net";

const UNREACHABLE =
  "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 28\r\n\r\n" +
  "the edge cannot be reached.\n";

/** `read`: what has been read of the client before, to be said first. */
export function pipeToEdge(client: net.Socket, edge: URL, read: Buffer): void {
  const host = edge.hostname.replace(/^\[|\]$/g, "");
  const upstream = net.connect({ host, port: Number(edge.port || 80), allowHalfOpen: true, noDelay: true });
  let isJoined = false;
  upstream.once("connect", () => {
    isJoined = true;
    if (read.length > 0) upstream.write(read);
    // Its end has been heard, and will not be told again.
    if (client.readableEnded) upstream.end();
    else client.pipe(upstream);
    upstream.pipe(client);
  });
  upstream.on("error", () => {
    if (isJoined) client.destroy();
    else client.end(UNREACHABLE);
  });
  // What was answered is still delivered.
  upstream.on("close", () => client.destroySoon());
  // An end could mean that it still reads; only a reset tells the edge that nobody does.
  client.on("close", () => upstream.resetAndDestroy());
}
