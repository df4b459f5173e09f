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
import { DIRECTORY_NAME } from "../../objects/directory-name.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { Caller } from "../../objects/model.ts";
import { CompiledPolicy } from "../../objects/policy/compiled.ts";
import type { Resolution } from "../../objects/policy/principal.ts";
import type { DefaultPolicy, Kind, Verb } from "../../objects/policy/statements.ts";
import { nameOf } from "../../objects/policy/statements.ts";
import type { KeyRange } from "../../objects/store/txn.ts";
import type { Bindings } from "./bindings.ts";
import type { Asking } from "./caller.ts";
import { assertLocalBrowser, rootTokenOf, sameSecret, sourceOf, tokenOf } from "./caller.ts";
import { datacenterOf, primaryOf } from "./datacenter.ts";
import { DEFAULT_NAMESPACE } from "./namespace.ts";
import { NamespaceClient } from "./namespace-client.ts";

/** Of a caller who has logged in as a user. */
export interface Login {
  user: string;
  /** Of its token, as of when that was looked up. */
  expiresAt: number;
}

export class Authorizer {
  /** As the audit log names it: `root`, `anonymous`, `token:<accessor>`, `user:<name>`. */
  readonly principal: string;
  /** Null: the root token, or open mode. */
  readonly accessor: string | null;
  readonly defaultPolicy: DefaultPolicy;
  /** Reading keys as a range takes the right to list them, not only that to read each. */
  readonly guardsKeyLists: boolean;
  /** Null: the token is nobody's. */
  readonly login: Login | null;
  readonly #policy: CompiledPolicy;

  constructor(
    principal: string,
    accessor: string | null,
    policy: CompiledPolicy,
    defaultPolicy: DefaultPolicy,
    guardsKeyLists = false,
    login: Login | null = null,
  ) {
    this.principal = principal;
    this.accessor = accessor;
    this.defaultPolicy = defaultPolicy;
    this.guardsKeyLists = guardsKeyLists;
    this.login = login;
    this.#policy = policy;
  }

  /** May do everything, in every namespace: there is nothing to ask. */
  get isUnbounded(): boolean {
    return this.accessor === null;
  }

  /** A text is meant as its UTF-8. Kinds without names are asked for without one. */
  allows(verb: Verb, kind: Kind, name: string | Uint8Array = ""): boolean {
    return this.#policy.allows(verb, kind, nameOf(name));
  }

  /** Every name in the range. */
  covers(verb: Verb, kind: Kind, { from, to }: KeyRange): boolean {
    const range = { from: toBinaryString(from), to: to && toBinaryString(to) };
    const isList = this.guardsKeyLists && verb === "read" && kind === "kv";
    return this.#policy.covers(verb, kind, range) && (!isList || this.#policy.covers("list", kind, range));
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

  /** `unauthenticated` for who has shown no token: with one it might be allowed. */
  denied(verb: Verb, kind: Kind, name = ""): HoldfastError {
    const shown = name.slice(0, 256);
    const what = `${verb} ${kind}${shown === "" ? "" : ` "${shown}"`}`;
    const details = { principal: this.principal, verb, kind, name: shown };
    if (this.principal !== "anonymous") {
      return new HoldfastError("permission_denied", `${this.principal} lacks the right to ${what}`, details);
    }
    const hint = "no token: send one as `Authorization: Bearer TOKEN`";
    return new HoldfastError("unauthenticated", `${hint}; without it nobody has the right to ${what}`, details);
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
const UNKNOWN_MAX = 5000;
const EXISTING_MAX = 10_000;
/** Over all kept principals. */
const STATEMENTS_MAX = 400_000;

interface Kept {
  authorizer: Authorizer;
  expiresAt: number | null;
  /** Void in others than this datacenter; "" = in none. */
  datacenter: string;
  readAt: number;
  statements: number;
}

/** Namespace and secret's hash → what was read; the oldest first. */
const kept = new Map<string, Kept>();
let keptStatements = 0;
/** Those that nobody has, and when they were asked for. Apart, so that guesses push out nothing but guesses. */
const unknown = new Map<string, number>();
/** Counts changes made here: what was asked for before one and comes after it is not kept. */
let changes = 0;

/**
 * The caller behind a token; null = no token. Policies and tokens are those of the primary datacenter, whichever is asked. Codes: `unauthenticated` (nobody has it), `unavailable` (not set up yet, or out of reach).
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
  return storedAuthorizerOf(token, env, namespace, datacenter);
}

/** Whom the namespace itself knows, whatever the deployment is open for. Codes: as `authorizerOf`. */
export async function storedAuthorizerOf(
  token: string | null,
  env: Bindings,
  namespace: string,
  datacenter = datacenterOf(env),
): Promise<Authorizer> {
  return authorizerOfHash(token === null ? null : hashOf(token), env, namespace, datacenter);
}

/** Asks the owner of policies. */
export type Resolve = (secretHash: string | null) => Promise<Resolution>;

/** The same by the token's hash; `resolve` is for who has another way to the owner than a call. */
export async function authorizerOfHash(
  secretHash: string | null,
  env: Bindings,
  namespace: string,
  datacenter: string,
  resolve?: Resolve,
): Promise<Authorizer> {
  const found = await read(secretHash, env, namespace, resolve);
  if (!found || !isValid(found, datacenter, Date.now())) {
    throw new HoldfastError("unauthenticated", "the token is not known");
  }
  return found.authorizer;
}

/**
 * The caller, for the edge's own datacenter, if that is known here without asking; null = it takes the ordinary way, also to
 * be refused.
 */
export function identifyKept(
  request: Asking,
  token: string | null,
  env: Bindings,
  namespace: string,
): Authorizer | null {
  if (env.HOLDFAST_OPEN === "1") return isLocalBrowser(request, env) ? OPEN : null;
  const root = env.HOLDFAST_ROOT_TOKEN;
  if (!root) return null;
  if (token !== null && sameSecret(token, root)) return ROOT;
  const found = kept.get(keyOf(namespace, token === null ? null : hashOf(token)));
  const nowAt = Date.now();
  return found && nowAt - found.readAt < FRESH_MS && isValid(found, datacenterOf(env), nowAt) ? found.authorizer : null;
}

function isLocalBrowser(request: Asking, env: Bindings): boolean {
  try {
    assertLocalBrowser(request, env);
    return true;
  } catch {
    return false;
  }
}

const isValid = ({ expiresAt, datacenter }: Kept, asked: string, nowAt: number): boolean =>
  (expiresAt === null || expiresAt > nowAt) && (datacenter === "" || datacenter === asked);

/** An empty token is none. */
export const bearerOf = (headers: Headers): string | null => tokenOf(headers) || null;

/** Who asks, for the audit log, and what they may do. Codes: as `authorizerOf`, and `permission_denied` in open mode. */
export async function identify(
  request: Asking,
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
  changes++;
  for (const key of kept.keys()) if (key.startsWith(`${namespace}\0`)) drop(key);
  unknown.clear();
}

/** After one token has been changed. */
export const forgetAuthorizer = (namespace: string, token: string): void => drop(keyOf(namespace, hashOf(token)));

/** SHA-256 of a token's secret, in hex: what the namespace finds it by. */
export const hashOf = (secret: string): string => createHash("sha256").update(secret).digest("hex");

/**
 * Whoever has not proven anything must not bring objects into being by naming them: only namespaces that the directory
 * knows are asked, and the default one, which a fresh installation is asked for before its first write.
 */
const existing = new Set<string>();

export async function namespaceExists(env: Bindings, namespace: string): Promise<boolean> {
  if (namespace === DEFAULT_NAMESPACE || existing.has(namespace)) return true;
  let isKnown: boolean;
  try {
    isKnown = await env.DIRECTORY.getByName(DIRECTORY_NAME).has(namespace, primaryOf(env));
  } catch {
    throw new HoldfastError("unavailable", "the directory is out of reach", undefined, 1000);
  }
  if (!isKnown) return false;
  if (existing.size >= EXISTING_MAX) existing.clear();
  existing.add(namespace);
  return true;
}

const keyOf = (namespace: string, secretHash: string | null): string => `${namespace}\0${secretHash ?? ""}`;

const calling =
  (env: Bindings, namespace: string): Resolve =>
  async (secretHash) =>
    (await new NamespaceClient(env, namespace, primaryOf(env)).query("policy.resolve", { secretHash })).value;

/** Null: nobody has this secret. */
async function read(
  secretHash: string | null,
  env: Bindings,
  namespace: string,
  resolve: Resolve = calling(env, namespace),
): Promise<Kept | null> {
  const key = keyOf(namespace, secretHash);
  const nowAt = Date.now();
  const before = kept.get(key);
  if (before && nowAt - before.readAt < FRESH_MS) return before;
  if (nowAt - (unknown.get(key) ?? 0) < UNKNOWN_MS) return null;
  const changesBefore = changes;
  if (!(await namespaceExists(env, namespace))) return null;
  try {
    const entry = entryOf(await resolve(secretHash), nowAt);
    if (changes === changesBefore) keep(key, entry, nowAt);
    return entry;
  } catch (error) {
    const isOut = error instanceof HoldfastError && error.code === "unavailable";
    if (isOut && before && nowAt - before.readAt < STALE_MS) return before;
    throw error;
  }
}

/** As of when it was asked for. */
function entryOf({ principal, defaultPolicy, keyList }: Resolution, readAt: number): Kept | null {
  if (!principal) return null;
  const { accessor, isAnonymous, datacenter, expiresAt, user, statements } = principal;
  const policy = new CompiledPolicy(statements, defaultPolicy);
  const name = isAnonymous ? "anonymous" : user === undefined ? `token:${accessor}` : `user:${user}`;
  const login = user === undefined || expiresAt === null ? null : { user, expiresAt };
  const authorizer = new Authorizer(name, accessor, policy, defaultPolicy, keyList, login);
  return { authorizer, expiresAt, datacenter, readAt, statements: statements.length };
}

function keep(key: string, entry: Kept | null, nowAt: number): void {
  drop(key);
  if (!entry) {
    if (unknown.size >= UNKNOWN_MAX) unknown.clear();
    unknown.set(key, nowAt);
    return;
  }
  kept.set(key, entry);
  keptStatements += entry.statements;
  while (kept.size > KEPT_MAX || (keptStatements > STATEMENTS_MAX && kept.size > 1)) drop(kept.keys().next().value!);
}

function drop(key: string): void {
  const entry = kept.get(key);
  if (!entry) return;
  kept.delete(key);
  keptStatements -= entry.statements;
}
