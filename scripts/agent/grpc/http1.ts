/**
 * A client's HTTP/1.1 connection, joined to one of the edge's: every byte as it is. Requests, answers and their chunks keep
 * their borders, which clients of etcd's JSON gateway rely on.
 */
import net from "node:net";

const UNREACHABLE =
  "HTTP/1.1 503 Service Unavailable\r\nconnection: close\r\ncontent-type: text/plain\r\ncontent-length: 28\r\n\r\n" +
  "the edge cannot be reached.\n";

export function pipeToEdge(client: net.Socket, edge: URL): void {
  const host = edge.hostname.replace(/^\[|\]$/g, "");
  const upstream = net.connect({ host, port: Number(edge.port || 80), allowHalfOpen: true, noDelay: true });
  let isJoined = false;
  upstream.once("connect", () => {
    isJoined = true;
    client.pipe(upstream);
    upstream.pipe(client);
  });
  upstream.on("error", () => {
    if (isJoined) client.destroy();
    else client.end(UNREACHABLE);
  });
  // What was answered is still delivered.
  upstream.on("close", () => client.destroySoon());
  client.on("close", () => upstream.destroy());
}
