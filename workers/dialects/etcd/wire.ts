/** Messages in protobuf's binary form, as gRPC carries them. */
import type { DescMessage, Message } from "@bufbuild/protobuf";
import { create, fromBinary, toBinary } from "@bufbuild/protobuf";
import { GRPC } from "../../tunnel/wire/status.ts";
import { EtcdError } from "./errors.ts";
import type { Init } from "./service.ts";

/** Of one message. */
export const MESSAGE_BYTES_MAX = 2 * 1024 * 1024;
/** Nothing but transactions contain themselves, and those not as deep. */
const DEPTH_MAX = 300;

export const messageTooLarge = (bytes: number): EtcdError =>
  new EtcdError(GRPC.resourceExhausted, `grpc: received message larger than max (${bytes} vs. ${MESSAGE_BYTES_MAX})`);

/** Codes: 8 (too large), 13 (not such a message). */
export function readBinary(desc: DescMessage, bytes: Uint8Array): Message {
  if (bytes.length > MESSAGE_BYTES_MAX) throw messageTooLarge(bytes.length);
  try {
    return fromBinary(desc, bytes, { readUnknownFields: false, recursionLimit: DEPTH_MAX });
  } catch (error) {
    throw new EtcdError(GRPC.internal, `grpc: error unmarshalling request: proto: ${(error as Error).message}`);
  }
}

export const writeBinary = (desc: DescMessage, message: Init): Uint8Array => toBinary(desc, create(desc, message));

export const binarySize = (desc: DescMessage, message: Message): number => toBinary(desc, message).length;
