/** `holdfast elect`: leads, as long as nothing comes between, with a command or without; or observes who does. */
import type { Command } from "commander";
import type { HoldfastClient } from "../client.ts";
import { addConnectionOptions, connect } from "../connection.ts";
import { usage } from "../exit.ts";
import { follow, parsed } from "../follow.ts";
import type { CommandContext } from "../main.ts";
import { print, printable } from "../output.ts";
import { onStop } from "../stop.ts";
import { whileHeld } from "../while-held.ts";
import { addClaimOptions, callsOf, claimOf, type ClaimOptions, envOf } from "./lock.ts";

interface ElectOptions extends ClaimOptions {
  value?: string;
  observe?: true;
}

export function addElectCommand(program: Command, context: CommandContext): void {
  const elect = program
    .command("elect <name> [command...]")
    .usage("[options] <name> [-- COMMAND...]")
    .description("campaign, and lead until interrupted; with -- COMMAND as long as it runs")
    .option("--value <text>", "what observers are told (default: the owner)")
    .option("--observe", "do not campaign: print who leads, until interrupted")
    .addHelpText(
      "after",
      "\nThe command finds HOLDFAST_ELECTION_NAME, _OWNER, _TOKEN (the fencing token), _LEASE and _FENCE (what to send as" +
        "\nX-Holdfast-Fence) in its environment. Its exit code is passed on; when leadership is lost, it is ended and the exit" +
        "\ncode is 6.",
    );
  addClaimOptions(elect);
  addConnectionOptions(elect).action(async (name: string, command: string[], options: ElectOptions) => {
    if (command.length > 0 && !context.hasSeparator) throw usage(`unexpected "${command[0]}"; a command follows --`);
    if (options.observe && command.length > 0) throw usage("--observe runs no command");
    const client = connect(options, context.env, context.checkout);
    if (options.observe) return observe(client, name, options.json ?? false);
    const { owner, ttl, waitMs } = claimOf(options);
    const code = await whileHeld({
      calls: callsOf(client, "elections", name, owner, { ttl, value: options.value ?? owner }),
      what: `the election "${name}"`,
      waitMs,
      command,
      env: (held) => envOf("election", name, owner, held),
      onHeld: ({ token }) =>
        print(
          options.json ? `${JSON.stringify({ name, owner, token })}\n` : `leading ${printable(name)}, token ${token}\n`,
        ),
    });
    context.exit(code);
  });
}

async function observe(client: HoldfastClient, name: string, isJson: boolean): Promise<void> {
  const end = new AbortController();
  const stopListening = onStop(() => end.abort());
  const open = (lastEventId: string | undefined) => client.observe(name, { lastEventId, signal: end.signal });
  try {
    for await (const { event, data } of follow(open, undefined, end.signal)) {
      if (event === "leader") await print(isJson ? `${data}\n` : leaderLine(parsed(data)));
    }
  } finally {
    stopListening();
  }
}

function leaderLine({ revision, leader }: Record<string, unknown>): string {
  const { owner, token, value } = (leader ?? { owner: "-", token: "-", value: "" }) as Record<string, unknown>;
  return `${[revision, owner, token, value]
    .map((column) => printable(String(column)))
    .join("  ")
    .trimEnd()}\n`;
}
