/** Which language a connection speaks, told by its first bytes: HTTP/2's preface (RFC 9113 §3.4) or anything else. */
import type { Socket } from "node:net";

const PREFACE = Buffer.from("PRI * HTTP/2.0");
/** Who says nothing for so long is cut. */
const SAYS_WITHIN_MS = 10_000;

/** Calls back once, with every byte still to be read from the socket; never when it closes before. */
export function whenSniffed(socket: Socket, onKind: (isHttp2: boolean) => void): void {
  let read: Buffer = Buffer.alloc(0);
  const overdue = setTimeout(() => socket.destroy(), SAYS_WITHIN_MS);
  const stop = (): void => {
    clearTimeout(overdue);
    socket.off("readable", look);
    socket.off("end", leave);
    socket.off("close", stop);
  };
  const leave = (): void => void socket.destroy();
  function look(): void {
    const chunk = socket.read() as Buffer | null;
    if (chunk === null) return;
    read = read.length === 0 ? chunk : Buffer.concat([read, chunk]);
    const length = Math.min(read.length, PREFACE.length);
    const isLike = read.subarray(0, length).equals(PREFACE.subarray(0, length));
    if (isLike && length < PREFACE.length) return;
    stop();
    socket.unshift(read);
    onKind(isLike);
  }
  socket.on("readable", look);
  socket.on("end", leave);
  socket.on("close", stop);
}
