/** An HTTP/2 PING (RFC 9113 §6.7), which every peer has to acknowledge. */
import { withSession, type SessionTls } from "./http2-session.ts";
import type { JudgedTarget } from "./target.ts";

export async function ping(target: JudgedTarget, options: SessionTls, signal: AbortSignal): Promise<void> {
  await withSession(
    target,
    options,
    signal,
    (session) =>
      new Promise<void>((resolve, reject) => {
        session.once("connect", () => session.ping((error) => (error ? reject(error) : resolve())));
      }),
  );
}
