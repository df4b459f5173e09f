/**
 * One knock at a UDP port, with an empty datagram. Silence is no failure, since few protocols answer to nothing: only a
 * refusal (ICMP port unreachable, RFC 1122 §4.1.3.1) says that nobody is there.
 */
import dgram from "node:dgram";
import type { JudgedTarget } from "./target.ts";

/** Resolves with an answer, or with the silence until `signal` ends it; rejects when the port is refused. */
export async function knock({ addresses, port }: JudgedTarget, signal: AbortSignal): Promise<void> {
  signal.throwIfAborted();
  const { address, family } = addresses[0]!;
  const socket = dgram.createSocket(family === 6 ? "udp6" : "udp4");
  try {
    await new Promise<void>((resolve, reject) => {
      signal.addEventListener("abort", () => resolve(), { once: true });
      socket.on("error", reject);
      socket.on("message", () => resolve());
      socket.connect(port, address, () => socket.send(""));
    });
  } finally {
    socket.close();
  }
}
