/** Locks over HTTP and the stream: a mutex, a semaphore and a read-write lock, fought for by clients that sometimes forget them. */
import type { Call } from "../history.ts";
import { ALL_READERS, type LockInput, type LockOutput } from "../models/lock.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

/** Each with what an acquisition asks for, by the permits it takes. */
const LOCKS = {
  mutex: { permits: 1, wanted: [1], terms: () => ({}) },
  semaphore: { permits: 2, wanted: [1, 1, 2], terms: (permits: number) => ({ kind: "semaphore", limit: 2, permits }) },
  readWrite: {
    permits: ALL_READERS,
    wanted: [1, 1, ALL_READERS],
    terms: (permits: number) => ({ kind: "readWrite", mode: permits === 1 ? "read" : "write" }),
  },
} as const;

export type LockName = keyof typeof LOCKS;
export const LOCK_NAMES = Object.keys(LOCKS) as LockName[];
const TTL_MS = 3000;

interface Held {
  lock: LockName;
  hold: string;
  token: number;
}

export class LockWorkload extends RecordedWorkload<LockInput, LockOutput> {
  readonly clients = 6;
  readonly #held = new Map<number, Held>();
  readonly #former: Held[] = [];
  #count = 0;

  constructor(ordeal: Ordeal, callers: readonly Caller[]) {
    super("locks", ordeal, callers);
  }

  static permitsOf(lock: LockName): number {
    return LOCKS[lock].permits;
  }

  historyOf(lock: LockName): Call<LockInput, LockOutput>[] {
    return this.history.filter(({ input }) => input.lock === lock);
  }

  async step(client: number, random: Random): Promise<void> {
    const held = this.#held.get(client);
    if (!held) {
      if (random.chance(0.2)) return this.#holders(client, random.pick(LOCK_NAMES));
      if (this.#former.length > 0 && random.chance(0.2))
        return this.#useFormer(client, random.pick(this.#former), random);
      return this.#acquire(client, random.pick(LOCK_NAMES), random);
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

  async #acquire(client: number, lock: LockName, random: Random): Promise<void> {
    const { wanted, terms } = LOCKS[lock];
    const permits: number = random.pick<number>(wanted);
    const hold = `h${this.#count++}`;
    const body = { ...terms(permits), owner: hold, ttl: TTL_MS / 1000, wait: random.pick([0, 0.2]) };
    const output = await this.record(
      client,
      { kind: "acquire", lock, hold, permits, ttlMs: TTL_MS },
      async (headers) => {
        const { status, json } = await this.#post(lock, "acquire", body, headers);
        if (status === 409 && json.reason !== "held") throw new Error(`acquire: ${JSON.stringify(json)}`);
        return { token: status === 409 ? null : (json.token as number) };
      },
    );
    if (output && "token" in output && output.token !== null)
      this.#held.set(client, { lock, hold, token: output.token });
  }

  async #renew(client: number, held: Held): Promise<void> {
    const output = await this.record(client, { kind: "renew", ...held, ttlMs: TTL_MS }, async () => {
      const { status } = await this.#post(held.lock, "renew", { owner: held.hold, token: held.token }, {});
      return { done: status !== 409 };
    });
    if (output && "done" in output && !output.done) this.#held.delete(client);
  }

  async #release(client: number, held: Held): Promise<void> {
    await this.record(client, { kind: "release", ...held }, async (headers) => {
      const { status } = await this.#post(held.lock, "release", { owner: held.hold, token: held.token }, headers);
      return { done: status !== 409 };
    });
  }

  async #check(client: number, { lock, hold, token }: Held): Promise<void> {
    await this.record(client, { kind: "check", lock, hold, token }, async () => {
      const { json } = await this.call(`${API}/locks/${lock}/check?token=${token}&owner=${hold}`, {});
      return { done: json.held as boolean };
    });
  }

  async #guardedWrite(client: number, { lock, hold, token }: Held): Promise<void> {
    await this.record(client, { kind: "guardedWrite", lock, hold, token }, async (headers) => {
      // What is granted together has one token: where several hold at once it guards with its owner alone.
      const shown = lock === "mutex" ? token : `${token} ${hold}`;
      const fenced = { ...headers, "x-holdfast-fence": `lock/${lock} ${shown}` };
      const asked = { method: "PUT", body: String(token), headers: fenced };
      const { status } = await this.call(`${API}/kv/guarded`, asked, [409]);
      return { done: status !== 409 };
    });
  }

  async #holders(client: number, lock: LockName): Promise<void> {
    await this.record(client, { kind: "holders", lock }, async () => {
      const { json } = await this.call(`${API}/locks/${lock}`, {});
      const holders = json.holders as { owner: string; token: number }[];
      return { holders: holders.map(({ owner, token }) => ({ hold: owner, token })) };
    });
  }

  #post(lock: LockName, verb: string, body: object, headers: Record<string, string>) {
    return this.call(`${API}/locks/${lock}/${verb}`, { method: "POST", body, headers }, [409]);
  }
}
