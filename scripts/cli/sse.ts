/**
 * Server-sent events out of a byte stream. Knows no HTTP and no meaning of an event.
 * Source: WHATWG HTML, section 9.2.6 "Interpreting an event stream".
 */

export interface ServerSentEvent {
  /** `message` when the stream names none. */
  event: string;
  data: string;
  /** The last id seen so far; "" when there was none. */
  id: string;
  /** The reconnection delay the stream asked for last, in milliseconds; null when it did not. */
  retryMs: number | null;
}

/** Two values of 1.5 MiB, base64-encoded and wrapped in JSON, fit. */
const EVENT_CHARS_MAX = 8 * 1024 * 1024;

/** Ends when the stream ends; an event that was not finished by a blank line is dropped, as the standard demands. */
export async function* serverSentEvents(stream: AsyncIterable<Uint8Array>): AsyncGenerator<ServerSentEvent> {
  let event = "";
  let data: string[] = [];
  let chars = 0;
  let id = "";
  let retryMs: number | null = null;
  for await (const line of lines(stream)) {
    if (line === "") {
      if (data.length > 0) yield { event: event || "message", data: data.join("\n"), id, retryMs };
      [event, data, chars] = ["", [], 0];
      continue;
    }
    chars += line.length;
    if (chars > EVENT_CHARS_MAX) throw new Error("the server sent an event that is too large");
    const { field, value } = split(line);
    if (field === "event") event = value;
    else if (field === "data") data.push(value);
    else if (field === "id" && !value.includes("\0")) id = value;
    else if (field === "retry" && /^\d{1,9}$/.test(value)) retryMs = Number(value);
  }
}

function split(line: string): { field: string; value: string } {
  const colon = line.indexOf(":");
  if (colon < 0) return { field: line, value: "" };
  const value = line.slice(colon + 1);
  return { field: line.slice(0, colon), value: value.startsWith(" ") ? value.slice(1) : value };
}

/** Lines end with LF, CRLF or CR; a CR at the end of a chunk waits to see whether its LF follows. */
async function* lines(stream: AsyncIterable<Uint8Array>): AsyncGenerator<string> {
  const decoder = new TextDecoder("utf-8");
  let rest = "";
  for await (const chunk of stream) {
    rest += decoder.decode(chunk, { stream: true });
    const parts = rest.split(/\r\n|\n|\r(?!$)/);
    rest = parts.pop() ?? "";
    yield* parts;
    if (rest.length > EVENT_CHARS_MAX) throw new Error("the server sent a line that is too long");
  }
  if (rest.endsWith("\r")) yield rest.slice(0, -1);
}
