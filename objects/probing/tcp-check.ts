/**
 * One run of a TCP check: passing when the connection opens, with TLS when its handshake is done.
 *
 * Refuses to know: schedules, and whose sockets these are.
 */
import { resolveEgress } from "../egress.ts";
import type { EgressPolicy } from "../egress.ts";
import type { TcpCheck } from "../model.ts";
import { cleanOutput, hostAndPort, reasonOf, timeoutOf } from "./output.ts";
import type { RunResult } from "./verdict.ts";

/** What is used of a socket. */
export interface Connection {
  opened: Promise<unknown>;
  closed: Promise<unknown>;
  close(): Promise<unknown>;
}

/** `address` is `host:port`, IPv6 in brackets. With `tls`, `opened` waits for the handshake. */
export type Connect = (address: string, options: { tls: boolean }) => Connection;

/** Never throws. `address` is the instance's, used by a check that names no host. */
export async function runTcpCheck(
  check: TcpCheck,
  address: string,
  policy: EgressPolicy,
  connect: Connect,
): Promise<RunResult> {
  const timeoutMs = timeoutOf(check.timeoutMs);
  const host = check.host === "" ? address : check.host;
  const target = `TCP connect ${hostAndPort(host, check.port)}`;
  let connection: Connection | undefined;
  let timer: ReturnType<typeof setTimeout> | undefined;
  try {
    // The socket resolves texts by rules of its own: it is given what was judged, not what was written.
    const judgedHost = resolveEgress({ protocol: "tcp", host, port: check.port }, policy);
    connection = connect(`${judgedHost}:${check.port}`, { tls: check.tls });
    connection.closed.catch(() => {}); // the same failure as of `opened`, told twice
    const timeout = new Promise<never>((_, reject) => {
      timer = setTimeout(() => reject(new Error(`no connection within ${timeoutMs} ms`)), timeoutMs);
    });
    await Promise.race([connection.opened, timeout]);
    return { status: "passing", output: cleanOutput(`${target}: Success`) };
  } catch (error) {
    return { status: "critical", output: cleanOutput(`${target}: ${reasonOf(error)}`) };
  } finally {
    clearTimeout(timer);
    connection?.opened.catch(() => {}); // may still fail, after the timeout
    connection?.close().catch(() => {});
  }
}
