/**
 * Every method as a gRPC service behind the tunnel: its messages in protobuf, its errors as a status.
 *
 * Refuses to know: what methods do, and how the calls arrive.
 */
import type { Message } from "@bufbuild/protobuf";
import type { Bindings } from "../../request/bindings.ts";
import type { Line } from "../../request/line.ts";
import type { Call as TunnelCall, Handler, Reply, Services } from "../../tunnel/calls.ts";
import { textOf } from "../../tunnel/wire/metadata.ts";
import type { Status } from "../../tunnel/wire/status.ts";
import { OK } from "../../tunnel/wire/status.ts";
import { Call } from "./call.ts";
import { GRPC } from "../../tunnel/wire/status.ts";
import { EtcdError, wordsOf } from "./errors.ts";
import { METHODS } from "./methods.ts";
import type { Method } from "./service.ts";
import { readBinary, writeBinary } from "./wire.ts";

/** `request` has opened the tunnel; who calls is told by each call's own metadata. */
export function etcdServices(
  request: Request,
  { env, namespace, line }: { env: Bindings; namespace: string; line: Line },
): Services {
  const services = new Map<string, Map<string, Handler>>();
  for (const [name, method] of METHODS) {
    const [service = "", methodName = ""] = name.split("/");
    const handler: Handler = (ending, reply) => {
      const metadata = { get: (header: string) => textOf(ending.metadata, header) };
      const call = new Call({ request, metadata, env, namespace, ending, line });
      return answer(method, ending.messages, call, reply);
    };
    const methods = services.get(service) ?? new Map<string, Handler>();
    services.set(service, methods.set(methodName, handler));
  }
  return services;
}

async function answer(method: Method, messages: TunnelCall["messages"], call: Call, reply: Reply): Promise<Status> {
  const send = (message: Parameters<typeof writeBinary>[1]): Promise<void> =>
    reply.sendMessage(writeBinary(method.output, message));
  try {
    if (method.kind === "bidi") {
      for await (const message of method.handle(decoded(method, messages), call)) await send(message);
      return OK;
    }
    const { value } = await messages.next();
    if (!value) throw new EtcdError(GRPC.internal, "unexpected EOF");
    call.messageBytes = value.length;
    const request = readBinary(method.input, value);
    if (method.kind === "unary") await send(await method.handle(request, call));
    else for await (const message of method.handle(request, call)) await send(message);
    return OK;
  } catch (error) {
    // Whatever it was, nobody hears it.
    if (call.signal.aborted) return CANCELED;
    const { code, message } = wordsOf(error);
    return { code, message };
  }
}

const CANCELED: Status = { code: GRPC.cancelled, message: "context canceled" };

async function* decoded({ input }: Method, messages: TunnelCall["messages"]): AsyncGenerator<Message> {
  for await (const bytes of messages) yield readBinary(input, bytes);
}
