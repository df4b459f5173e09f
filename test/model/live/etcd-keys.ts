/**
 * Keys by etcd's KV service, over whichever transport. Every answer carries the revision it is of, so all are witnesses. What
 * was not answered is found in the log by its value, which no other call has; deletions by what nobody else accounts for.
 */
import {
  Compare_CompareResult,
  Compare_CompareTarget,
  KV,
  type ResponseHeader,
} from "../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import type { KeyValue } from "../../../workers/dialects/etcd/gen/mvccpb_pb.js";
import type { Call } from "../history.ts";
import type { Random } from "../random.ts";
import type { Log, Seen, Witness } from "../witness.ts";
import { below, bytes, type EtcdTransport, text } from "./etcd-transport.ts";
import { comparedWith, writesOf } from "./keys.ts";
import type { Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

export type EtcdKeyInput =
  | { kind: "range"; key: string }
  | { kind: "list" }
  | { kind: "put"; key: string; value: string }
  | { kind: "delete"; key: string }
  /** If `key` has the revision, all keys are written; else all are read. */
  | { kind: "txn"; key: string; modRevision: number; value: string };

interface EtcdAnswer {
  /** Of the header. */
  revision: number;
  /** Whether it wrote. */
  done: boolean;
  /** Null where nothing was read. */
  records: KeyValue[] | null;
}

const NAMES = ["a", "b", "c", "d"];

export class EtcdKeyWorkload extends RecordedWorkload<EtcdKeyInput, EtcdAnswer> {
  readonly clients = 6;
  readonly prefix: string;
  readonly #transport: EtcdTransport;
  readonly #keys: readonly string[];
  readonly #known = new Map<string, number>();
  #count = 0;

  constructor(name: string, ordeal: Ordeal, transport: EtcdTransport) {
    super(name, ordeal);
    this.prefix = `model/${name}/`;
    this.#transport = transport;
    this.#keys = NAMES.map((key) => this.prefix + key);
  }

  /** etcd knows no request ids. */
  protected override isRepeatable(): boolean {
    return false;
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
    const put = (at: string) => ({ key: bytes(at), value: bytes(value) });
    switch (kind) {
      case "range":
        return this.record(client, { kind, key }, () => this.#range({ key: bytes(key) }));
      case "list":
        return this.record(client, { kind }, () => this.#range(below(this.prefix)));
      case "put":
        return this.record(client, { kind, key, value }, async () => {
          const { header } = await this.#transport.call(KV.method.put, put(key));
          return answerOf(header, true);
        });
      case "delete":
        return this.record(client, { kind, key }, async () => {
          const { header, deleted } = await this.#transport.call(KV.method.deleteRange, { key: bytes(key) });
          return answerOf(header, deleted > 0n);
        });
      case "txn": {
        const modRevision = this.#known.get(key) ?? 0;
        return this.record(client, { kind, key, modRevision, value }, async () => {
          const { header, succeeded, responses } = await this.#transport.call(KV.method.txn, {
            compare: [ifModRevision(key, modRevision)],
            success: this.#keys.map((at) => ({ request: { case: "requestPut" as const, value: put(at) } })),
            failure: [{ request: { case: "requestRange" as const, value: below(this.prefix) } }],
          });
          const read = responses[0]?.response;
          return answerOf(header, succeeded, !succeeded && read?.case === "responseRange" ? read.value.kvs : null);
        });
      }
    }
  }

  async #range(range: { key: Uint8Array; rangeEnd?: Uint8Array }): Promise<EtcdAnswer> {
    const { header, kvs } = await this.#transport.call(KV.method.range, range);
    return answerOf(header, false, kvs);
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
        return revision === undefined ? [] : [{ call, revision, wrote: writesOf(input, this.#keys), saw: new Map() }];
      });
    return [...answered, ...unanswered];
  }

  #witnessOf(call: Call<EtcdKeyInput, EtcdAnswer>, { revision, done, records }: EtcdAnswer): Witness[] {
    const { input } = call;
    if (done) {
      const saw = new Map<string, Seen>();
      if (input.kind === "txn") saw.set(input.key, comparedWith(input.modRevision));
      return [{ call, revision, wrote: writesOf(input, this.#keys), saw }];
    }
    if (input.kind === "delete") return [{ call, revision, wrote: new Map(), saw: new Map([[input.key, null]]) }];
    const all = this.#seenOf(records ?? []);
    const saw = input.kind === "range" ? new Map([[input.key, all.get(input.key) ?? null]]) : all;
    const violates = input.kind === "txn" && (all.get(input.key)?.modRevision ?? 0) === input.modRevision;
    if (violates) throw new Error(`a comparison failed that holds: ${JSON.stringify(call)}`);
    return [{ call, revision, wrote: new Map(), saw }];
  }

  #seenOf(records: readonly KeyValue[]): Map<string, Seen> {
    const found = new Map(records.map((record) => [text(record.key), seenRecord(record)]));
    return new Map(this.#keys.map((key) => [key, found.get(key) ?? null]));
  }
}

const answerOf = (
  header: ResponseHeader | undefined,
  done: boolean,
  records: KeyValue[] | null = null,
): EtcdAnswer => ({ revision: Number(header!.revision), done, records });

const ifModRevision = (key: string, modRevision: number) => ({
  key: bytes(key),
  target: Compare_CompareTarget.MOD,
  result: Compare_CompareResult.EQUAL,
  targetUnion: { case: "modRevision" as const, value: BigInt(modRevision) },
});

const seenRecord = ({ value, modRevision, createRevision, version }: KeyValue): Seen => ({
  value: text(value),
  modRevision: Number(modRevision),
  createRevision: Number(createRevision),
  version: Number(version),
});
