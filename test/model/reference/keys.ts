/** A revisioned store of keys to check the checkers with: right, or wrong in one named way. */
import type { Call } from "../history.ts";
import type { Random } from "../random.ts";
import { simulate } from "../simulate.ts";
import type { LogEvent, Seen, Witness } from "../witness.ts";
import { plantedIn } from "./fault.ts";

export type KeyFault =
  | "reads an old state"
  | "gives a revision twice"
  | "lets two compares pass"
  | "acknowledges and forgets"
  | "writes what nobody sent"
  | "tells another value"
  | "counts versions on over a deletion"
  | "forgets a tombstone"
  | "splits a commit"
  | "goes back with its revisions"
  | "answers before it commits"
  | "tells a record of another revision"
  | "carries out what it refused";

export type KeyInput =
  | { kind: "get"; key: string }
  | { kind: "put"; keys: readonly string[]; value: string }
  | { kind: "delete"; key: string }
  | { kind: "cas"; key: string; modRevision: number; value: string };

export interface KeyOutput {
  revision: number;
  done: boolean;
  seen: Seen;
}

type KeyRecord = Required<NonNullable<Seen>>;

const FAULTY_SHARE = 0.15;
const KEYS = ["a", "b", "c"];

export class Keys {
  readonly log: LogEvent[] = [];
  readonly #isNow: (fault: KeyFault) => boolean;
  readonly #random: Random;
  #revision = 0;
  #records = new Map<string, KeyRecord>();
  #older: { revision: number; records: Map<string, KeyRecord> }[] = [];
  readonly #deletedVersions = new Map<string, number>();
  /** Of a fault that takes effect later. */
  #held: (() => void) | null = null;

  constructor(random: Random, fault: KeyFault | null) {
    this.#random = random;
    this.#isNow = plantedIn(random, fault, FAULTY_SHARE);
  }

  apply(input: KeyInput): KeyOutput {
    const held = this.#held;
    this.#held = null;
    const output = this.#carryOut(input);
    held?.();
    return output;
  }

  #carryOut(input: KeyInput): KeyOutput {
    switch (input.kind) {
      case "get":
        return this.#get(input.key);
      case "put":
        return this.#commit(new Map(input.keys.map((key) => [key, input.value])), null);
      case "delete": {
        const seen = this.#records.get(input.key) ?? null;
        if (!seen) return { revision: this.#revision, done: false, seen };
        return this.#commit(new Map([[input.key, null]]), seen);
      }
      case "cas": {
        const seen = this.#records.get(input.key) ?? null;
        const holds = (seen?.modRevision ?? 0) === input.modRevision || this.#isNow("lets two compares pass");
        if (holds) return this.#commit(new Map([[input.key, input.value]]), null);
        if (this.#isNow("carries out what it refused")) this.#commit(new Map([[input.key, input.value]]), null);
        return { revision: this.#revision, done: false, seen };
      }
    }
  }

  #get(key: string): KeyOutput {
    const old = this.#older.at(-4);
    if (old && this.#isNow("reads an old state"))
      return { revision: old.revision, done: true, seen: old.records.get(key) ?? null };
    if (old && this.#isNow("tells a record of another revision"))
      return { revision: this.#revision, done: true, seen: old.records.get(key) ?? null };
    const seen = this.#records.get(key) ?? null;
    const isOther = seen && this.#isNow("tells another value");
    return { revision: this.#revision, done: true, seen: isOther ? { ...seen, value: "another" } : seen };
  }

  #commit(writes: ReadonlyMap<string, string | null>, seen: Seen): KeyOutput {
    if (this.#isNow("acknowledges and forgets")) return { revision: this.#revision + 1, done: true, seen };
    if (this.#isNow("answers before it commits")) {
      const revision = this.#revision + 1;
      this.#held = () => this.#write(writes);
      return { revision, done: true, seen };
    }
    if (this.#isNow("gives a revision twice")) this.#revision--;
    if (this.#revision > 5 && this.#isNow("goes back with its revisions")) this.#revision -= 3;
    this.#write(writes);
    if (this.#isNow("writes what nobody sent")) this.#write(new Map([[this.#random.pick(KEYS), "nobody's"]]));
    return { revision: this.#revision, done: true, seen };
  }

  #write(writes: ReadonlyMap<string, string | null>): void {
    this.#older.push({ revision: this.#revision, records: new Map(this.#records) });
    this.#revision++;
    let isFirst = true;
    for (const [key, value] of writes) {
      if (!isFirst && this.#isNow("splits a commit")) this.#revision++;
      isFirst = false;
      const revision = this.#revision;
      if (value === null) {
        if (this.#isNow("forgets a tombstone")) continue;
        const version = this.#records.get(key)?.version ?? 0;
        if (this.#isNow("counts versions on over a deletion")) this.#deletedVersions.set(key, version);
        this.#records.delete(key);
        this.log.push({ revision, key, value });
        continue;
      }
      const before = this.#records.get(key);
      const createRevision = before?.createRevision ?? revision;
      const version = (before?.version ?? this.#deletedVersions.get(key) ?? 0) + 1;
      this.#records.set(key, { value, modRevision: revision, createRevision, version });
      this.log.push({ revision, key, value, createRevision, version });
    }
  }
}

/** A history over such a store, as witnesses, with its log. */
export function keysHistory(random: Random, fault: KeyFault | null): { witnesses: Witness[]; log: LogEvent[] } {
  const keys = new Keys(random, fault);
  const known = new Map<string, number>();
  let count = 0;
  const revisions = new Map<KeyInput, number>();
  const calls = simulate<KeyInput, KeyOutput>(random, {
    clients: 6,
    calls: 200,
    lostShare: 0.05,
    next(): KeyInput {
      const key = random.pick(KEYS);
      const value = `v${count++}`;
      const kind = random.pick(["get", "get", "put", "put", "delete", "cas", "cas"] as const);
      if (kind === "get" || kind === "delete") return { kind, key };
      if (kind === "put") return { kind, keys: random.chance(0.3) ? KEYS : [key], value };
      return { kind, key, modRevision: known.get(key) ?? 0, value };
    },
    apply(input) {
      const output = keys.apply(input);
      revisions.set(input, output.revision);
      return output;
    },
    answered(_, input, { revision, done, seen }) {
      if (input.kind === "get") known.set(input.key, seen?.modRevision ?? 0);
      if (input.kind === "cas" && done) known.set(input.key, revision);
    },
  });
  return { witnesses: calls.flatMap((call) => witnessOf(call, keys.log, revisions)), log: keys.log };
}

/** What a call of unknown outcome did, its log has to say; whatever it would have seen, nobody did. */
function witnessOf(
  call: Call<KeyInput, KeyOutput>,
  log: readonly LogEvent[],
  applied: ReadonlyMap<KeyInput, number>,
): Witness[] {
  const { input, output } = call;
  const nothing = new Map<string, Seen>();
  if (output === null) {
    if (input.kind === "get") return [];
    const revision = applied.get(input);
    const wrote = writesOf(input);
    const isDone =
      revision !== undefined &&
      log.some((event) => event.revision === revision && wrote.get(event.key) === event.value);
    return isDone ? [{ call, revision, wrote, saw: nothing }] : [];
  }
  const { revision, done, seen } = output;
  switch (input.kind) {
    case "get":
      return [{ call, revision, wrote: new Map(), saw: new Map([[input.key, seen]]) }];
    case "put":
      return [{ call, revision, wrote: writesOf(input), saw: nothing }];
    case "delete":
      return [{ call, revision, wrote: done ? writesOf(input) : new Map(), saw: new Map([[input.key, seen]]) }];
    case "cas": {
      const { key, modRevision } = input;
      if (done) {
        const compared = modRevision === 0 ? null : { modRevision };
        return [{ call, revision, wrote: writesOf(input), saw: new Map([[key, compared]]) }];
      }
      // As over HTTP: only the record's revision is told, not the store's.
      const saw: Seen = seen && { modRevision: seen.modRevision! };
      return [{ call, revision: null, wrote: new Map(), saw: new Map([[key, saw]]) }];
    }
  }
}

function writesOf(input: KeyInput): ReadonlyMap<string, string | null> {
  switch (input.kind) {
    case "get":
      return new Map();
    case "put":
      return new Map(input.keys.map((key) => [key, input.value]));
    case "delete":
      return new Map([[input.key, null]]);
    case "cas":
      return new Map([[input.key, input.value]]);
  }
}
