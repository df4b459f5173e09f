/** `holdfast watch`: changes as they happen, across lost connections. */
import { setTimeout as sleep } from "node:timers/promises";
import type { Command } from "commander";
import { ApiError, type HoldfastClient } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { CommandError, EXIT, exitCodeOf } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { errorLine, print, printable } from "../output.ts";
import type { ServerSentEvent } from "../sse.ts";
import { onStop } from "../stop.ts";

const RETRY_MS = 1000;
const RETRY_MS_MAX = 30_000;

export function addWatchCommand(program: Command, context: CommandContext): void {
  const watch = program
    .command("watch")
    .description("print changes of keys until interrupted")
    .option("--prefix <prefix>", "only keys that begin so", "")
    .option("--since <revision>", "begin with the first change after this revision");
  type WatchOptions = ConnectionOptions & { prefix: string; since?: string };
  addConnectionOptions(watch).action(async (options: WatchOptions) => {
    const end = new AbortController();
    const stopListening = onStop(() => end.abort());
    const show = options.json ? jsonLine : textLine;
    try {
      const client = connect(options, context.env, context.checkout);
      for await (const event of follow(client, options.prefix, options.since, end.signal)) await print(show(event));
    } catch (error) {
      if (!end.signal.aborted) throw error;
    } finally {
      stopListening();
    }
  });
}

/**
 * Changes in order, each once. Connects again where the last event ended, with growing pauses; rejects when there is no
 * going on (token, compacted history).
 */
export async function* follow(
  client: HoldfastClient,
  prefix: string,
  since: string | undefined,
  signal: AbortSignal,
): AsyncGenerator<ServerSentEvent> {
  let lastEventId = since;
  let failures = 0;
  let pauseMs = RETRY_MS;
  while (!signal.aborted) {
    try {
      for await (const event of client.watch(prefix, { lastEventId, signal })) {
        failures = 0;
        if (event.id !== "") lastEventId = event.id;
        if (event.retryMs !== null) pauseMs = Math.min(event.retryMs, RETRY_MS_MAX);
        if (event.event === "error") throw errorOf(event);
        if (event.event === "put" || event.event === "delete") yield event;
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

/** The edge ends a watch with a problem: what can be retried is, the rest ends the command. */
function errorOf(event: ServerSentEvent): Error {
  const problem = parsed(event.data);
  const message = String(problem["detail"] ?? problem["message"] ?? problem["title"] ?? "the edge ended the watch");
  return new ApiError(message, 0, problem);
}

function jsonLine(event: ServerSentEvent): string {
  return `${JSON.stringify({ event: event.event, revision: Number(event.id), ...parsed(event.data) })}\n`;
}

function textLine(event: ServerSentEvent): string {
  const { key, value } = parsed(event.data);
  const text = typeof value === "string" ? Buffer.from(value, "base64").toString("utf8") : "";
  const columns = [event.id, event.event.padEnd(6), String(key ?? ""), text];
  return `${columns.map(printable).join("  ").trimEnd()}\n`;
}

function parsed(data: string): Record<string, unknown> {
  try {
    const value: unknown = JSON.parse(data);
    return typeof value === "object" && value !== null ? (value as Record<string, unknown>) : { data };
  } catch {
    return { data };
  }
}
