/** What both ends hold a caller's messages to. */
import type { Status } from "./status.ts";
import { GRPC } from "./status.ts";

/** As etcd: 1.5 MiB for a request and half a MiB around it. */
export const MESSAGE_BYTES_MAX = 2 * 1024 * 1024;

export const messageTooLarge = (bytes: number): Status => ({
  code: GRPC.resourceExhausted,
  message: `grpc: received message larger than max (${bytes} vs. ${MESSAGE_BYTES_MAX})`,
});
