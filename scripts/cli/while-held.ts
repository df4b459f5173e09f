/**
 * Runs a command while a claim is held, or just holds it: on its loss the command is ended, and what is told is the loss.
 */
import { constants } from "node:os";
import { type Child, start } from "./child.ts";
import { type ClaimCalls, type Held, keep, type Loss, obtain } from "./claim.ts";
import { CommandError, EXIT } from "./exit.ts";
import { errorLine } from "./output.ts";
import { onStop, type StopReason } from "./stop.ts";

export interface WhileHeldOptions {
  calls: ClaimCalls;
  /** As messages call it: `lock "x"`. */
  what: string;
  waitMs: number | null;
  /** Empty: hold it until interrupted. */
  command: readonly string[];
  /** What the command is told. */
  env: (held: Held) => Record<string, string>;
  /** It is held now. */
  onHeld: (held: Held) => unknown;
}

/** Returns the command's exit code; `conflict` when the claim was not to be had, or was lost meanwhile. */
export async function whileHeld(options: WhileHeldOptions): Promise<number> {
  const { calls, what, waitMs, onHeld } = options;
  const end = new AbortController();
  let child: Child | null = null;
  let stopped: StopReason | null = null;
  const stopListening = onStop((reason) => {
    stopped = reason;
    if (child) child.kill(signalOf(reason));
    else end.abort();
  });
  try {
    const held = await obtain(calls, { waitMs, signal: end.signal, onNote: note });
    if (held === null) {
      if (stopped !== null) return 128 + constants.signals[signalOf(stopped)];
      throw new CommandError(`${what} is held by another`, EXIT.conflict);
    }
    const keeping = keep(calls, held, end.signal);
    try {
      await onHeld(held);
      if (options.command.length === 0) return told(what, await keeping) ?? EXIT.ok;
      const [program, ...args] = options.command;
      child = start(program!, args, options.env(held));
      return await endOf(child, keeping, what, end);
    } finally {
      end.abort();
      // What was lost has nothing to give back, and its command has been ended for it.
      if ((await keeping) === null) await calls.release(held.token).catch((error: Error) => note(error.message));
    }
  } finally {
    stopListening();
  }
}

async function endOf(child: Child, keeping: Promise<Loss | null>, what: string, end: AbortController): Promise<number> {
  let killing: ReturnType<typeof setTimeout> | undefined;
  const lost = keeping.then((loss) => {
    const code = told(what, loss);
    if (loss !== null) {
      child.kill("SIGTERM");
      killing = setTimeout(() => child.kill("SIGKILL"), loss.graceMs);
    }
    return code;
  });
  try {
    const code = await child.exit;
    end.abort();
    return (await lost) ?? code;
  } finally {
    clearTimeout(killing);
  }
}

function told(what: string, loss: Loss | null): number | null {
  if (loss === null) return null;
  note(`lost ${what}: ${loss.reason}`);
  return EXIT.conflict;
}

const note = (text: string): unknown => process.stderr.write(errorLine(text));

const signalOf = (reason: StopReason): NodeJS.Signals => (reason === "disconnect" ? "SIGTERM" : reason);
