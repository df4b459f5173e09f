/**
 * Locks and elections by etcd's own services. Both are a queue of keys, `name/<lease in hex>`; each hold and each candidacy has
 * a lease of its own, and its token is the revision that made its key. What became of calls that nobody answered is in the log
 * of those keys.
 */
import {
  Compare_CompareResult as Result,
  Compare_CompareTarget as Target,
  KV,
  Lease,
  RangeRequest_SortOrder as Order,
  RangeRequest_SortTarget as SortTarget,
} from "../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import { Election } from "../../../workers/dialects/etcd/gen/v3electionpb_pb.js";
import { Lock } from "../../../workers/dialects/etcd/gen/v3lockpb_pb.js";
import { Unanswered } from "../history.ts";
import type { ElectionInput, Leader } from "../models/election.ts";
import type { Holder, LockInput } from "../models/lock.ts";
import { termsOf } from "../terms.ts";
import type { Log } from "../witness.ts";
import type { Candidate, ElectionService, Term } from "./elections.ts";
import { below, bytes, CALL_MS, type EtcdTransport, text, unless } from "./etcd-transport.ts";
import type { Held, LockService, Wanted } from "./locks.ts";
import { inTurns } from "./ordeal.ts";

/** Nobody is turned away: who is in line waits a while at least. */
const WAIT_MS = 2000;

/** The places of one workload's queues. */
class Places {
  readonly prefix: string;
  readonly next: () => EtcdTransport;
  readonly #leases: number;

  constructor(prefix: string, transports: readonly EtcdTransport[], leases: number) {
    this.prefix = prefix;
    this.next = inTurns(transports);
    this.#leases = leases;
  }

  nameOf(queue: string): string {
    return this.prefix + queue;
  }

  /** `owner`: a letter and a number. */
  leaseOf(owner: string): bigint {
    return BigInt(this.#leases + Number(owner.slice(1)));
  }

  keyOf(queue: string, owner: string): string {
    return `${this.nameOf(queue)}/${this.leaseOf(owner).toString(16)}`;
  }

  numberOf(key: Uint8Array): number {
    return Number.parseInt(text(key).split("/").at(-1)!, 16) - this.#leases;
  }

  /** With a new lease. Who is not answered ends it, as a client does that closes its session; if not, it lapses. */
  async enter<T>(owner: string, ttlMs: number, act: (lease: bigint) => Promise<T>): Promise<T> {
    const ID = this.leaseOf(owner);
    await this.next().call(Lease.method.leaseGrant, { ID, TTL: BigInt(ttlMs / 1000) });
    try {
      return await act(ID);
    } catch (error) {
      await this.next()
        .call(Lease.method.leaseRevoke, { ID })
        .catch(() => {});
      throw error;
    }
  }

  async renew(owner: string): Promise<boolean> {
    const asked = [{ ID: this.leaseOf(owner) }];
    const answers = this.next().stream(Lease.method.leaseKeepAlive, asked, AbortSignal.timeout(CALL_MS));
    for await (const { TTL } of answers) return TTL > 0n;
    throw new Unanswered("a stream that ended without an answer");
  }
}

/** Lapsed in the queue; whether it had come to the front just before, the log tells. */
function certain<T>(answer: T | null): T {
  if (answer === null) throw new Unanswered("the lease has lapsed");
  return answer;
}

export class EtcdLocks implements LockService {
  readonly knowsRequestIds = false;
  readonly #places: Places;

  constructor(prefix: string, transports: readonly EtcdTransport[]) {
    this.#places = new Places(prefix, transports, 0x1000_0000);
  }

  acquire({ lock, hold, ttlMs, waitMs }: Wanted): Promise<number> {
    return this.#places.enter(hold, ttlMs, async (lease) => {
      const asked = { name: bytes(this.#places.nameOf(lock)), lease };
      const locking = this.#places.next().call(Lock.method.lock, asked, WAIT_MS + waitMs);
      const { key } = certain(await unless("mutex: session is expired", locking));
      const { kvs } = await this.#places.next().call(KV.method.range, { key });
      if (!kvs[0]) throw new Unanswered("it has lapsed since, and its token was never seen");
      return Number(kvs[0].createRevision);
    });
  }

  renew({ hold }: Held): Promise<boolean> {
    return this.#places.renew(hold);
  }

  async release({ lock, hold }: Held): Promise<null> {
    await this.#places.next().call(Lock.method.unlock, { key: bytes(this.#places.keyOf(lock, hold)) });
    return null;
  }

  async check({ lock, hold, token }: Held): Promise<boolean> {
    const { kvs } = await this.#places.next().call(KV.method.range, { key: bytes(this.#places.keyOf(lock, hold)) });
    return Number(kvs[0]?.createRevision) === token;
  }

  async guardedWrite({ lock, hold, token }: Held): Promise<boolean> {
    const put = { key: bytes(`${this.#places.prefix}guarded`), value: bytes(String(token)) };
    const { succeeded } = await this.#places.next().call(KV.method.txn, {
      compare: [
        {
          key: bytes(this.#places.keyOf(lock, hold)),
          target: Target.CREATE,
          result: Result.EQUAL,
          targetUnion: { case: "createRevision", value: BigInt(token) },
        },
      ],
      success: [{ request: { case: "requestPut", value: put } }],
    });
    return succeeded;
  }

  async holders(lock: string): Promise<Holder[]> {
    const { kvs } = await this.#places.next().call(KV.method.range, {
      ...below(`${this.#places.nameOf(lock)}/`),
      sortTarget: SortTarget.CREATE,
      sortOrder: Order.ASCEND,
      limit: 1n,
    });
    return kvs.map(({ key, createRevision }) => ({
      hold: `h${this.#places.numberOf(key)}`,
      token: Number(createRevision),
    }));
  }

  wasCarriedOut(input: LockInput, log: Log): boolean {
    if (input.kind !== "acquire" && input.kind !== "release") return false;
    const key = this.#places.keyOf(input.lock, input.hold);
    return input.kind === "acquire" ? heldBy(key, log) : wasRemoved(key, log);
  }
}

export class EtcdElections implements ElectionService {
  readonly knowsRequestIds = false;
  readonly #places: Places;

  constructor(prefix: string, transports: readonly EtcdTransport[]) {
    this.#places = new Places(prefix, transports, 0x2000_0000);
  }

  nameOf(election: string): string {
    return this.#places.nameOf(election);
  }

  campaign({ election, candidacy, value, ttlMs, waitMs }: Candidate): Promise<number> {
    return this.#places.enter(candidacy, ttlMs, async (lease) => {
      const asked = { name: bytes(this.nameOf(election)), lease, value: bytes(value) };
      const campaigning = this.#places.next().call(Election.method.campaign, asked, WAIT_MS + waitMs);
      return Number(certain(await unless(NOT_LEADER, campaigning)).leader!.rev);
    });
  }

  async proclaim(term: Term, value: string): Promise<boolean> {
    const asked = { leader: this.#leaderKey(term), value: bytes(value) };
    return (await unless(NOT_LEADER, this.#places.next().call(Election.method.proclaim, asked))) !== null;
  }

  renew({ candidacy }: Term): Promise<boolean> {
    return this.#places.renew(candidacy);
  }

  async resign(term: Term): Promise<null> {
    await this.#places.next().call(Election.method.resign, { leader: this.#leaderKey(term) });
    return null;
  }

  async leader(election: string): Promise<Leader | null> {
    const asked = { name: bytes(this.nameOf(election)) };
    const answer = await unless("election: no leader", this.#places.next().call(Election.method.leader, asked));
    if (!answer) return null;
    const { key, createRevision, value } = answer.kv!;
    return { candidacy: `c${this.#places.numberOf(key)}`, token: Number(createRevision), value: text(value) };
  }

  #leaderKey({ election, candidacy, token }: Term) {
    const name = bytes(this.nameOf(election));
    const key = bytes(this.#places.keyOf(election, candidacy));
    return { name, key, rev: BigInt(token), lease: this.#places.leaseOf(candidacy) };
  }

  wasCarriedOut(input: ElectionInput, log: Log): boolean {
    switch (input.kind) {
      case "campaign":
        return heldBy(this.#places.keyOf(input.election, input.candidacy), log);
      case "resign":
        return wasRemoved(this.#places.keyOf(input.election, input.candidacy), log);
      case "proclaim":
        return log.events.some(({ value }) => value === input.value);
      default:
        return false;
    }
  }
}

const NOT_LEADER = "election: not leader";

const wasRemoved = (key: string, log: Log): boolean => log.of(key).some(({ value }) => value === null);

/** It was in front at some time. */
const heldBy = (key: string, log: Log): boolean => termsOf(log).some((term) => term.key === key);
