/**
 * Sessions: who holds keys, and for how long. A session lives on a node, as long as the checks that it is bound to are not
 * critical and, with a time to live, as long as it is renewed. Renewals stay in memory, as those of leases do.
 *
 * What becomes of the keys when it ends is `ending.ts`'s business.
 * Refuses to know: how a dialect shows a session (`extra`), and when it wants one to end other than it says.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { Timer } from "../leases/deadlines.ts";
import { assertTtl } from "../leases/leases.ts";
import type { HealthStatus } from "../model.ts";
import type { Extra, Page, PageInput, Stored } from "../policy/records.ts";
import { assertExtra, freshId, pageOf, storedOf } from "../policy/records.ts";
import { assertName, assertText } from "../registry/limits.ts";
import type { NodeSpec } from "../registry/nodes.ts";
import { ensureNode, nodeNamed } from "../registry/nodes.ts";
import { nodeKey } from "../registry/spaces.ts";
import { applyStep } from "../registry/steps.ts";
import { checksNamed } from "../registry/views.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

/** What becomes of the keys that a session holds when it ends. */
export type Behavior = "release" | "delete";

export interface Session {
  /** A UUID. */
  id: string;
  name: string;
  node: string;
  behavior: Behavior;
  /** How long nobody acquires the keys that it held when it ended; at most a minute counts. */
  lockDelayMs: number;
  /** It ends so long after its last renewal; null = never by itself. */
  ttlMs: number | null;
  /** Checks of its node, or of instances there: it ends when one is critical or gone. */
  checks: string[];
  createdAt: number;
  /** Per dialect: what only that dialect knows, given back to it alone. */
  extra: Extra;
}

export interface SessionInput {
  name: string;
  /** A node that is registered. */
  node: string;
  /** To be registered unless it is, and to have these checks unless it has them. */
  ensure?: NodeSpec | undefined;
  behavior: Behavior;
  lockDelayMs: number;
  ttlMs: number | null;
  checks: string[];
  extra?: Extra | undefined;
}

/** By id. */
export const sessionSpace = new JsonSpace<Session>("session");
/** Node key, id. */
export const sessionsOnNode = new JsonSpace<Record<never, never>>("session_node");
/** Node key, check, id: the sessions that are bound to a check. */
export const sessionsOnCheck = new JsonSpace<Record<never, never>>("session_check");

const CHECKS_MAX = 64;
const NAME_CHARACTERS_MAX = 255;
const LOCK_DELAY_MAX_MS = 366 * 86_400_000;

/**
 * Codes: `invalid_argument`; `not_found` with `node` or `check`, which has to be registered; `conflict` with `check`, which
 * must not be critical.
 */
export function createSession(txn: Txn, context: Context, input: SessionInput): Stored<Session> {
  const { name, node, ensure, behavior, lockDelayMs, ttlMs, checks, extra = {} } = input;
  assertText("name", name, NAME_CHARACTERS_MAX);
  assertText("node", node, NAME_CHARACTERS_MAX);
  if (behavior !== "release" && behavior !== "delete") throw invalid("behavior", "must be release or delete");
  if (!(lockDelayMs >= 0 && lockDelayMs <= LOCK_DELAY_MAX_MS)) throw invalid("lockDelay", "must be from 0 to 366 days");
  if (ttlMs !== null) assertTtl("ttl", ttlMs);
  if (checks.length > CHECKS_MAX) throw invalid("checks", `must have at most ${CHECKS_MAX} entries`);
  assertExtra("extra", extra);
  if (ensure) ensureWithChecks(txn, context, ensure);
  const found = nodeNamed(txn, node);
  if (!found) throw new HoldfastError("not_found", `there is no node "${node}"`, { node });
  const bound = [...new Set(checks)];
  for (const check of bound) assertHolds(txn, found.name, check);
  const id = freshId(context);
  const createdAt = context.now;
  const session: Session = {
    id,
    name,
    node: found.name,
    behavior,
    lockDelayMs,
    ttlMs,
    checks: bound,
    createdAt,
    extra,
  };
  sessionSpace.put(txn, [id], session);
  const key = nodeKey(found.name);
  sessionsOnNode.put(txn, [key, id], {});
  for (const check of bound) sessionsOnCheck.put(txn, [key, check, id], {});
  return describeSession(txn, { id })!;
}

function ensureWithChecks(txn: Txn, context: Context, spec: NodeSpec): void {
  ensureNode(txn, context, spec);
  const { name, checks } = nodeNamed(txn, spec.name)!;
  for (const check of spec.checks ?? []) {
    if (checks.some(({ id }) => id === check.id)) continue;
    applyStep(txn, context, { type: "check.put", owner: { node: name }, check });
  }
}

function assertHolds(reader: Reader, node: string, check: string): void {
  assertName("checks", check);
  const status = checkStatus(reader, node, check);
  if (status === undefined) throw new HoldfastError("not_found", `there is no check "${check}"`, { check });
  if (status === "critical") throw new HoldfastError("conflict", `check "${check}" is critical`, { check });
}

/** Of a check on a node, its own or an instance's: the best of those with this id; undefined when there is none. */
export function checkStatus(reader: Reader, node: string, check: string): HealthStatus | undefined {
  const found = checksNamed(reader, { node, check }).map((owned) => owned.check.status);
  return found.find((status) => status !== "critical") ?? found[0];
}

export function describeSession(reader: Reader, { id }: { id: string }): Stored<Session> | null {
  const record = isId(id) ? sessionSpace.record(reader, id) : undefined;
  return record ? storedOf(sessionSpace, record) : null;
}

/** All of them, or those on one node. */
export function listSessions(
  reader: Reader,
  { node, after }: PageInput & { node?: string | undefined },
): Page<Stored<Session>> {
  if (node === undefined) {
    return pageOf(sessionSpace, reader, { after }, (record) => storedOf(sessionSpace, record));
  }
  return pageOf(sessionsOnNode, reader, { after, under: [nodeKey(node)] }, ({ key }) => {
    return describeSession(reader, { id: sessionsOnNode.parts(key)[1]! })!;
  });
}

/** Throws `not_found` unless the session lives: asked in the commit that leans on it (rule M3). */
export function requireSession(reader: Reader, id: string): Stored<Session> {
  const session = describeSession(reader, { id });
  if (!session) throw noSession(id);
  return session;
}

export function noSession(id: string): HoldfastError {
  return new HoldfastError("not_found", `there is no session "${String(id).slice(0, 64)}"`, { session: String(id) });
}

/** Not every text can be a key. */
const isId = (id: unknown): id is string => typeof id === "string" && /^[0-9a-f-]{36}$/.test(id);

const TIMER = "session\0";

export const sessionTimerKey = (id: string): string => TIMER + id;
export const sessionOf = (timerKey: string): string => timerKey.slice(TIMER.length);

/** Null: it never ends by itself. */
export function sessionTimer({ id, ttlMs, createdAt }: Session): Timer | null {
  return ttlMs === null ? null : { key: sessionTimerKey(id), kind: "session", ttlMs, sinceAt: createdAt };
}
