/**
 * The little that the agent knows of a DNS message: its header, and where its question ends.
 *
 * Enough to tell a query from noise and to say "failed" or "come back over TCP" when the edge cannot say it. It reads
 * no names: the edge does. Source: RFC 1035 §4.1.
 */

/** What a query may measure at most; the edge refuses larger ones too. */
export const QUERY_BYTES_MAX = 4096;
export const MESSAGE_BYTES_MAX = 65_535;
const HEADER_BYTES = 12;

export const FORMERR = 1;
export const SERVFAIL = 2;

/** Responses are never answered, so that two servers cannot be set on each other with a forged source. */
export function isQuery(message: Uint8Array): boolean {
  return message.length >= HEADER_BYTES && (message[2]! & 0x80) === 0;
}

/** An error reply: the query's id, opcode, RD and question (clients check that it is theirs), no records. */
export function errorReply(query: Uint8Array, rcode: typeof FORMERR | typeof SERVFAIL): Uint8Array {
  return bareReply(query, 0, rcode);
}

/** An empty reply with the TC bit: the client asks again over TCP, where its address cannot be forged. */
export function truncatedReply(query: Uint8Array): Uint8Array {
  return bareReply(query, 0x02, 0);
}

function bareReply(query: Uint8Array, flags: number, rcode: number): Uint8Array {
  const end = questionEnd(query);
  const reply = query.slice(0, end ?? HEADER_BYTES);
  reply[2] = 0x80 | (query[2]! & 0x79) | flags;
  reply[3] = rcode;
  reply.fill(0, 4, HEADER_BYTES);
  if (end !== null) reply[5] = 1;
  return reply;
}

/** Null unless there is exactly one question, written plainly and whole. */
function questionEnd(query: Uint8Array): number | null {
  if (query[4] !== 0 || query[5] !== 1) return null;
  let at = HEADER_BYTES;
  while (at - HEADER_BYTES < 255) {
    const length = query[at];
    if (length === undefined || length > 63) return null;
    if (length === 0) return at + 5 <= query.length ? at + 5 : null;
    at += length + 1;
  }
  return null;
}
