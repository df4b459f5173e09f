/**
 * Locks against a naive model that knows two lists: any sequence of acquiring, releasing, withdrawing, renewing, lapsing,
 * revoking and crashing leaves the same holders and the same line. Rules M1 to M3, M5 to M7.
 */
import fc from "fast-check";
import { expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import { leaseTimerKey } from "../../../objects/leases/leases.ts";
import type { AcquireInput, LockClaim, LockTerms } from "../../../objects/locks/locks.ts";
import { codeOf, World } from "../fixture.ts";

const OWNERS = ["a", "b", "c", "d", "e"];
const NAME = "l";

interface Kind {
  capacity: number;
  /** By weight. */
  terms: Record<number, LockTerms>;
}

const ALL = 1000;
const KINDS: Kind[] = [
  { capacity: 1, terms: { 1: { kind: "mutex" } } },
  { capacity: ALL, terms: { 1: { kind: "readWrite", mode: "read" }, [ALL]: { kind: "readWrite", mode: "write" } } },
  {
    capacity: 3,
    terms: Object.fromEntries([1, 2, 3].map((permits) => [permits, { kind: "semaphore", permits, limit: 3 }])),
  },
];

interface Claim {
  owner: string;
  weight: number;
  lease: string;
  count: number;
  token: number | null;
}

/** What there should be. */
class Model {
  holders: Claim[] = [];
  waiters: Claim[] = [];
  /** Grants that have ended. */
  readonly spent: { owner: string; token: number }[] = [];
  highest = 0;
  readonly #capacity: number;

  constructor(capacity: number) {
    this.#capacity = capacity;
  }

  find(owner: string): Claim | undefined {
    return [...this.holders, ...this.waiters].find((claim) => claim.owner === owner);
  }

  fits(weight: number): boolean {
    return this.holders.reduce((sum, claim) => sum + claim.weight, weight) <= this.#capacity;
  }

  remove(gone: readonly Claim[], revision: number): void {
    for (const { owner, token } of gone) if (token !== null) this.spent.push({ owner, token });
    this.holders = this.holders.filter((claim) => !gone.includes(claim));
    this.waiters = this.waiters.filter((claim) => !gone.includes(claim));
    while (this.waiters.length > 0 && this.fits(this.waiters[0]!.weight)) this.grant(this.waiters.shift()!, revision);
  }

  grant(claim: Claim, revision: number): void {
    expect(revision).toBeGreaterThanOrEqual(this.highest);
    this.highest = revision;
    claim.token = revision;
    this.holders.push(claim);
  }
}

type Step =
  | { type: "acquire"; owner: string; weight: number; wait: boolean; ttlMs: number; shared: boolean }
  | { type: "release"; owner: string; stale: boolean }
  | { type: "withdraw" | "renew" | "revoke"; owner: string }
  | { type: "pass"; ms: number }
  | { type: "crash"; ms: number };

const owner = fc.constantFrom(...OWNERS);
const step = ({ terms }: Kind): fc.Arbitrary<Step> =>
  fc.oneof(
    {
      weight: 6,
      arbitrary: fc.record({
        type: fc.constant("acquire" as const),
        owner,
        weight: fc.constantFrom(...Object.keys(terms).map(Number)),
        wait: fc.boolean(),
        ttlMs: fc.constantFrom(1000, 3000, 60_000),
        shared: fc.boolean(),
      }),
    },
    { weight: 4, arbitrary: fc.record({ type: fc.constant("release" as const), owner, stale: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ type: fc.constantFrom("withdraw" as const, "renew", "revoke"), owner }) },
    { weight: 2, arbitrary: fc.record({ type: fc.constant("pass" as const), ms: fc.integer({ min: 0, max: 2000 }) }) },
    { weight: 1, arbitrary: fc.record({ type: fc.constant("crash" as const), ms: fc.integer({ min: 0, max: 1500 }) }) },
  );

class Trial {
  readonly world = new World();
  readonly model: Model;
  readonly #kind: Kind;
  #shared: string | null = null;

  constructor(kind: Kind) {
    this.#kind = kind;
    this.model = new Model(kind.capacity);
  }

  run(step: Step): void {
    const { world, model } = this;
    if (step.type === "crash") world.crash(step.ms);
    if (step.type === "pass") this.#pass(step.ms);
    else {
      // What is due goes before anything else is looked at.
      this.#lapse(world.now);
      if (step.type === "crash") world.core.settle(world.now);
      else this.#act(step);
    }
    this.#compare();
    for (const { owner, token } of model.spent) expect(this.#isHeld(token, owner)).toBe(false);
  }

  #act(step: Exclude<Step, { type: "pass" | "crash" }>): void {
    const { world, model } = this;
    if (step.type === "acquire") return this.#acquire(step);
    const claim = model.find(step.owner);
    switch (step.type) {
      case "release": {
        const token = (step.stale ? undefined : claim?.token) ?? 1;
        const isHolder = claim?.token === token;
        expect(codeOf(() => world.run("lock.release", { name: NAME, owner: step.owner, token }))).toBe(
          isHolder ? "none" : "fenced",
        );
        if (isHolder && --claim.count === 0) model.remove([claim], world.core.revision);
        return;
      }
      case "withdraw": {
        const left = world.run("lock.withdraw", { name: NAME, owner: step.owner });
        if (claim?.token === null) model.remove([claim], world.core.revision);
        expect(left?.token ?? null).toBe(claim?.token ?? null);
        return;
      }
      case "renew":
        if (claim) expect(world.core.renewLease(claim.lease, world.now).id).toBe(claim.lease);
        return;
      case "revoke":
        if (!claim) return;
        world.run("leases.revoke", { id: claim.lease });
        model.remove(this.#onLease(claim.lease), world.core.revision);
    }
  }

  #acquire({ owner, weight, wait, ttlMs, shared }: Step & { type: "acquire" }): void {
    const { world, model } = this;
    const before = model.find(owner);
    const lease = shared ? { lease: this.#sharedLease() } : { ttlMs };
    const input = { name: NAME, owner, wait, ...lease, ...this.#kind.terms[weight]! } as AcquireInput;
    let claim: LockClaim | null = null;
    try {
      claim = world.run("lock.acquire", input);
    } catch (error) {
      if (!(error instanceof HoldfastError) || error.code !== "conflict") throw error;
      const isOther = before !== undefined && shared && before.lease !== this.#shared;
      const isMore =
        before !== undefined && (before.token === null ? weight !== before.weight : weight > before.weight);
      expect(isOther || isMore).toBe(true);
      return;
    }
    const revision = world.core.revision;
    if (before) {
      if (before.token !== null) before.count++;
      expect(claim).toMatchObject({ owner, token: before.token, count: before.count, lease: before.lease });
      return;
    }
    const isFree = model.waiters.length === 0 && model.fits(weight);
    if (!isFree && !wait) return expect(claim).toBeNull();
    const made = { owner, weight, lease: claim!.lease, count: 1, token: null };
    if (isFree) model.grant(made, revision);
    else model.waiters.push(made);
    expect(claim!.token).toBe(isFree ? revision : null);
  }

  /** One that several claims hang on. */
  #sharedLease(): string {
    const { world } = this;
    if (this.#shared === null || world.core.deadlines.get(leaseTimerKey(this.#shared)) === undefined)
      this.#shared = world.run("leases.grant", { ttlMs: 2000 }).id;
    return this.#shared;
  }

  #onLease(lease: string): Claim[] {
    return [...this.model.holders, ...this.model.waiters].filter((claim) => claim.lease === lease);
  }

  #deadlineOf = ({ lease }: Claim): number => this.world.core.deadlines.get(leaseTimerKey(lease))!.deadlineAt;

  /** By the clock of the leases, which has tests of its own. */
  #lapse(now: number): void {
    const due = [...this.model.holders, ...this.model.waiters].filter((claim) => this.#deadlineOf(claim) <= now);
    if (due.length > 0) this.model.remove(due, this.world.core.revision + 1);
  }

  /** Each lapse when it is due, and each a commit. */
  #pass(ms: number): void {
    const { world } = this;
    const until = world.now + ms;
    for (;;) {
      const claims = [...this.model.holders, ...this.model.waiters];
      const next = Math.min(...claims.map(this.#deadlineOf));
      if (next > until) break;
      world.pass(Math.max(0, next - 1 - world.now));
      this.#lapse(next);
      world.pass(next - world.now);
      this.#compare();
    }
    world.pass(until - world.now);
  }

  #compare(): void {
    const { world, model } = this;
    const info = world.core.query("lock.get", { name: NAME }, world.now);
    const shown = (claims: readonly (Claim | LockClaim)[]): string[] =>
      claims.map((claim) => `${claim.owner} ${claim.lease} ${claim.count} ${claim.token}`);
    // Of one token, in any order.
    expect(shown(info.holders).toSorted()).toEqual(shown(model.holders).toSorted());
    expect(shown(info.waiters)).toEqual(shown(model.waiters));
    expect([info.holderCount, info.waiterCount]).toEqual([model.holders.length, model.waiters.length]);
    for (const { owner, token, weight } of model.holders) {
      expect(this.#isHeld(token!, owner)).toBe(true);
      const isAlone = weight === this.#kind.capacity;
      expect(codeOf(() => expect(this.#isHeld(token!)).toBe(true))).toBe(isAlone ? "none" : "invalid_argument");
    }
  }

  #isHeld(token: number, owner?: string): boolean {
    return this.world.core.query("lock.check", { name: NAME, token, owner }, this.world.now);
  }
}

test.each(KINDS.map((kind) => [Object.values(kind.terms)[0]!.kind, kind] as const))("%s", (_name, kind) => {
  let grants = 0;
  const steps = fc.array(step(kind), { minLength: 20, maxLength: 60, size: "max" });
  fc.assert(
    fc.property(steps, (sequence) => {
      const trial = new Trial(kind);
      for (const one of sequence) trial.run(one);
      grants += trial.model.spent.length;
    }),
    { numRuns: 40 },
  );
  // It was fought for.
  expect(grants).toBeGreaterThan(40);
});
