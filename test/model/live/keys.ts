/** Keys over the native API: calls of concurrent clients, what the audit log says of those that were not answered, watches. */
import type { Asked } from "../../edge.ts";
import type { Call } from "../history.ts";
import type { Random } from "../random.ts";
import type { Seen, Witness } from "../witness.ts";
import { API, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

type KeyInput =
  | { kind: "get"; key: string; strong: boolean }
  | { kind: "list"; strong: boolean }
  | { kind: "put"; key: string; value: string; cas: number | null }
  | { kind: "delete"; key: string }
  /** If `key` has the revision, all keys are written; else all are read. */
  | { kind: "txn"; key: string; modRevision: number; value: string };

type SeenRecord = Required<NonNullable<Seen>>;

interface KeyOutput {
  /** Told by the answer: of a put its own, of reads the store's. */
  revision: number | null;
  /** Whether it wrote. */
  done: boolean;
  /** By key; null = absent. */
  seen: Record<string, Seen>;
}

interface WireRecord {
  key: string;
  value: string;
  modRevision: number;
  createRevision: number;
  version: number;
}

const NAMES = ["a", "b", "c", "d", "e"];

export class KeyWorkload extends RecordedWorkload<KeyInput, KeyOutput> {
  readonly clients = 8;
  readonly prefix: string;
  readonly #keys: readonly string[];
  readonly #known = new Map<string, number>();
  #count = 0;

  constructor(ordeal: Ordeal, prefix = "model/kv/") {
    super("keys", ordeal);
    this.prefix = prefix;
    this.#keys = NAMES.map((name) => prefix + name);
  }

  async step(client: number, random: Random): Promise<void> {
    const key = random.pick(this.#keys);
    const value = `${client}:${this.#count++}`;
    const known = this.#known.get(key) ?? 0;
    const strong = random.chance(0.2);
    const kind = random.pick(["get", "get", "get", "list", "put", "put", "cas", "cas", "delete", "txn"] as const);
    const output = await this.#call(client, kind, { key, value, known, strong });
    for (const [seenKey, seen] of Object.entries(output?.seen ?? {})) this.#known.set(seenKey, seen?.modRevision ?? 0);
  }

  #call(
    client: number,
    kind: "get" | "list" | "put" | "cas" | "delete" | "txn",
    { key, value, known, strong }: { key: string; value: string; known: number; strong: boolean },
  ): Promise<KeyOutput | null> {
    switch (kind) {
      case "get":
        return this.record(client, { kind, key, strong }, () => this.#get(key, strong));
      case "list":
        return this.record(client, { kind, strong }, () => this.#list(strong));
      case "put":
      case "cas": {
        const cas = kind === "cas" ? known : null;
        return this.record(client, { kind: "put", key, value, cas }, (headers) => this.#put(key, value, cas, headers));
      }
      case "delete":
        return this.record(client, { kind, key }, (headers) => this.#delete(key, headers));
      case "txn":
        return this.record(client, { kind, key, modRevision: known, value }, (headers) =>
          this.#txn(key, known, value, headers),
        );
    }
  }

  async #get(key: string, strong: boolean): Promise<KeyOutput> {
    const { status, headers, text } = await this.#ask(`/kv/${key}${strong ? "?consistency=strong" : ""}`, {}, [404]);
    // Absence tells no revision.
    if (status === 404) return { revision: null, done: false, seen: { [key]: null } };
    const number = (name: string): number => Number(headers.get(`x-holdfast-${name}`));
    const seen = {
      value: text,
      modRevision: number("mod-revision"),
      createRevision: number("create-revision"),
      version: number("version"),
    };
    return { revision: number("revision"), done: false, seen: { [key]: seen } };
  }

  async #list(strong: boolean): Promise<KeyOutput> {
    const query = `?prefix=true${strong ? "&consistency=strong" : ""}`;
    const { headers, json } = await this.#ask(`/kv/${this.prefix}${query}`, {});
    return { revision: Number(headers.get("x-holdfast-revision")), done: false, seen: this.#seenOf(json.items) };
  }

  async #put(key: string, value: string, cas: number | null, headers: Record<string, string>): Promise<KeyOutput> {
    const query = cas === null ? "" : `?cas=${cas}`;
    const asked = { method: "PUT", body: value, headers };
    const { status, json } = await this.#ask(`/kv/${key}${query}`, asked, [409]);
    if (status !== 409) {
      const { modRevision, createRevision, version } = json as SeenRecord;
      return { revision: modRevision, done: true, seen: { [key]: { value, modRevision, createRevision, version } } };
    }
    const { revision } = json as { revision: number };
    if (revision === cas) throw new Error(`refused though the revision is ${cas}`);
    return { revision: null, done: false, seen: { [key]: revision === 0 ? null : { modRevision: revision } } };
  }

  async #delete(key: string, headers: Record<string, string>): Promise<KeyOutput> {
    const asked = { method: "DELETE", headers };
    const { status } = await this.#ask(`/kv/${key}`, asked, [404]);
    return { revision: null, done: status !== 404, seen: { [key]: null } };
  }

  async #txn(key: string, modRevision: number, value: string, headers: Record<string, string>): Promise<KeyOutput> {
    const body = {
      compare: [{ key, target: "modRevision", operator: "=", operand: modRevision }],
      then: this.#keys.map((one) => ({ type: "put", key: one, value })),
      else: [{ type: "range", key: this.prefix, prefix: true }],
    };
    const asked = { method: "POST", body, headers };
    const { json } = await this.#ask("/txn", asked);
    if (!json.succeeded) return { revision: null, done: false, seen: this.#seenOf(json.results[0].items) };
    const written = (json.results as WireRecord[]).map((record): [string, Seen] => [
      record.key,
      { ...seenRecord(record), value },
    ]);
    return { revision: written[0]![1]!.modRevision!, done: true, seen: Object.fromEntries(written) };
  }

  #seenOf(items: readonly WireRecord[]): Record<string, Seen> {
    const found = new Map(items.map((record) => [record.key, seenRecord(record)]));
    return Object.fromEntries(this.#keys.map((key) => [key, found.get(key) ?? null]));
  }

  #ask(path: string, asked: Asked, expected: readonly number[] = []) {
    return this.ordeal.call(API + path, asked, expected);
  }

  get witnesses(): Witness[] {
    return this.history.flatMap((call) => this.#witnessOf(call));
  }

  #witnessOf(call: Call<KeyInput, KeyOutput>): Witness[] {
    const { input, output } = call;
    const commit = this.commitOf(call);
    if (output === null) {
      // It was carried out; what it saw, nobody knows.
      return [{ call, revision: commit, wrote: writesOf(input, this.#keys), saw: new Map() }];
    }
    const { revision, done, seen } = output;
    if (!done) return [{ call, revision, wrote: new Map(), saw: new Map(Object.entries(seen)) }];
    const saw = new Map<string, Seen>();
    if (input.kind === "put" && input.cas !== null) saw.set(input.key, comparedWith(input.cas));
    if (input.kind === "txn") saw.set(input.key, comparedWith(input.modRevision));
    const at = commit ?? revision;
    const write = { call, revision: at, wrote: writesOf(input, this.#keys), saw };
    // And what it was told of its own records holds once they are there.
    return [write, { call, revision: at, wrote: new Map(), saw: new Map(Object.entries(seen)) }];
  }
}

type KeyWrite =
  | { kind: "put"; key: string; value: string }
  | { kind: "delete"; key: string }
  /** Of all keys. */
  | { kind: "txn"; value: string };

/** By key; empty for what only reads. */
export function writesOf(
  input: KeyWrite | { kind: "get" | "range" | "list" },
  keys: readonly string[],
): ReadonlyMap<string, string | null> {
  switch (input.kind) {
    case "put":
      return new Map([[input.key, input.value]]);
    case "delete":
      return new Map([[input.key, null]]);
    case "txn":
      return new Map(keys.map((key) => [key, input.value]));
    default:
      return new Map();
  }
}

/** What held when a comparison with this revision did; 0 = absent. */
export const comparedWith = (modRevision: number): Seen => (modRevision === 0 ? null : { modRevision });

const seenRecord = ({ value, modRevision, createRevision, version }: WireRecord): SeenRecord => ({
  value: value === undefined ? "" : atob(value),
  modRevision,
  createRevision,
  version,
});
