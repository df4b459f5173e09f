/**
 * Leases that live as long as a stream is open: those granted over it, and the own ones of claims that were made over it.
 * Those that are due are renewed together, with the right that renewing one by one would take.
 *
 * Refuses to know: the socket, and when it is time to look.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import { noLease } from "../../../objects/leases/leases.ts";
import type { Kind, Verb } from "../../../objects/policy/statements.ts";
import type { Authorizer } from "../../request/authorizer.ts";
import type { NamespaceClient } from "../../request/namespace-client.ts";
import type { CallFrame } from "./frames.ts";

export interface KeptLease {
  id: string;
  ttlMs: number;
  /** What renewing it takes. */
  right: { verb: Verb; kind: Kind; name: string };
  /** Whose claim it is the own lease of. */
  claim: string | null;
  renewAt: number;
}

export interface LeaseKeeping {
  client: NamespaceClient;
  reauthorize: () => Promise<Authorizer>;
  /** It is renewed no longer. */
  onLost: (lease: string, error: HoldfastError) => void;
}

/** As often as a holder is to renew. */
const RENEWALS_PER_TTL = 3;
/** In one call. */
const BATCH = 1000;

export class KeptLeases {
  readonly #keeping: LeaseKeeping;
  readonly #leases = new Map<string, KeptLease>();
  readonly #byClaim = new Map<string, string>();
  #isRenewing = false;

  constructor(keeping: LeaseKeeping) {
    this.#keeping = keeping;
  }

  get size(): number {
    return this.#leases.size;
  }

  /** One of them has less time than that. */
  isHasty(ttlMs: number): boolean {
    return this.#leases.values().some((lease) => lease.ttlMs < ttlMs);
  }

  /** Takes note of what a call has granted or ended. */
  note(frame: CallFrame, value: unknown, nowAt: number): KeptLease | null {
    const { op, params = {} } = frame;
    const name = params["name"]!;
    // As the operation's own schemas have it, by which both have gone.
    const { owner, lease } = (frame.body ?? {}) as { owner?: string; lease?: string };
    const answer = value as { id: string; lease: string; owner: string; ttl: number; count: number };
    const kind = CLAIM_OF.get(op);
    switch (op) {
      case "grantLease":
      case "renewLease":
        return this.#keep(answer.id, answer.ttl, { verb: "update", kind: "session", name: answer.id }, null, nowAt);
      case "acquireLock":
      case "campaign":
      case "enterBarrier": {
        if (lease !== undefined) return null;
        const right = { verb: "acquire", kind: "lock", name } as const;
        return this.#keep(answer.lease, answer.ttl, right, claimOf(kind!, name, answer.owner), nowAt);
      }
      case "revokeLease":
        this.#drop(params["id"]!);
        return null;
      case "releaseLock":
        if (answer.count === 0) this.#dropClaim(claimOf(kind!, name, owner!));
        return null;
      case "resign":
      case "leaveBarrier":
        this.#dropClaim(claimOf(kind!, name, owner!));
        return null;
      default:
        return null;
    }
  }

  /** Renews what is due by `dueAt`, of those whose client was heard within their time to live. */
  async renew(nowAt: number, dueAt: number, heardAt: number): Promise<void> {
    if (this.#isRenewing) return;
    const isDue = ({ renewAt, ttlMs }: KeptLease): boolean =>
      renewAt <= dueAt && nowAt - heardAt < Math.max(ttlMs, SILENCE_MS);
    const due = [...this.#leases.values()].filter(isDue);
    if (due.length === 0) return;
    this.#isRenewing = true;
    try {
      const authorizer = await this.#keeping.reauthorize();
      const allowed = due.filter((lease) => this.#isAllowed(lease, authorizer));
      for (let at = 0; at < allowed.length; at += BATCH) await this.#renew(allowed.slice(at, at + BATCH));
    } finally {
      this.#isRenewing = false;
    }
  }

  async #renew(batch: KeptLease[]): Promise<void> {
    const nowAt = Date.now();
    const { value } = await this.#keeping.client.renewLeases(batch.map(({ id }) => id));
    const ended = new Set(value.ended);
    for (const lease of batch) {
      if (!ended.has(lease.id)) lease.renewAt = nowAt + lease.ttlMs / RENEWALS_PER_TTL;
      else if (this.#leases.get(lease.id) === lease) this.#lose(lease, noLease(lease.id));
    }
  }

  #isAllowed(lease: KeptLease, authorizer: Authorizer): boolean {
    const { verb, kind, name } = lease.right;
    if (authorizer.allows(verb, kind, name)) return true;
    this.#lose(lease, authorizer.denied(verb, kind, name));
    return false;
  }

  #lose(lease: KeptLease, error: HoldfastError): void {
    this.#drop(lease.id);
    this.#keeping.onLost(lease.id, error);
  }

  #keep(id: string, ttl: number, right: KeptLease["right"], claim: string | null, nowAt: number): KeptLease {
    this.#drop(id);
    const ttlMs = ttl * 1000;
    const lease = { id, ttlMs, right, claim, renewAt: nowAt + ttlMs / RENEWALS_PER_TTL };
    this.#leases.set(id, lease);
    if (claim !== null) this.#byClaim.set(claim, id);
    return lease;
  }

  #drop(id: string): void {
    const lease = this.#leases.get(id);
    this.#leases.delete(id);
    if (lease && lease.claim !== null) this.#byClaim.delete(lease.claim);
  }

  #dropClaim(claim: string): void {
    const id = this.#byClaim.get(claim);
    if (id !== undefined) this.#drop(id);
  }
}

/** A client is asked for a sign of life every second while it has leases; it may be late. */
const SILENCE_MS = 3000;

const CLAIM_OF = new Map([
  ["acquireLock", "lock"],
  ["releaseLock", "lock"],
  ["campaign", "election"],
  ["resign", "election"],
  ["enterBarrier", "barrier"],
  ["leaveBarrier", "barrier"],
]);

const claimOf = (kind: string, name: string, owner: string): string => `${kind}\0${name}\0${owner}`;
