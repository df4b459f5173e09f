/**
 * The `holdfast` command: which subcommands there are, and how each ends. What they do is in `commands/` and `../serve/`.
 */
import { Command, CommanderError } from "commander";
import { addServeOptions, serveOptions } from "../serve/options.ts";
import { ApiError } from "./client.ts";
import { addElectCommand } from "./commands/elect.ts";
import { addKvCommands } from "./commands/kv.ts";
import { addLockCommand } from "./commands/lock.ts";
import { addNodesCommand } from "./commands/nodes.ts";
import { addPolicyCommands, addTokenCommands } from "./commands/policy.ts";
import { addQueueCommands } from "./commands/queue.ts";
import { addRegisterCommands } from "./commands/register.ts";
import { addResolveCommands } from "./commands/resolve.ts";
import { addSnapshotCommands } from "./commands/snapshot.ts";
import { addStatusCommand } from "./commands/status.ts";
import { addWatchCommand } from "./commands/watch.ts";
import { CommandError, EXIT, exitCodeOf } from "./exit.ts";
import { errorLine } from "./output.ts";

const EXIT_CODES = `
Exit codes: 0 done, 1 error, 2 wrong usage, 3 not found, 4 no valid token or not allowed,
5 the edge cannot be reached or is overloaded, 6 conflict (exists already, or a compare failed).`;

/** What a subcommand needs of its surroundings, and how it tells its exit code. */
export interface CommandContext {
  checkout: string;
  env: Record<string, string | undefined>;
  /** `--` was given. */
  hasSeparator: boolean;
  /** Default 0. */
  exit(code: number): void;
}

/** Returns the exit code. `checkout` is the folder with workers/ in it. */
export async function main(args: readonly string[], checkout: string): Promise<number> {
  let code: number = EXIT.ok;
  const context: CommandContext = {
    checkout,
    env: process.env,
    hasSeparator: args.includes("--"),
    exit: (value) => (code = value),
  };
  try {
    await createProgram(context).parseAsync(args, { from: "user" });
    return code;
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    process.stderr.write(errorLine((error as Error).message));
    if (error instanceof CommandError) return error.exitCode;
    return error instanceof ApiError ? exitCodeOf(error.code, error.status) : EXIT.error;
  }
}

function createProgram(context: CommandContext): Command {
  const program = new Command("holdfast")
    .description("Service registry, coordination plane and traffic router.")
    .helpCommand(false)
    .addHelpText("after", EXIT_CODES)
    .exitOverride()
    .configureOutput({ outputError: (text, write) => write(errorLine(text.replace(/^error: /, ""))) });
  addServeOptions(program.command("serve").description("run everything on this machine"))
    .addHelpText("after", "\nPrints one line per surface, then `holdfast ready`. SIGTERM or SIGINT ends it.")
    .action(async (flags: Record<string, unknown>) => {
      const { serve } = await import("../serve/serve.ts");
      context.exit(await serve(serveOptions(flags, context.env), context.checkout));
    });
  addRegisterCommands(program, context);
  addResolveCommands(program, context);
  addNodesCommand(program, context);
  addKvCommands(program, context);
  addWatchCommand(program, context);
  addLockCommand(program, context);
  addElectCommand(program, context);
  addQueueCommands(program, context);
  addPolicyCommands(program, context);
  addTokenCommands(program, context);
  addSnapshotCommands(program, context);
  addStatusCommand(program, context);
  return program;
}
