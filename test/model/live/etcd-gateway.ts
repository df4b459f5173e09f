/** etcd's JSON gateway as a transport. What is JSON of a message is the protobuf library's say, not the server's. */
import {
  create,
  type DescMessage,
  type DescMethod,
  fromJson,
  type JsonValue,
  type MessageInitShape,
  type MessageShape,
  toJson,
} from "@bufbuild/protobuf";
import { GATEWAY_PATHS } from "../../../workers/dialects/etcd/gateway-paths.ts";
import { nameOf } from "../../../workers/dialects/etcd/service.ts";
import { Unanswered } from "../history.ts";
import { CALL_MS, type EtcdTransport, failureOf, type Method } from "./etcd-transport.ts";
import { isConnectionError } from "./follower.ts";
import type { Ordeal } from "./ordeal.ts";

export class EtcdGateway implements EtcdTransport {
  readonly #ordeal: Ordeal;

  constructor(ordeal: Ordeal) {
    this.#ordeal = ordeal;
  }

  async call<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    input: MessageInitShape<I>,
    ms = CALL_MS,
  ): Promise<MessageShape<O>> {
    const asked = { method: "POST", body: jsonOf(method.input, input), signal: AbortSignal.timeout(ms) };
    const { status, json, text } = await this.#ordeal.send(pathOf(method), asked);
    if (status === 200) return messageOf(method.output, json as JsonValue);
    throw refusalOf(status, json, text);
  }

  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    inputs: readonly MessageInitShape<I>[],
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, undefined> {
    const body = inputs.map((input) => JSON.stringify(jsonOf(method.input, input))).join("");
    try {
      const response = await this.#ordeal.edge.request(pathOf(method), { method: "POST", body, signal });
      if (response.status !== 200) {
        const text = await response.text();
        throw refusalOf(response.status, JSON.parse(text), text);
      }
      for await (const line of linesOf(response)) {
        const { result, error } = JSON.parse(line) as { result?: JsonValue; error?: WireError & { http_code: number } };
        if (error) throw refusalOf(error.http_code, error, line);
        yield messageOf(method.output, result ?? {});
      }
    } catch (error) {
      throw isConnectionError(error) ? new Unanswered(String(error)) : error;
    }
  }
}

interface WireError {
  message: string;
}

/** etcd's "unavailable" does not tell whether the call was carried out. */
const refusalOf = (status: number, json: WireError | undefined, text: string): Error =>
  failureOf(json?.message ?? text, status === 503 || status === 504);

function pathOf(asked: DescMethod): string {
  for (const [path, method] of GATEWAY_PATHS) if (method === nameOf(asked)) return `/v3${path}`;
  throw new Error(`no path is known for ${nameOf(asked)}`);
}

const jsonOf = <I extends DescMessage>(input: I, message: MessageInitShape<I>): JsonValue =>
  toJson(input, create(input, message), { useProtoFieldName: true });

const messageOf = <O extends DescMessage>(output: O, json: JsonValue): MessageShape<O> =>
  fromJson(output, json, { ignoreUnknownFields: true });

async function* linesOf(response: Response): AsyncGenerator<string> {
  let rest = "";
  const decoder = new TextDecoder();
  for await (const chunk of response.body as unknown as AsyncIterable<Uint8Array>) {
    const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
    rest = lines.pop()!;
    yield* lines.filter((line) => line !== "");
  }
}
