/** `holdfast watch`: changes as they happen, across lost connections. */
import type { Command } from "commander";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { follow, parsed } from "../follow.ts";
import type { CommandContext } from "../main.ts";
import { print, printable } from "../output.ts";
import type { ServerSentEvent } from "../sse.ts";
import { onStop } from "../stop.ts";

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
      const open = (lastEventId: string | undefined) =>
        client.watch(options.prefix, { lastEventId, signal: end.signal });
      for await (const event of follow(open, options.since, end.signal)) {
        if (event.event === "put" || event.event === "delete") await print(show(event));
      }
    } catch (error) {
      if (!end.signal.aborted) throw error;
    } finally {
      stopListening();
    }
  });
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
