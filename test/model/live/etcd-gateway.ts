/**
 * etcd's JSON gateway as a transport. What is JSON of a message is the protobuf library's say, not the server's.
 *
 * Who gives up resets the connection, as when its process is ended: that it will say nothing more is no news to a server that
 * has heard all of the request.
 */
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
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
import { TOKEN } from "../../edge.ts";
import { KV, Lease, Watch } from "../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import { Election } from "../../../workers/dialects/etcd/gen/v3electionpb_pb.js";
import { Lock } from "../../../workers/dialects/etcd/gen/v3lockpb_pb.js";
import { Unanswered } from "../history.ts";
import { CALL_MS, type EtcdTransport, failureOf, type Method } from "./etcd-transport.ts";
import type { Ordeal } from "./ordeal.ts";

const PATHS: ReadonlyMap<DescMethod, string> = new Map<DescMethod, string>([
  [KV.method.range, "kv/range"],
  [KV.method.put, "kv/put"],
  [KV.method.deleteRange, "kv/deleterange"],
  [KV.method.txn, "kv/txn"],
  [Lease.method.leaseGrant, "lease/grant"],
  [Lease.method.leaseRevoke, "lease/revoke"],
  [Lease.method.leaseKeepAlive, "lease/keepalive"],
  [Watch.method.watch, "watch"],
  [Lock.method.lock, "lock/lock"],
  [Lock.method.unlock, "lock/unlock"],
  [Election.method.campaign, "election/campaign"],
  [Election.method.proclaim, "election/proclaim"],
  [Election.method.leader, "election/leader"],
  [Election.method.observe, "election/observe"],
  [Election.method.resign, "election/resign"],
]);

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
    for await (const json of this.#answers(method, [input], AbortSignal.timeout(ms)))
      return messageOf(method.output, json);
    throw new Unanswered("no answer");
  }

  async *stream<I extends DescMessage, O extends DescMessage>(
    method: Method<I, O>,
    inputs: readonly MessageInitShape<I>[],
    signal: AbortSignal,
  ): AsyncGenerator<MessageShape<O>, undefined> {
    for await (const json of this.#answers(method, inputs, signal))
      yield messageOf(method.output, (json as { result: JsonValue }).result);
  }

  /** A line each. */
  async *#answers<I extends DescMessage>(
    method: Method<I, DescMessage>,
    inputs: readonly MessageInitShape<I>[],
    signal: AbortSignal,
  ): AsyncGenerator<JsonValue, undefined> {
    const headers = { authorization: TOKEN };
    const asked = request(this.#ordeal.edge.address + pathOf(method), { method: "POST", headers });
    const giveUp = (): void => void (asked.socket?.resetAndDestroy() ?? asked.destroy());
    signal.addEventListener("abort", giveUp);
    // Told where the answer is awaited; afterwards nobody cares.
    asked.on("error", () => {});
    asked.end(inputs.map((input) => JSON.stringify(jsonOf(method.input, input))).join(""));
    let isWhole = false;
    try {
      for await (const line of linesOf(asked)) {
        const json = JSON.parse(line) as JsonValue;
        const error = errorIn(json);
        if (error) throw failureOf(error.message, LOST.includes(error.code));
        yield json;
      }
      isWhole = true;
    } finally {
      signal.removeEventListener("abort", giveUp);
      if (!isWhole) giveUp();
    }
  }
}

/** As gRPC has them: unavailable, and out of time. */
const LOST = [14, 4];

interface WireError {
  code: number;
  message: string;
}

/** Of a stream it is wrapped. */
function errorIn(json: JsonValue): WireError | undefined {
  const { error } = json as { error?: string | WireError };
  return typeof error === "string" ? (json as unknown as WireError) : error;
}

function pathOf(method: DescMethod): string {
  const path = PATHS.get(method);
  if (path === undefined) throw new Error(`no path is known for ${method.name}`);
  return `/v3/${path}`;
}

const jsonOf = <I extends DescMessage>(input: I, message: MessageInitShape<I>): JsonValue =>
  toJson(input, create(input, message), { useProtoFieldName: true });

const messageOf = <O extends DescMessage>(output: O, json: JsonValue): MessageShape<O> =>
  fromJson(output, json, { ignoreUnknownFields: true });

async function* linesOf(asked: ReturnType<typeof request>): AsyncGenerator<string, undefined> {
  let rest = "";
  try {
    const [response] = (await once(asked, "response")) as [IncomingMessage];
    response.setEncoding("utf8");
    for await (const chunk of response) {
      const lines = (rest + chunk).split("\n");
      rest = lines.pop()!;
      yield* lines.filter((line) => line !== "");
    }
    if (rest !== "") yield rest;
  } catch (error) {
    throw new Unanswered(String(error));
  }
}
