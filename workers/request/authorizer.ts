/**
 * What a caller may do: its token turned into compiled statements, kept in this isolate for a short while.
 *
 * A kept answer is used for `FRESH_MS`; while the namespace cannot be reached, up to `STALE_MS`, which is the longest that
 * a revoked token is honoured here. A change made through this isolate is seen at once (`forgetAuthorizers`). What is kept
 * is plain data: no request waits for another's promise.
 *
 * Refuses to know: where a dialect carries its token, and what it answers to who has none.
 */
import { createHash } from "node:crypto";
import { toBinaryString } from "../../objects/bytes.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { Caller } from "../../objects/model.ts";
import { CompiledPolicy } from "../../objects/policy/compiled.ts";
import type { Resolution } from "../../objects/policy/principal.ts";
import type { DefaultPolicy, Kind, Verb } from "../../objects/policy/statements.ts";
import { nameOf } from "../../objects/policy/statements.ts";
import type { KeyRange } from "../../objects/store/txn.ts";
import type { Bindings } from "./bindings.ts";
import { assertLocalBrowser, rootTokenOf, sameSecret, sourceOf } from "./caller.ts";
import { datacenterOf } from "./datacenter.ts";
import { NamespaceClient } from "./namespace-client.ts";

export class Authorizer {
  /** As the audit log names it: `root`, `anonymous`, `token:<accessor>`. */
  readonly principal: string;
  /** Null: the root token, or open mode. */
  readonly accessor: string | null;
  readonly defaultPolicy: DefaultPolicy;
  readonly #policy: CompiledPolicy;

  constructor(principal: string, accessor: string | null, policy: CompiledPolicy, defaultPolicy: DefaultPolicy) {
    this.principal = principal;
    this.accessor = accessor;
    this.defaultPolicy = defaultPolicy;
    this.#policy = policy;
  }

  /** A text is meant as its UTF-8. Kinds without names are asked for without one. */
  allows(verb: Verb, kind: Kind, name: string | Uint8Array = ""): boolean {
    return this.#policy.allows(verb, kind, nameOf(name));
  }

  /** Every name in the range. */
  covers(verb: Verb, kind: Kind, { from, to }: KeyRange): boolean {
    return this.#policy.covers(verb, kind, { from: toBinaryString(from), to: to && toBinaryString(to) });
  }

  /** Some name. */
  allowsAny(verb: Verb, kind: Kind): boolean {
    return this.#policy.allowsAny(verb, kind);
  }

  filter<T>(verb: Verb, kind: Kind, items: readonly T[], name: (item: T) => string | Uint8Array): T[] {
    return items.filter((item) => this.allows(verb, kind, name(item)));
  }

  /** Throws `permission_denied`. */
  assert(verb: Verb, kind: Kind, name: string | Uint8Array = ""): void {
    if (!this.allows(verb, kind, name)) throw this.denied(verb, kind, typeof name === "string" ? name : "");
  }

  denied(verb: Verb, kind: Kind, name = ""): HoldfastError {
    const on = name === "" ? "" : ` on "${name.slice(0, 256)}"`;
    const details = { principal: this.principal, verb, kind };
    return new HoldfastError("permission_denied", `${this.principal} lacks the right to ${verb} ${kind}${on}`, details);
  }
}

const everything = (principal: string): Authorizer =>
  new Authorizer(principal, null, new CompiledPolicy([], "allow"), "deny");

/** The holder of the root token. */
export const ROOT = everything("root");
/** Everybody in open mode. */
export const OPEN = everything("anonymous");

const FRESH_MS = 10_000;
const STALE_MS = 30_000;
/** A token nobody knows is asked for again soon: it may just have been made elsewhere. */
const UNKNOWN_MS = 1000;
const KEPT_MAX = 2000;
/** Over all kept principals. */
const STATEMENTS_MAX = 400_000;

interface Kept {
  /** Null: nobody has this token. */
  authorizer: Authorizer | null;
  expiresAt: number | null;
  /** Void in other datacenters. */
  isLocal: boolean;
  readAt: number;
  statements: number;
}

/** Namespace and secret's hash → what was read; the oldest first. */
const kept = new Map<string, Kept>();
let keptStatements = 0;

/**
 * The caller behind a token; null = no token. Policies and tokens are those of the edge's own datacenter, also for what is
 * asked of another one. Codes: `unauthenticated` (nobody has it), `unavailable` (not set up yet, or out of reach).
 */
export async function authorizerOf(
  token: string | null,
  env: Bindings,
  namespace: string,
  datacenter = datacenterOf(env),
): Promise<Authorizer> {
  if (env.HOLDFAST_OPEN === "1") return OPEN;
  const root = rootTokenOf(env);
  if (token !== null && sameSecret(token, root)) return ROOT;
  const { authorizer, expiresAt, isLocal } = await read(token === null ? null : hashOf(token), env, namespace);
  const isOver = expiresAt !== null && expiresAt <= Date.now();
  const isElsewhere = isLocal && datacenter !== datacenterOf(env);
  if (!authorizer || isOver || isElsewhere) throw new HoldfastError("unauthenticated", "the token is not known");
  return authorizer;
}

/** Who asks, for the audit log, and what they may do. Codes: as `authorizerOf`, and `permission_denied` in open mode. */
export async function identify(
  request: Request,
  token: string | null,
  env: Bindings,
  target: { namespace: string; datacenter?: string; dialect: string },
): Promise<{ caller: Caller; authorizer: Authorizer }> {
  if (env.HOLDFAST_OPEN === "1") assertLocalBrowser(request, env);
  const authorizer = await authorizerOf(token, env, target.namespace, target.datacenter);
  const caller = { principal: authorizer.principal, source: sourceOf(request, env), dialect: target.dialect };
  return { caller, authorizer };
}

/** After policies, roles or tokens of a namespace have been changed. */
export function forgetAuthorizers(namespace: string): void {
  for (const key of kept.keys()) if (key.startsWith(`${namespace}\0`)) drop(key);
}

/** SHA-256 of a token's secret, in hex: what the namespace finds it by. */
export const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("hex");

async function read(secretHash: string | null, env: Bindings, namespace: string): Promise<Kept> {
  const key = `${namespace}\0${secretHash ?? ""}`;
  const before = kept.get(key);
  const ageMs = before ? Date.now() - before.readAt : Infinity;
  if (before && ageMs < (before.authorizer ? FRESH_MS : UNKNOWN_MS)) return before;
  try {
    const { value } = await new NamespaceClient(env, namespace).query("policy.resolve", { secretHash });
    return keep(key, value);
  } catch (error) {
    const isOut = error instanceof HoldfastError && error.code === "unavailable";
    if (isOut && before && ageMs < STALE_MS) return before;
    throw error;
  }
}

function keep(key: string, { principal, defaultPolicy }: Resolution): Kept {
  drop(key);
  const statements = principal?.statements ?? [];
  const entry: Kept = {
    authorizer: null,
    expiresAt: null,
    isLocal: false,
    readAt: Date.now(),
    statements: statements.length,
  };
  if (principal) {
    const name = principal.isAnonymous ? "anonymous" : `token:${principal.accessor}`;
    const policy = new CompiledPolicy(statements, defaultPolicy);
    entry.authorizer = new Authorizer(name, principal.accessor, policy, defaultPolicy);
    entry.expiresAt = principal.expiresAt;
    entry.isLocal = principal.isLocal;
  }
  kept.set(key, entry);
  keptStatements += entry.statements;
  while (kept.size > KEPT_MAX || (keptStatements > STATEMENTS_MAX && kept.size > 1)) drop(kept.keys().next().value!);
  return entry;
}

function drop(key: string): void {
  const entry = kept.get(key);
  if (!entry) return;
  kept.delete(key);
  keptStatements -= entry.statements;
}
