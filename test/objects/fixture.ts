/** A namespace without a runtime: the core over SQLite in memory, and a clock that only the test moves. */
import { crc32 } from "node:zlib";
import type {
  Call,
  CommandInput,
  CommandName,
  CommandOutput,
  QueryInput,
  QueryName,
  QueryOutput,
} from "../../objects/commands.ts";
import { Core } from "../../objects/core.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { RegisteredInstance } from "../../objects/model.ts";
import type { InstanceSpec } from "../../objects/registry/spec.ts";
import { CALLER, context, MemoryDatabase, sha256 } from "./store/memory.ts";

export class World {
  readonly database = new MemoryDatabase();
  now = 1_700_000_000_000;
  core = this.#open();

  #open(): Core {
    const { database } = this;
    return new Core(
      {
        database,
        transaction: (act) => database.transaction(act),
        checksum: crc32,
        digest: sha256,
        random: (length) => context().random(length),
        sizeMax: Number.MAX_SAFE_INTEGER,
      },
      this.now,
    );
  }

  /** The process ends without a word, `downMs` pass, and it starts on the same disk. */
  crash(downMs = 0): void {
    this.now += downMs;
    this.core = this.#open();
  }

  /** Time passes as in a running object: whatever is due is done when it is due. */
  pass(ms: number): void {
    const until = this.now + ms;
    for (;;) {
      const next = Math.min(this.core.nextDeadlineAt() ?? Infinity, this.core.nextMaintenanceAt() ?? Infinity);
      if (next > until) break;
      this.now = Math.max(this.now, next);
      while (this.core.settle(this.now));
      this.core.maintain(this.now);
    }
    this.now = until;
  }

  run<N extends CommandName>(command: N, input: CommandInput<N>, requestId?: string): CommandOutput<N> {
    const call = { command, input, caller: CALLER, requestId } as Call;
    const result = this.core.execute([call], this.now)[0]!;
    if (!result.ok) throw HoldfastError.fromValue(result.error);
    return result.value as CommandOutput<N>;
  }

  ask<N extends QueryName>(query: N, input: QueryInput<N>): QueryOutput<N> {
    return this.core.query(query, input, this.now);
  }

  register(id: string, spec: Partial<InstanceSpec> = {}): RegisteredInstance {
    return this.run("registry.register", { service: "web", id, address: "192.0.2.1", ports: { default: 80 }, ...spec });
  }

  /** Ids of the service's instances, as a resolver would see them now. */
  ids(service = "web"): string[] {
    return this.instances(service).map(({ id }) => id);
  }

  instances(service = "web"): RegisteredInstance[] {
    return this.core.query("registry.view", { service }, this.now).instances;
  }

  beat(...ids: string[]): number {
    return this.core.heartbeat(
      ids.map((id) => ({ service: "web", id })),
      this.now,
    ).renewed;
  }
}

export function codeOf(act: () => unknown): string {
  try {
    act();
  } catch (error) {
    if (error instanceof HoldfastError) return error.code;
    throw error;
  }
  return "none";
}
