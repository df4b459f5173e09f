/** `holdfast lock`: runs a command while a lock is held, or tells who holds one. */
import { randomUUID } from "node:crypto";
import { hostname } from "node:os";
import type { Command } from "commander";
import type { ClaimCalls, Held } from "../claim.ts";
import type { ClaimOutput, HoldfastClient, LockOutput } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { seconds } from "../duration.ts";
import { usage } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { whileHeld } from "../while-held.ts";
import { wholeNumber } from "./values.ts";

export interface ClaimOptions extends ConnectionOptions {
  owner?: string;
  ttl: string;
  try?: true;
  wait?: string;
}

interface LockOptions extends ClaimOptions {
  shared?: true;
  exclusive?: true;
  limit?: string;
  permits?: string;
}

export function addLockCommand(program: Command, context: CommandContext): void {
  const lock = program
    .command("lock <name> [command...]")
    .usage("[options] <name> [-- COMMAND...]")
    .description("run a command while holding a lock; without one, tell who holds it and who waits")
    .option("--shared", "read: shared with other readers, not with a writer")
    .option("--exclusive", "write: excludes readers, too")
    .option("--limit <n>", "a semaphore with so many permits")
    .option("--permits <n>", "how many of them to take (default: 1)")
    .addHelpText(
      "after",
      "\nThe command finds HOLDFAST_LOCK_NAME, _OWNER, _TOKEN (the fencing token), _LEASE and _FENCE (what to send as" +
        "\nX-Holdfast-Fence) in its environment. Its exit code is passed on; when the lock is lost, it is ended and the exit" +
        "\ncode is 6.",
    );
  addClaimOptions(lock);
  addConnectionOptions(lock).action(async (name: string, command: string[], options: LockOptions) => {
    if (command.length > 0 && !context.hasSeparator) throw usage(`unexpected "${command[0]}"; a command follows --`);
    const client = connect(options, context.env, context.checkout);
    if (command.length === 0) {
      const { value } = await client.lock(name);
      return print(options.json ? json(value) : listing(value));
    }
    const { owner, ttl, waitMs } = claimOf(options);
    const code = await whileHeld({
      calls: callsOf(client, "locks", name, owner, { ttl, ...termsOf(options) }),
      what: `lock "${name}"`,
      waitMs,
      command,
      env: (held) => envOf("lock", name, owner, held),
      onHeld: () => {},
    });
    context.exit(code);
  });
}

/** Of everything that waits for its turn and then keeps it. */
export function addClaimOptions(command: Command): Command {
  return command
    .option("--ttl <duration>", "how long it is held without a sign of life", "15s")
    .option("--try", "do not wait")
    .option("--wait <duration>", "wait at most so long (default: as long as it takes)")
    .option("--owner <name>", "(default: this machine and process)");
}

export function claimOf({ owner, ttl, try: isTry, wait }: ClaimOptions): {
  owner: string;
  ttl: number;
  waitMs: number | null;
} {
  if (isTry && wait !== undefined) throw usage("--try and --wait exclude one another");
  const waitMs = isTry ? 0 : wait === undefined ? null : seconds(wait, "--wait") * 1000;
  // Two processes with one name would be one owner.
  const unique = randomUUID().slice(0, 8);
  return { owner: owner ?? `${hostname()}-${process.pid}-${unique}`, ttl: seconds(ttl, "--ttl"), waitMs };
}

/** What is asked of the edge for a lock, or for leadership. */
export function callsOf(
  client: HoldfastClient,
  kind: "locks" | "elections",
  name: string,
  owner: string,
  terms: object,
): ClaimCalls {
  const isLock = kind === "locks";
  return {
    ask: (wait, options) =>
      client.claim(kind, name, isLock ? "acquire" : "campaign", { owner, wait, stay: wait > 0, ...terms }, options),
    renew: (token, options) => client.claim(kind, name, "renew", { owner, token }, options),
    release: (token) =>
      client.claim(kind, name, isLock ? "release" : "resign", { owner, token, ...(isLock && { all: true }) }),
    async withdraw() {
      type Withdrawn = Record<"claim" | "candidate", ClaimOutput | null>;
      const { value } = await client.claim<Withdrawn>(kind, name, "withdraw", { owner });
      return isLock ? value.claim : value.candidate;
    },
  };
}

/** What a command is told of the claim under which it runs. */
export function envOf(kind: "lock" | "election", name: string, owner: string, held: Held): Record<string, string> {
  const prefix = `HOLDFAST_${kind.toUpperCase()}`;
  const token = String(held.token);
  return {
    [`${prefix}_NAME`]: name,
    [`${prefix}_OWNER`]: owner,
    [`${prefix}_TOKEN`]: token,
    [`${prefix}_LEASE`]: held.lease,
    [`${prefix}_FENCE`]: `${kind}/${encodeURIComponent(name)} ${token} ${encodeURIComponent(owner)}`,
  };
}

function termsOf({ shared, exclusive, limit, permits }: LockOptions): object {
  const kinds = [shared, exclusive, limit].filter((given) => given !== undefined);
  if (kinds.length > 1) throw usage("--shared, --exclusive and --limit exclude one another");
  if (permits !== undefined && limit === undefined) throw usage("--permits belongs to --limit");
  if (shared || exclusive) return { kind: "readWrite", mode: shared ? "read" : "write" };
  if (limit === undefined) return {};
  return {
    kind: "semaphore",
    limit: wholeNumber(limit, "--limit"),
    ...(permits !== undefined && { permits: wholeNumber(permits, "--permits") }),
  };
}

function listing({ holders, waiters }: LockOutput): string {
  const row = (state: string) => (claim: ClaimOutput) => [
    state,
    claim.owner,
    claim.token === null ? "" : String(claim.token),
    String(claim["mode"] ?? claim["permits"] ?? ""),
    claim.since,
  ];
  return table(
    ["STATE", "OWNER", "TOKEN", "EXTENT", "SINCE"],
    [...holders.map(row("holds")), ...waiters.map(row("waits"))],
  );
}
