/** Locks fought for by clients that sometimes forget them, whoever grants them; and those of the native API. */
import { Unanswered } from "../history.ts";
import { ALL_READERS, type Holder, type LockInput, type LockOutput } from "../models/lock.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

interface LockKind {
  permits: number;
  /** What an acquisition asks for. */
  wanted: readonly number[];
}

export const NATIVE_LOCKS = {
  mutex: { permits: 1, wanted: [1] },
  semaphore: { permits: 2, wanted: [1, 1, 2] },
  readWrite: { permits: ALL_READERS, wanted: [1, 1, ALL_READERS] },
} satisfies Record<string, LockKind>;

export interface Held {
  lock: string;
  hold: string;
  token: number;
}

export interface Wanted {
  lock: string;
  hold: string;
  permits: number;
  ttlMs: number;
  waitMs: number;
}

type Headers = Record<string, string>;

/** Each is one call, recorded as such; `headers` are those of a command. */
export interface LockService {
  /** A command may be given again under its id. */
  readonly knowsRequestIds: boolean;
  /** The token; null = somebody is in the way. */
  acquire(wanted: Wanted, headers: Headers): Promise<number | null>;
  renew(held: Held): Promise<boolean>;
  /** Null: the answer does not tell whether it was held. */
  release(held: Held, headers: Headers): Promise<boolean | null>;
  check(held: Held): Promise<boolean>;
  guardedWrite(held: Held, headers: Headers): Promise<boolean>;
  holders(lock: string): Promise<Holder[]>;
}

const TTL_MS = 3000;

export class LockWorkload extends RecordedWorkload<LockInput, LockOutput> {
  readonly clients: number;
  readonly #service: LockService;
  readonly #kinds: Readonly<Record<string, LockKind>>;
  readonly #names: readonly string[];
  readonly #held = new Map<number, Held>();
  readonly #former: Held[] = [];
  #count = 0;

  constructor(name: string, ordeal: Ordeal, service: LockService, kinds: Readonly<Record<string, LockKind>>) {
    super(name, ordeal);
    this.#service = service;
    this.#kinds = kinds;
    this.#names = Object.keys(kinds);
    this.clients = 2 * this.#names.length;
  }

  protected override isRepeatable(): boolean {
    return this.#service.knowsRequestIds;
  }

  async step(client: number, random: Random): Promise<void> {
    const held = this.#held.get(client);
    if (!held) {
      if (random.chance(0.2)) return this.#holders(client, random.pick(this.#names));
      if (this.#former.length > 0 && random.chance(0.2))
        return this.#useFormer(client, random.pick(this.#former), random);
      return this.#acquire(client, random.pick(this.#names), random);
    }
    if (random.chance(0.3)) return this.#renew(client, held);
    if (random.chance(0.2)) return this.#check(client, held);
    if (random.chance(0.2)) return this.#guardedWrite(client, held);
    this.#held.delete(client);
    this.#former.push(held);
    // Now and then a holder is as good as dead.
    if (!random.chance(0.03)) await this.#release(client, held);
  }

  /** By a holder that does not know that it is none any more: it must have no effect. */
  #useFormer(client: number, former: Held, random: Random): Promise<void> {
    if (random.chance(0.3)) return this.#check(client, former);
    return random.chance(0.5) ? this.#guardedWrite(client, former) : this.#release(client, former);
  }

  async #acquire(client: number, lock: string, random: Random): Promise<void> {
    const permits = random.pick(this.#kinds[lock]!.wanted);
    const wanted = { lock, hold: `h${this.#count++}`, permits, ttlMs: TTL_MS };
    const waitMs = random.pick([0, 200]);
    const output = await this.record(client, { kind: "acquire", ...wanted }, async (headers) => ({
      token: await this.#service.acquire({ ...wanted, waitMs }, headers),
    }));
    if (output && "token" in output && output.token !== null)
      this.#held.set(client, { lock, hold: wanted.hold, token: output.token });
  }

  async #renew(client: number, held: Held): Promise<void> {
    const output = await this.record(client, { kind: "renew", ...held, ttlMs: TTL_MS }, async () => ({
      done: await this.#service.renew(held),
    }));
    if (output && "done" in output && !output.done) this.#held.delete(client);
  }

  async #release(client: number, held: Held): Promise<void> {
    await this.record(client, { kind: "release", ...held }, async (headers) => ({
      done: await this.#service.release(held, headers),
    }));
  }

  async #check(client: number, held: Held): Promise<void> {
    await this.record(client, { kind: "check", ...held }, async () => ({ done: await this.#service.check(held) }));
  }

  async #guardedWrite(client: number, held: Held): Promise<void> {
    await this.record(client, { kind: "guardedWrite", ...held }, async (headers) => ({
      done: await this.#service.guardedWrite(held, headers),
    }));
  }

  async #holders(client: number, lock: string): Promise<void> {
    await this.record(client, { kind: "holders", lock }, async () => ({ holders: await this.#service.holders(lock) }));
  }
}

const TERMS: Readonly<Record<string, (permits: number) => object>> = {
  semaphore: (permits) => ({ kind: "semaphore", limit: NATIVE_LOCKS.semaphore.permits, permits }),
  readWrite: (permits) => ({ kind: "readWrite", mode: permits === 1 ? "read" : "write" }),
};

/** Over HTTP and the stream. */
export class NativeLocks implements LockService {
  readonly knowsRequestIds = true;
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  async acquire({ lock, hold, permits, ttlMs, waitMs }: Wanted, headers: Headers): Promise<number | null> {
    const body = { ...TERMS[lock]?.(permits), owner: hold, ttl: ttlMs / 1000, wait: waitMs / 1000 };
    const { status, json, text } = await this.#post(lock, "acquire", body, headers, [409, 410]);
    // Given again when its place in line had lapsed; whether it had come to the front before, the answer does not tell.
    if (status === 410) throw new Unanswered(text);
    if (status === 409 && json.reason !== "held") throw new Error(`acquire: ${JSON.stringify(json)}`);
    return status === 409 ? null : (json.token as number);
  }

  async renew({ lock, hold, token }: Held): Promise<boolean> {
    return (await this.#post(lock, "renew", { owner: hold, token }, {})).status !== 409;
  }

  async release({ lock, hold, token }: Held, headers: Headers): Promise<boolean> {
    return (await this.#post(lock, "release", { owner: hold, token }, headers)).status !== 409;
  }

  async check({ lock, hold, token }: Held): Promise<boolean> {
    const { json } = await this.#caller.call(`${API}/locks/${lock}/check?token=${token}&owner=${hold}`, {});
    return json.held as boolean;
  }

  async guardedWrite({ lock, hold, token }: Held, headers: Headers): Promise<boolean> {
    // What is granted together has one token: where several hold at once it guards with its owner alone.
    const shown = lock === "mutex" ? token : `${token} ${hold}`;
    const fenced = { ...headers, "x-holdfast-fence": `lock/${lock} ${shown}` };
    const asked = { method: "PUT", body: String(token), headers: fenced };
    return (await this.#caller.call(`${API}/kv/guarded`, asked, [409])).status !== 409;
  }

  async holders(lock: string): Promise<Holder[]> {
    const { json } = await this.#caller.call(`${API}/locks/${lock}`, {});
    return (json.holders as { owner: string; token: number }[]).map(({ owner, token }) => ({ hold: owner, token }));
  }

  #post(lock: string, verb: string, body: object, headers: Headers, expected = [409]) {
    return this.#caller.call(`${API}/locks/${lock}/${verb}`, { method: "POST", body, headers }, expected);
  }
}
