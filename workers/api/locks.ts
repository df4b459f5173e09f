/** Locks: acquired and waited for, renewed, released, and asked about. */
import { z } from "@hono/zod-openapi";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import { claimRange } from "../../objects/locks/arbiter.ts";
import type { AcquireInput, LockClaim, LockInfo, LockSummary, LockTerms } from "../../objects/locks/locks.ts";
import { LOCK_KINDS, locks } from "../../objects/locks/locks.ts";
import { WAIT_MAX_MS } from "../../objects/waiting.ts";
import type { CommandOptions } from "../request/namespace-client.ts";
import type { Demand } from "../request/permission.ts";
import { isoTime } from "./convert.ts";
import { demandOfAttaching } from "../request/key-demands.ts";
import { REVISION_MAX, route, whole, words } from "./route.ts";
import type { Turn, Waiter } from "./turn.ts";
import { awaitTurn, waiterOf } from "./turn.ts";
import { visiblePage } from "./visible.ts";

export const OWN_TTL_SECONDS = 15;
export const WAIT_SECONDS = 30;
export const WAIT_SECONDS_MAX = WAIT_MAX_MS / 1000;

/** Of every claim that may have to wait. */
export const claimFields = {
  owner: z.string().optional().describe("Who claims; the same owner may ask again. Default: a fresh one"),
  ttl: z
    .number()
    .finite()
    .min(0)
    .optional()
    .describe(`Of the claim's own lease, in seconds: it lapses without renewal. Default ${OWN_TTL_SECONDS}`),
  lease: z.string().optional().describe("A granted lease to live on, instead of a ttl"),
  wait: z
    .number()
    .finite()
    .min(0)
    .max(WAIT_SECONDS_MAX)
    .optional()
    .describe(`How long to wait, in seconds; 0 = only try. Default ${WAIT_SECONDS}`),
  stay: z
    .boolean()
    .optional()
    .describe(
      "Keep the place when the wait is over or the connection breaks, as long as its lease lives: 202. Under an " +
        "Idempotency-Key it is kept when the connection breaks, for the request that is repeated",
    ),
};

export const token = z.number().int().min(1).max(REVISION_MAX).describe("The fencing token it was granted with");
export const holding = z.strictObject({ owner: z.string(), token }).openapi("Holding");
export const withdrawal = z
  .strictObject({
    owner: z.string(),
    ticket: z.number().int().min(1).max(REVISION_MAX).optional().describe("Only if it is this request that waits"),
  })
  .openapi("Withdrawal");
export const renewal = z.object({ ttl: z.number().describe("From now, in seconds") });

const acquireInput = z
  .strictObject({
    ...claimFields,
    kind: z.enum(LOCK_KINDS).optional().describe("Default: mutex"),
    mode: z.enum(["read", "write"]).optional().describe("Of a readWrite lock; default write"),
    limit: z.number().int().optional().describe("Permits of a semaphore in all"),
    permits: z.number().int().optional().describe("Permits wanted of a semaphore; default 1"),
  })
  .openapi("AcquireInput");

const claimOutput = z
  .object({
    name: z.string(),
    owner: z.string(),
    token: z.number().int().nullable().describe("The fencing token; null: it waits"),
    kind: z.enum(LOCK_KINDS),
    mode: z.enum(["read", "write"]).optional(),
    permits: z.number().int().optional(),
    limit: z.number().int().optional(),
    count: z.number().int().describe("Releases that are due"),
    lease: z.string(),
    ttl: z.number().describe("In seconds; of a grant that was waited for at least two thirds are left: renew in time"),
    ticket: z.number().int().describe("Names the request that waits"),
    since: z.iso.datetime().describe("Granted then; while it waits, queued then"),
  })
  .openapi("LockClaim");

const summaryFields = {
  name: z.string(),
  kind: z.enum(LOCK_KINDS).nullable().describe("Null: nobody holds it or waits for it"),
  limit: z.number().int().nullable(),
  holderCount: z.number().int(),
  waiterCount: z.number().int(),
};

export const lockRoutes = [
  route({
    method: "get",
    path: "/locks",
    tag: "Locks",
    id: "listLocks",
    summary: "Locks that are held or waited for",
    permission: [{ verb: "read", kind: "lock", filtered: true }],
    query: z.strictObject({ after: words("Continue after this name") }),
    response: z.object({ locks: z.array(z.object(summaryFields)), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage<LockSummary>(
        query.after ?? null,
        (after) => client.query("lock.list", { after }),
        ({ name }) => authorizer.allows("read", "lock", name),
        ({ name }) => name,
      );
      return { value: { locks: value.items, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/locks/{name}",
    tag: "Locks",
    id: "getLock",
    summary: "Who holds a lock, and who waits for it, in order",
    permission: [{ verb: "read", kind: "lock", on: "name" }],
    response: z.object({ ...summaryFields, holders: z.array(claimOutput), waiters: z.array(claimOutput) }),
    async handle({ client, params }) {
      const { value, revision } = await client.query("lock.get", { name: params["name"]! });
      return { value: infoOutput(value), revision };
    },
  }),
  route({
    method: "get",
    path: "/locks/{name}/check",
    tag: "Locks",
    id: "checkLock",
    summary: "Whether a fencing token still holds the lock: for the resource that it guards",
    permission: [{ verb: "read", kind: "lock", on: "name" }],
    query: z.strictObject({
      token: whole(1, REVISION_MAX, "The token that was shown"),
      owner: words("Only if it is this owner's; needed where the lock is shared: by readers, by permits"),
    }),
    response: z.object({ held: z.boolean() }),
    async handle({ client, params, query }) {
      if (query.token === undefined) throw invalid("token", "is needed");
      const input = { name: params["name"]!, token: query.token, owner: query.owner };
      // A token that has lost its lock must not seem to hold it, wherever the answer comes from.
      const { value, revision } = await client.query("lock.check", input, { strong: true });
      return { value: { held: value }, revision };
    },
  }),
  route({
    method: "post",
    path: "/locks/{name}/acquire",
    tag: "Locks",
    id: "acquireLock",
    summary: "Acquire a lock, waiting in line if need be; conflict when it was not to be had in that time",
    permission: [
      { verb: "acquire", kind: "lock", on: "name" },
      { verbs: ["acquire", "update"], kinds: ["lock", "session"], parts: ({ body }) => demandsOfLease(body) },
    ],
    body: acquireInput,
    response: claimOutput,
    async handle(asked) {
      const { params, body, options } = asked;
      const name = params["name"]!;
      const input = { name, ...claimInput(body), ...termsOf(body) };
      const { claim, revision } = await acquire(waiterOf(asked, "acquire"), input, waitOf(body), options);
      if (!claim) throw notToBeHad("lock", name);
      return { value: claimOutputOf(claim), revision, status: claim.token === null ? 202 : 200 };
    },
  }),
  route({
    method: "post",
    path: "/locks/{name}/renew",
    tag: "Locks",
    id: "renewLock",
    summary: "Renew the lease of a lock that is held; no commit, no revision",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: holding,
    response: renewal,
    async handle({ client, params, body }) {
      const { value, revision } = await client.renewClaim("lock", { name: params["name"]!, ...body });
      return { value: { ttl: value.ttlMs / 1000 }, revision };
    },
  }),
  route({
    method: "post",
    path: "/locks/{name}/release",
    tag: "Locks",
    id: "releaseLock",
    summary: "Release a lock: whoever is next holds it in the same commit",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: holding.extend({ all: z.boolean().optional().describe("However often it was acquired") }),
    response: z.object({ count: z.number().int().describe("Releases that are still due") }),
    handle: ({ client, params, body, options }) =>
      client.execute("lock.release", { name: params["name"]!, ...body }, options),
  }),
  route({
    method: "post",
    path: "/locks/{name}/withdraw",
    tag: "Locks",
    id: "withdrawLock",
    summary: "Give up waiting for a lock; what is held stays",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: withdrawal,
    response: z.object({ claim: claimOutput.nullable().describe("What the owner has all the same") }),
    async handle({ client, params, body, options }) {
      const { value, revision } = await client.execute("lock.withdraw", { name: params["name"]!, ...body }, options);
      return { value: { claim: value && claimOutputOf(value) }, revision };
    },
  }),
];

export interface Wait {
  waitMs: number;
  /** The place outlasts the request. */
  stay: boolean;
}

/** The command may have been run before, under its id: what it has answered may have been then. */
export const isRepeatable = ({ requestId }: CommandOptions): boolean => requestId !== undefined;

/**
 * Acquires a lock, and waits for it. Null: not in that time; a claim without a token stays in line. Codes: those of
 * `lock.acquire` and `awaitTurn`.
 */
export async function acquire(
  waiter: Waiter,
  input: Omit<AcquireInput, "wait" | "resume"> & LockTerms,
  { waitMs, stay }: Wait,
  options: CommandOptions,
): Promise<{ claim: LockClaim | null; revision: number }> {
  const { client } = waiter;
  const { name } = input;
  const wait = waitMs > 0 || stay;
  const { value: claim, revision } = await client.execute("lock.acquire", { ...input, wait, resume: stay }, options);
  if (!claim || isSettled(claim, waitMs, options)) return { claim, revision };
  // Later commands are other commands: the request's id is the acquisition's.
  const { caller } = options;
  const { owner, ticket } = claim;
  const turn = await awaitTurn(waiter, {
    query: "lock.claim",
    input: { name, owner },
    claim,
    range: claimRange(locks, name, owner),
    waitMs,
    stay,
    lasts: stay || isRepeatable(options),
    withdraw: async () => (await client.execute("lock.withdraw", { name, owner, ticket }, { caller })).value,
    giveBack: ({ token }) => client.execute("lock.release", { name, owner, token: token! }, { caller }),
  });
  return { claim: turn, revision: turn?.token ?? revision };
}

/** There is nothing to wait for, nor to be looked up: the answer is of now. */
export const isSettled = ({ token }: Turn, waitMs: number, options: CommandOptions): boolean =>
  (token !== null || waitMs === 0) && !isRepeatable(options);

interface ClaimBody {
  owner?: string | undefined;
  ttl?: number | undefined;
  lease?: string | undefined;
  wait?: number | undefined;
  stay?: boolean | undefined;
}

/** On which lease a claim is to live. */
export function claimInput({ owner, ttl, lease }: ClaimBody): Pick<AcquireInput, "owner" | "ttlMs" | "lease"> {
  const seconds = ttl ?? (lease === undefined ? OWN_TTL_SECONDS : undefined);
  return { owner, lease, ttlMs: seconds === undefined ? undefined : Math.round(seconds * 1000) };
}

export function waitOf({ wait = WAIT_SECONDS, stay = false }: ClaimBody): Wait {
  return { waitMs: Math.round(wait * 1000), stay };
}

export const demandsOfLease = ({ lease }: ClaimBody): Demand[] =>
  lease === undefined ? [] : [demandOfAttaching(lease)];

export function notToBeHad(what: string, name: string): HoldfastError {
  return new HoldfastError("conflict", `${what} "${name}" was not to be had in that time`, { reason: "held" });
}

function termsOf({ kind = "mutex", mode, limit, permits }: z.infer<typeof acquireInput>): LockTerms {
  if (kind !== "readWrite" && mode !== undefined) throw invalid("mode", "is for readWrite locks");
  if (kind !== "semaphore" && limit !== undefined) throw invalid("limit", "is for semaphores");
  if (kind !== "semaphore" && permits !== undefined) throw invalid("permits", "is for semaphores");
  switch (kind) {
    case "mutex":
      return { kind };
    case "readWrite":
      return { kind, mode: mode ?? "write" };
    case "semaphore":
      if (limit === undefined) throw invalid("limit", "is needed for a semaphore");
      return { kind, limit, permits: permits ?? 1 };
  }
}

function claimOutputOf({ ttlMs, sinceAt, ownsLease: _ownsLease, ...claim }: LockClaim) {
  return { ...claim, ttl: ttlMs / 1000, since: isoTime(sinceAt) };
}

function infoOutput({ holders, waiters, ...info }: LockInfo) {
  return { ...info, holders: holders.map(claimOutputOf), waiters: waiters.map(claimOutputOf) };
}
