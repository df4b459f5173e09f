/**
 * Services independent of their transport: what is called by which name, and with what.
 *
 * A handler gets a decoded request and answers a message; of a stream it takes and gives async iterables, of which the
 * transport asks for the next when the last has been taken, so a slow reader holds one message and no more. When the
 * caller is gone, the iterable is returned and `call.signal` is aborted.
 */
import type {
  DescMessage,
  DescMethod,
  DescMethodBiDiStreaming,
  DescMethodServerStreaming,
  DescMethodUnary,
  DescService,
  Message,
  MessageInitShape,
  MessageShape,
} from "@bufbuild/protobuf";
import type { Call } from "./call.ts";

/** As much of a message as is said; what is left out has its default. */
export type Init = MessageInitShape<DescMessage>;

type Handler<M> =
  M extends DescMethodUnary<infer I, infer O>
    ? (request: MessageShape<I>, call: Call) => Promise<MessageInitShape<O>>
    : M extends DescMethodServerStreaming<infer I, infer O>
      ? (request: MessageShape<I>, call: Call) => AsyncIterable<MessageInitShape<O>>
      : M extends DescMethodBiDiStreaming<infer I, infer O>
        ? (requests: AsyncIterable<MessageShape<I>>, call: Call) => AsyncIterable<MessageInitShape<O>>
        : never;

/** A handler for every method: one that is missing fails the type check. */
export type Implementation<S extends DescService> = { [K in keyof S["method"]]: Handler<S["method"][K]> };

interface MethodBase {
  input: DescMessage;
  output: DescMessage;
}

export interface UnaryMethod extends MethodBase {
  kind: "unary";
  handle(request: Message, call: Call): Promise<Init>;
}

export type StreamMethod =
  | (MethodBase & { kind: "serverStream"; handle(request: Message, call: Call): AsyncIterable<Init> })
  | (MethodBase & { kind: "bidi"; handle(requests: AsyncIterable<Message>, call: Call): AsyncIterable<Init> });

export type Method = UnaryMethod | StreamMethod;

/** Full method name, `etcdserverpb.KV/Range` → how it is served. */
export type MethodTable = ReadonlyMap<string, Method>;

const KIND = { unary: "unary", server_streaming: "serverStream", bidi_streaming: "bidi" } as const;

export const nameOf = ({ parent, name }: Pick<DescMethod, "parent" | "name">): string => `${parent.typeName}/${name}`;

export function implement<S extends DescService>(service: S, implementation: Implementation<S>): [string, Method][] {
  return service.methods.map((desc): [string, Method] => {
    const { methodKind, input, output, localName } = desc;
    if (methodKind === "client_streaming") throw new Error(`${nameOf(desc)}: no method of etcd is of this kind`);
    const handle = implementation[localName as keyof Implementation<S>];
    // The types of each handler have been checked against its method above.
    return [nameOf(desc), { kind: KIND[methodKind], input, output, handle } as unknown as Method];
  });
}
