/**
 * Server-sent events of a subscription, taken apart again: over a stream they are frames. Only our own are read here, each
 * with one line of data.
 */

export interface StreamedEvent {
  event: string;
  /** As it is sent: JSON. */
  data: string;
  id: string | null;
}

export async function* eventsOf(body: ReadableStream<Uint8Array>): AsyncGenerator<StreamedEvent, void> {
  let rest = "";
  for await (const chunk of body.pipeThrough(new TextDecoderStream())) {
    const blocks = (rest + chunk).split("\n\n");
    rest = blocks.pop()!;
    for (const block of blocks) {
      const fields = new Map(block.split("\n").map(fieldOf));
      const data = fields.get("data");
      if (data !== undefined) yield { event: fields.get("event")!, data, id: fields.get("id") ?? null };
    }
  }
}

function fieldOf(line: string): [string, string] {
  const at = line.indexOf(": ");
  return [line.slice(0, at), line.slice(at + 2)];
}
