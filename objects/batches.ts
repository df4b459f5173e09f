/**
 * Batches: one storage transaction, each command in it a commit of its own or nothing. What was committed takes effect in
 * memory when the transaction is through, and not before.
 *
 * Refuses to know: what commands do, and what follows in memory.
 */
import type { CommandName } from "./commands.ts";
import { follow } from "./endings.ts";
import type { Caller } from "./model.ts";
import type { Backend, Commit } from "./store/backend.ts";
import type { Store } from "./store/store.ts";
import type { Context, OverlayTxn } from "./store/txn.ts";

export interface BatchPorts {
  /** Runs `act` in one storage transaction; rolls back when it throws. */
  transaction<T>(act: () => T): T;
  random(length: number): Uint8Array;
}

/** The database failed in the middle of a batch: memory and disk may differ, the object must start again. */
export class StorageFailure extends Error {}

/** What runs without a client. */
const SYSTEM: Caller = { principal: "holdfast:namespace", source: "", dialect: "internal" };

type OwnCommand = "leases.expire" | "leases.suspect" | "snapshot.restore" | "store.compact";

type Act<T> = (txn: OverlayTxn, context: Context) => T;

export interface Origin {
  command: CommandName | OwnCommand;
  caller: Caller;
  requestId?: string | undefined;
}

export class Batches {
  readonly #store: Store;
  readonly #backend: Backend;
  readonly #ports: BatchPorts;
  readonly #takeEffect: (commit: Commit) => void;
  #commits: Commit[] = [];
  #inTransaction = false;

  constructor(store: Store, backend: Backend, ports: BatchPorts, takeEffect: (commit: Commit) => void) {
    this.#store = store;
    this.#backend = backend;
    this.#ports = ports;
    this.#takeEffect = takeEffect;
  }

  run<T>(act: () => T): T {
    const value = this.transaction(act);
    const commits = this.#commits;
    this.#commits = [];
    for (const commit of commits) this.#takeEffect(commit);
    return value;
  }

  /** For what is no commit. */
  transaction<T>(act: () => T): T {
    if (this.#inTransaction) return act();
    this.#inTransaction = true;
    try {
      return this.#ports.transaction(() => this.#backend.batch(act));
    } catch (error) {
      throw new StorageFailure("the storage transaction failed", { cause: error });
    } finally {
      this.#inTransaction = false;
    }
  }

  /** In a batch. */
  commit<T>({ command, caller, requestId }: Origin, now: number, act: Act<T>): T {
    const context: Context = { now, caller, random: (length) => this.#ports.random(length) };
    const { value, commit } = this.#store.run({ command, requestId }, context, (txn) => {
      const answer = act(txn, context);
      follow(txn, context, txn.changes());
      return answer;
    });
    if (commit) this.#commits.push(commit);
    return value;
  }

  /** The same of what nobody asked for. */
  commitOwn<T>(command: Origin["command"], now: number, act: Act<T>): T {
    return this.commit({ command, caller: SYSTEM }, now, act);
  }
}
