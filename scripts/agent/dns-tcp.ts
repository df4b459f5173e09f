/**
 * One client's TCP connection: length-prefixed queries in, replies out, in the order in which they are ready.
 *
 * Bounded against slow and greedy clients: a connection that completes no query and takes no reply for the idle time is
 * cut, however many single bytes it sends; reading pauses while enough is under way, or while replies are not taken.
 * Knows framing only. Source: RFC 7766 (§6.2 connection handling, §7 reordering, §8 the length field).
 */
import type { Socket } from "node:net";
import { MESSAGE_BYTES_MAX, QUERY_BYTES_MAX, isQuery } from "./dns-header.ts";

export interface DnsConnectionOptions {
  /** Null: nothing to answer. */
  answer: (query: Uint8Array) => Promise<Uint8Array | null>;
  idleMs: number;
}

const PREFIX_BYTES = 2;
const IN_FLIGHT_MAX = 16;

/** Serves the socket until either side is done; the socket must allow half-open ends. */
export function serveDnsConnection(socket: Socket, options: DnsConnectionOptions): void {
  let pending: Buffer = Buffer.alloc(0);
  let inFlight = 0;
  let ended = false;
  const idle = setTimeout(() => socket.destroy(), options.idleMs);

  function takeQueries(): void {
    while (inFlight < IN_FLIGHT_MAX && !socket.writableNeedDrain && pending.length >= PREFIX_BYTES) {
      const length = pending.readUInt16BE(0);
      // What cannot be a query ends the connection: behind a broken frame nothing can be trusted.
      if (length > QUERY_BYTES_MAX) return void socket.destroy();
      if (pending.length < PREFIX_BYTES + length) break;
      const query = new Uint8Array(pending.subarray(PREFIX_BYTES, PREFIX_BYTES + length));
      pending = pending.subarray(PREFIX_BYTES + length);
      if (!isQuery(query)) return void socket.destroy();
      idle.refresh();
      inFlight++;
      void reply(query);
    }
    regulate();
  }

  async function reply(query: Uint8Array): Promise<void> {
    const message = await options.answer(query);
    inFlight--;
    if (socket.destroyed) return;
    if (message === null || message.length > MESSAGE_BYTES_MAX) return void socket.destroy();
    const prefix = Buffer.of(message.length >> 8, message.length & 0xff);
    if (socket.write(Buffer.concat([prefix, message]))) idle.refresh();
    takeQueries();
  }

  function regulate(): void {
    if (ended && inFlight === 0 && !socket.writableNeedDrain) socket.end();
    else if (inFlight >= IN_FLIGHT_MAX || socket.writableNeedDrain) socket.pause();
    else socket.resume();
  }

  socket.setNoDelay(true);
  socket.on("data", (chunk: Buffer) => {
    pending = pending.length === 0 ? chunk : Buffer.concat([pending, chunk]);
    takeQueries();
  });
  socket.on("drain", () => {
    idle.refresh();
    takeQueries();
  });
  // A client may send its queries, close its side, and read (RFC 7766 §6.2.4).
  socket.on("end", () => {
    ended = true;
    regulate();
  });
  socket.on("error", () => socket.destroy());
  socket.on("close", () => clearTimeout(idle));
}
