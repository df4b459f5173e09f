/** An HTTP/2 connection to a judged target, for as long as one use of it takes. Knows no request. */
import http2 from "node:http2";
import net, { isIP } from "node:net";
import tls from "node:tls";
import { hostAndPort } from "../../../objects/probing/output.ts";
import { lookupOf, type JudgedTarget } from "./target.ts";

export interface SessionTls {
  tls: boolean;
  tlsSkipVerify: boolean;
  /** "" = the host. */
  tlsServerName: string;
}

/** Rejects when the connection fails, and when `signal` ends it. */
export async function withSession<T>(
  target: JudgedTarget,
  options: SessionTls,
  signal: AbortSignal,
  use: (session: http2.ClientHttp2Session) => Promise<T>,
): Promise<T> {
  signal.throwIfAborted();
  const { promise: failed, reject } = Promise.withResolvers<never>();
  const socket = connect(target, options);
  const host = hostAndPort(options.tlsServerName || target.host, target.port);
  const session = http2.connect(`${options.tls ? "https" : "http"}://${host}`, {
    createConnection: () => socket,
    settings: { enablePush: false },
    maxReservedRemoteStreams: 0,
  });
  session.on("error", reject);
  session.on("close", () => reject(new Error("the connection was closed")));
  const abort = (): void => reject(signal.reason as Error);
  signal.addEventListener("abort", abort, { once: true });
  try {
    return await Promise.race([use(session), failed]);
  } finally {
    signal.removeEventListener("abort", abort);
    session.destroy();
    socket.destroy();
  }
}

function connect(target: JudgedTarget, { tls: isSecure, tlsSkipVerify, tlsServerName }: SessionTls): net.Socket {
  const { host, port } = target;
  const options = { host, port, lookup: lookupOf(target) };
  if (!isSecure) return net.connect(options);
  return tls.connect({
    ...options,
    // An address is no server name (RFC 6066 §3); the certificate is compared with it all the same.
    servername: tlsServerName || (isIP(host) === 0 ? host : ""),
    ALPNProtocols: ["h2"],
    rejectUnauthorized: !tlsSkipVerify,
  });
}
