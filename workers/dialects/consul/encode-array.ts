/** An array that comes in parts, as JSON: whole when it is one part, else sent as the parts come. */
import { utf8 } from "../../../objects/bytes.ts";
import { encodeJson } from "./encode.ts";
import type { Exchange } from "./exchange.ts";

/** Null when there is nothing in it. */
export async function jsonArrayResponse(
  parts: AsyncGenerator<unknown[]>,
  exchange: Exchange,
): Promise<Response | null> {
  const filled = withoutEmpty(parts);
  const first = await filled.next();
  if (first.done) return null;
  const second = await filled.next();
  if (second.done) return exchange.json(first.value);
  const pretty = exchange.params.has("pretty");
  const texts = textsOf([first.value, second.value], filled, pretty);
  const body = new ReadableStream<Uint8Array>({
    async pull(controller) {
      const { done, value } = await texts.next();
      if (done) controller.close();
      else controller.enqueue(value);
    },
    async cancel() {
      await texts.return(undefined);
    },
  });
  return new Response(body, { headers: { "content-type": "application/json" } });
}

async function* withoutEmpty(parts: AsyncGenerator<unknown[]>): AsyncGenerator<unknown[]> {
  for await (const part of parts) if (part.length > 0) yield part;
}

async function* textsOf(
  begun: unknown[][],
  rest: AsyncGenerator<unknown[]>,
  pretty: boolean,
): AsyncGenerator<Uint8Array, void> {
  const end = pretty ? "\n]\n" : "]";
  let opening = "[";
  async function* all(): AsyncGenerator<unknown[]> {
    yield* begun;
    yield* rest;
  }
  for await (const part of all()) {
    yield utf8(opening);
    // What is between the brackets.
    yield encodeJson(part, pretty).subarray(1, -end.length);
    opening = ",";
  }
  yield utf8(end);
}
