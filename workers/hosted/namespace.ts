/**
 * The namespace's object as the edge runs it: beside what it orders, it writes the streams of those who watch it. So a
 * change is told to a thousand readers without a call for each of them, and written out once.
 *
 * Wiring only. Objects know no wire: what is written is the edge's, and so is who may read it.
 */
import type { Changes, ChangesInput } from "../../objects/core.ts";
import type { Outcome } from "../../objects/errors.ts";
import { HoldfastError } from "../../objects/errors.ts";
import { Namespace as Owner } from "../../objects/namespace.ts";
import type { WatchRange } from "../../objects/store/store.ts";
import { follow, look, Told } from "../api/watch-events.ts";
import type { Authorizer } from "../request/authorizer.ts";
import { authorizerOfHash, ROOT } from "../request/authorizer.ts";
import type { Bindings } from "../request/bindings.ts";
import { Readers } from "./readers.ts";

export interface WatchInput {
  range: WatchRange;
  previous: boolean;
  /** Null: now. */
  since: number | null;
  reader: Reader;
}

/** Who may do everything, and who may do what the holder of this token may; null = who has none. */
export type Reader = "unbounded" | { secretHash: string | null };

export class Namespace extends Owner {
  readonly #bindings: Bindings;
  readonly #readers = new Readers();
  readonly #told = new Told();

  constructor(context: DurableObjectState, bindings: Bindings) {
    super(context, bindings);
    this.#bindings = bindings;
  }

  /** Changes as server-sent events. Codes: those of a first look. */
  async watch({ range, previous, since, reader }: WatchInput): Promise<Outcome<ReadableStream<Uint8Array>>> {
    const watch = {
      range,
      previous,
      changes: (input: ChangesInput, waitMs: number) => this.#changes(input, waitMs),
      reauthorize: () => this.#authorizerOf(reader),
      told: this.#told,
    };
    try {
      const first = await look(watch, since ?? this.revision);
      const value = this.#readers.open((write) => follow(watch, first, write));
      return { ok: true, value, revision: first.revision };
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return { ok: false, error: error.toValue(), revision: this.revision };
    }
  }

  async #changes(input: ChangesInput, waitMs: number): Promise<Changes> {
    const outcome = await this.changes(input, waitMs);
    if (!outcome.ok) throw HoldfastError.fromValue(outcome.error);
    return outcome.value;
  }

  async #authorizerOf(reader: Reader): Promise<Authorizer> {
    if (reader === "unbounded") return ROOT;
    const { namespace, datacenter } = this.name;
    return authorizerOfHash(reader.secretHash, this.#bindings, namespace, datacenter);
  }
}
