/** Server-sent events across lost connections. Knows no terminal, and of an event nothing but that an `error` ends all. */
import { setTimeout as sleep } from "node:timers/promises";
import { ApiError } from "./client.ts";
import { CommandError, EXIT, exitCodeOf } from "./exit.ts";
import { errorLine } from "./output.ts";
import type { ServerSentEvent } from "./sse.ts";

const RETRY_MS = 1000;
const RETRY_MS_MAX = 30_000;

/**
 * Events in order, each once. Connects again where the last event ended, with growing pauses; rejects when there is no
 * going on (token, compacted history).
 */
export async function* follow(
  open: (lastEventId: string | undefined) => AsyncGenerator<ServerSentEvent>,
  since: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  let lastEventId = since;
  let failures = 0;
  let pauseMs = RETRY_MS;
  while (!signal.aborted) {
    try {
      for await (const event of open(lastEventId)) {
        failures = 0;
        if (event.id !== "") lastEventId = event.id;
        if (event.retryMs !== null) pauseMs = Math.min(event.retryMs, RETRY_MS_MAX);
        if (event.event === "error") throw errorOf(event);
        yield event;
      }
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof ApiError && exitCodeOf(error.code, error.status) !== EXIT.unavailable) throw error;
      if (error instanceof CommandError) throw error;
      if (failures === 0) process.stderr.write(errorLine(`${(error as Error).message}; connecting again`));
    }
    const spread = 0.5 + Math.random() / 2;
    await sleep(Math.min(pauseMs * 2 ** failures++, RETRY_MS_MAX) * spread, undefined, { signal }).catch(() => {});
  }
}

/** The edge ends a stream with a problem: what can be retried is, the rest ends the command. */
function errorOf(event: ServerSentEvent): Error {
  const problem = parsed(event.data);
  const message = String(problem["detail"] ?? problem["message"] ?? problem["title"] ?? "the edge ended the stream");
  return new ApiError(message, 0, problem);
}

/** An event's data as an object, whatever came. */
export function parsed(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : { data };
  } catch {
    return { data };
  }
}
