/**
 * Keys by etcd's KV service, over whichever transport. Every answer carries the revision it is of, so all are witnesses. What
 * was not answered is found in the log by its value, which no other call has; deletions by what nobody else accounts for.
 */
import type { Call } from "../history.ts";
import type { Random } from "../random.ts";
import type { Log, Seen, Witness } from "../witness.ts";
import type { Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

export type EtcdKeyInput =
  | { kind: "range"; key: string }
  | { kind: "list" }
  | { kind: "put"; key: string; value: string }
  | { kind: "delete"; key: string }
  /** If `key` has the revision, all keys are written; else all are read. */
  | { kind: "txn"; key: string; modRevision: number; value: string };

export interface EtcdRecord {
  key: string;
  value: string;
  modRevision: number;
  createRevision: number;
  version: number;
}

export interface EtcdAnswer {
  /** Of the header. */
  revision: number;
  /** Whether it wrote. */
  done: boolean;
  /** Null where nothing was read. */
  records: EtcdRecord[] | null;
}

/** Each rejects with `NotApplied` or `Unanswered` when there is no answer. */
export interface EtcdTransport {
  /** One key, or with `end` all up to it. */
  range(key: string, end: string | null): Promise<EtcdAnswer>;
  put(key: string, value: string): Promise<EtcdAnswer>;
  delete(key: string): Promise<EtcdAnswer>;
  txn(
    compare: { key: string; modRevision: number },
    puts: readonly string[],
    value: string,
    otherwise: { key: string; end: string },
  ): Promise<EtcdAnswer>;
}

const NAMES = ["a", "b", "c", "d"];

export class EtcdKeyWorkload extends RecordedWorkload<EtcdKeyInput, EtcdAnswer> {
  readonly clients = 6;
  readonly prefix: string;
  readonly #transport: EtcdTransport;
  readonly #keys: readonly string[];
  readonly #end: string;
  readonly #known = new Map<string, number>();
  #count = 0;

  constructor(name: string, ordeal: Ordeal, transport: EtcdTransport) {
    super(name, ordeal);
    this.prefix = `model/${name}/`;
    this.#transport = transport;
    this.#keys = NAMES.map((key) => this.prefix + key);
    // "0" is the byte after "/".
    this.#end = `model/${name}0`;
  }

  async step(client: number, random: Random): Promise<void> {
    const key = random.pick(this.#keys);
    const value = `${this.name}-${client}:${this.#count++}`;
    const kind = random.pick(["range", "range", "list", "put", "put", "delete", "txn", "txn"] as const);
    const output = await this.#call(client, kind, key, value);
    if (!output) return;
    for (const [seenKey, seen] of this.#seenOf(output.records ?? [])) this.#known.set(seenKey, seen?.modRevision ?? 0);
  }

  #call(client: number, kind: EtcdKeyInput["kind"], key: string, value: string): Promise<EtcdAnswer | null> {
    switch (kind) {
      case "range":
        return this.record(client, { kind, key }, () => this.#transport.range(key, null));
      case "list":
        return this.record(client, { kind }, () => this.#transport.range(this.prefix, this.#end));
      case "put":
        return this.record(client, { kind, key, value }, () => this.#transport.put(key, value));
      case "delete":
        return this.record(client, { kind, key }, () => this.#transport.delete(key));
      case "txn": {
        const modRevision = this.#known.get(key) ?? 0;
        const otherwise = { key: this.prefix, end: this.#end };
        return this.record(client, { kind, key, modRevision, value }, () =>
          this.#transport.txn({ key, modRevision }, this.#keys, value, otherwise),
        );
      }
    }
  }

  /** Against a log of exactly these keys. */
  witnesses(log: Log): Witness[] {
    const answered = this.recorder.calls.flatMap((call) => (call.output ? this.#witnessOf(call, call.output) : []));
    const accounted = new Set(answered.flatMap(({ revision, wrote }) => (wrote.size > 0 ? [revision] : [])));
    const left = log.events.filter(({ revision }) => !accounted.has(revision));
    const byValue = new Map(left.flatMap(({ value, revision }) => (value === null ? [] : [[value, revision]])));
    // Deletions without answer take those that are left of their key, the first called the first: if any assignment agrees
    // with real time, this one does.
    const deletions = Map.groupBy(
      left.filter(({ value }) => value === null),
      ({ key }) => key,
    );
    const unanswered = this.recorder.calls
      .filter(({ outcome }) => outcome === "unknown")
      .flatMap((call): Witness[] => {
        const { input } = call;
        const revision =
          input.kind === "delete"
            ? deletions.get(input.key)?.shift()?.revision
            : "value" in input
              ? byValue.get(input.value)
              : undefined;
        return revision === undefined ? [] : [{ call, revision, wrote: this.#writesOf(input), saw: new Map() }];
      });
    return [...answered, ...unanswered];
  }

  #witnessOf(call: Call<EtcdKeyInput, EtcdAnswer>, { revision, done, records }: EtcdAnswer): Witness[] {
    const { input } = call;
    if (done) {
      const saw = new Map<string, Seen>();
      if (input.kind === "txn") saw.set(input.key, input.modRevision === 0 ? null : { modRevision: input.modRevision });
      return [{ call, revision, wrote: this.#writesOf(input), saw }];
    }
    if (input.kind === "delete") return [{ call, revision, wrote: new Map(), saw: new Map([[input.key, null]]) }];
    const all = this.#seenOf(records ?? []);
    const saw = input.kind === "range" ? new Map([[input.key, all.get(input.key) ?? null]]) : all;
    const violates = input.kind === "txn" && (all.get(input.key)?.modRevision ?? 0) === input.modRevision;
    if (violates) throw new Error(`a comparison failed that holds: ${JSON.stringify(call)}`);
    return [{ call, revision, wrote: new Map(), saw }];
  }

  #seenOf(records: readonly EtcdRecord[]): Map<string, Seen> {
    const found = new Map(records.map(({ key, ...seen }) => [key, seen]));
    return new Map(this.#keys.map((key) => [key, found.get(key) ?? null]));
  }

  #writesOf(input: EtcdKeyInput): ReadonlyMap<string, string | null> {
    switch (input.kind) {
      case "range":
      case "list":
        return new Map();
      case "put":
        return new Map([[input.key, input.value]]);
      case "delete":
        return new Map([[input.key, null]]);
      case "txn":
        return new Map(this.#keys.map((key) => [key, input.value]));
    }
  }
}
