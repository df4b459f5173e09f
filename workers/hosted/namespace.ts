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
import type { Authorizer, Resolve } from "../request/authorizer.ts";
import { authorizerOfHash, forgetAuthorizers, ROOT } from "../request/authorizer.ts";
import type { Bindings } from "../request/bindings.ts";
import { primaryOf } from "../request/datacenter.ts";
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
  #rightsRevision = 0;

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
    return valueOf(await this.changes(input, waitMs));
  }

  async #authorizerOf(reader: Reader): Promise<Authorizer> {
    if (reader === "unbounded") return ROOT;
    const { namespace, datacenter } = this.name;
    // The owner knows of a change at once.
    const { rightsRevision } = this;
    if (rightsRevision !== this.#rightsRevision) forgetAuthorizers(namespace);
    this.#rightsRevision = rightsRevision;
    const resolve = datacenter === primaryOf(this.#bindings) ? this.#resolve : undefined;
    return authorizerOfHash(reader.secretHash, this.#bindings, namespace, datacenter, resolve);
  }

  readonly #resolve: Resolve = async (secretHash) => valueOf(await this.query("policy.resolve", { secretHash }));
}

function valueOf<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw HoldfastError.fromValue(outcome.error);
  return outcome.value;
}
