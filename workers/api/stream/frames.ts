/**
 * What goes over a stream: JSON texts, one a message. A client sends calls, cancellations and signs of life; it is sent
 * replies, events and what has become of its leases.
 *
 * Refuses to know: what operations there are.
 */
import { z } from "@hono/zod-openapi";
import { toBase64 } from "../../../objects/bytes.ts";
import type { HoldfastError } from "../../../objects/errors.ts";
import { parseJson } from "../../request/body.ts";
import { problemOf } from "../../request/problem.ts";
import { textIn } from "../convert.ts";
import { REVISION_MAX } from "../route.ts";
import * as schema from "../schemas.ts";

const id = z.union([z.string().min(1).max(64), z.number().int().min(0).max(REVISION_MAX)]);
export type CallId = z.infer<typeof id>;

const visible = (max: number) =>
  z
    .string()
    .regex(/^[\x20-\x7e]*$/, "must be visible ASCII characters")
    .max(max);

export const callFrame = z
  .strictObject({
    id: id.describe("Chosen by the client; of one call at a time"),
    op: z.string().max(64).describe("The operation's id in this document"),
    params: z.record(z.string(), z.string()).optional().describe("Of the operation's path, as they are"),
    query: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).optional(),
    body: z.unknown().optional().describe("As over HTTP; where that takes bytes, a text"),
    bodyBase64: z.string().optional().describe("Instead of body, where HTTP takes bytes"),
    idempotencyKey: visible(128).optional(),
    fence: visible(8300).optional().describe("As X-Holdfast-Fence"),
  })
  .openapi("StreamCall");
export type CallFrame = z.infer<typeof callFrame>;

const cancelFrame = z.strictObject({ cancel: id.describe("A call that is to wait no longer, or a subscription") });
const pongFrame = z.strictObject({ pong: z.number().int().min(0).max(REVISION_MAX).describe("As in the ping") });

const replyFrame = z
  .object({
    id,
    status: z.number().int(),
    revision: z.number().int().optional(),
    value: z.unknown().optional().describe("The operation's response"),
    valueBase64: z.string().optional().describe("Instead of value: bytes that are no text"),
    retryAfter: z.number().int().optional().describe("Seconds"),
    error: schema.problem.optional(),
  })
  .openapi("StreamReply");
const eventFrame = z
  .object({
    id,
    event: z.string(),
    revision: z.number().int().optional().describe("Nothing up to it is still to be told: resume after it"),
    data: z.unknown(),
  })
  .openapi("StreamEvent");
const lostFrame = z.object({ lost: z.string().describe("A lease that is renewed no longer"), error: schema.problem });
const pingFrame = z.object({
  ping: z.number().int().describe("To be answered by a pong, in order with what was read"),
});

/** For the OpenAPI document. */
export const clientFrame = z.union([callFrame, cancelFrame, pongFrame]).openapi("StreamClientFrame");
export const serverFrame = z.union([replyFrame, eventFrame, lostFrame, pingFrame]).openapi("StreamServerFrame");

/** Made once: to make a schema takes longer than to read a frame by it. */
const uncalledFrame = z.union([cancelFrame, pongFrame]);

export type ClientFrame = { cancel: CallId } | { pong: number } | { id: CallId; call: unknown };

/** What cannot be answered: nobody can tell which call it is about. */
export class FrameError extends Error {}

/** The call is still to be validated. Throws FrameError, and HoldfastError where it is not JSON. */
export function readFrame(text: string): ClientFrame {
  const frame = parseJson(text);
  if (isCall(frame)) return { id: frame.id, call: frame };
  const other = uncalledFrame.safeParse(frame);
  if (other.success) return other.data;
  throw new FrameError("a frame has an id, or is a cancel or a pong");
}

const isCall = (frame: unknown): frame is { id: CallId } =>
  typeof frame === "object" && frame !== null && "id" in frame && id.safeParse(frame.id).success;

export const replyText = (callId: CallId, status: number, revision: number | undefined, value: unknown): string =>
  JSON.stringify({ id: callId, status, revision, value });

/** Of an operation that answers bytes. */
export function bytesText(callId: CallId, { status, headers }: Response, bytes: Uint8Array): string {
  const revision = Number(headers.get("x-holdfast-mod-revision"));
  const value = textIn(bytes);
  return JSON.stringify({
    id: callId,
    status,
    revision,
    ...(value === null ? { valueBase64: toBase64(bytes) } : { value }),
  });
}

export function errorText(callId: CallId, error: HoldfastError): string {
  const problem = problemOf(error);
  const retryAfter = error.retryAfterMs === undefined ? undefined : Math.ceil(error.retryAfterMs / 1000);
  return JSON.stringify({ id: callId, status: problem.status, retryAfter, error: problem });
}

export const lostText = (lease: string, error: HoldfastError): string =>
  JSON.stringify({ lost: lease, error: problemOf(error) });
