/** An authorizer in the words of Consul's rules: resources and levels in place of kinds and verbs. */
import { prefixEnd, utf8 } from "../../../../objects/bytes.ts";
import type { DefaultPolicy, Kind, Verb } from "../../../../objects/policy/statements.ts";
import type { KeyRange } from "../../../../objects/store/txn.ts";
import { ANONYMOUS_ACCESSOR } from "../../../../objects/policy/tokens.ts";
import type { Authorizer } from "../../../request/authorizer.ts";
import type { Access, ConsulAuthorizer, Resource } from "../authorizer.ts";

/** Null: a resource that Consul no longer has. Nobody has a right to it. */
const KIND_OF: Record<Resource, Kind | null> = {
  acl: "acl",
  agent: "agent",
  event: "event",
  identity: null,
  intention: "intention",
  key: "kv",
  keyring: "keyring",
  mesh: "mesh",
  node: "node",
  operator: "operator",
  peering: "peering",
  query: "query",
  service: "service",
  session: "session",
};
/** Rules for these name nothing. */
const UNNAMED: ReadonlySet<Resource> = new Set(["acl", "keyring", "mesh", "operator", "peering"]);
/** Consul has one level for all that changes something: whoever is to have it must have each of these. */
const VERBS_OF: Record<Access, readonly Verb[]> = {
  read: ["read"],
  list: ["list"],
  write: ["create", "update", "delete"],
};
const EVERY_NAME: KeyRange = { from: new Uint8Array(), to: null };

export class PolicyAuthorizer implements ConsulAuthorizer {
  readonly #authorizer: Authorizer;

  constructor(authorizer: Authorizer) {
    this.#authorizer = authorizer;
  }

  get isKnown(): boolean {
    return this.#authorizer.principal !== "anonymous";
  }

  get isManagement(): boolean {
    return this.allows("acl", "write", "");
  }

  get defaultPolicy(): DefaultPolicy {
    return this.#authorizer.defaultPolicy;
  }

  get guardsKeyLists(): boolean {
    return this.#authorizer.guardsKeyLists;
  }

  /** As Consul's messages name the caller; empty for the root token, which has none. */
  get accessor(): string {
    return this.#authorizer.accessor ?? "";
  }

  allows(resource: Resource, access: Access, name: string): boolean {
    const kind = KIND_OF[resource];
    if (kind === null) return false;
    if (resource === "intention" && name === "*") return this.#allowsAnyIntention(access);
    const on = UNNAMED.has(resource) ? "" : name;
    return VERBS_OF[access].every((verb) => this.#authorizer.allows(verb, kind, on));
  }

  /** Everything whose name begins so. */
  allowsBelow(resource: Resource, access: Access, prefix: string): boolean {
    const kind = KIND_OF[resource];
    if (kind === null) return false;
    const from = utf8(prefix);
    return VERBS_OF[access].every((verb) => this.#authorizer.covers(verb, kind, { from, to: prefixEnd(from) }));
  }

  /** Something, whatever its name. */
  allowsAny(resource: Resource, access: Access): boolean {
    const kind = KIND_OF[resource];
    return kind !== null && VERBS_OF[access].every((verb) => this.#authorizer.allowsAny(verb, kind));
  }

  isSameAs(other: ConsulAuthorizer): boolean {
    return other instanceof PolicyAuthorizer && other.#authorizer === this.#authorizer;
  }

  denial(resource: Resource, access: Access, name: string): string {
    const who = this.accessor === ANONYMOUS_ACCESSOR ? "anonymous token" : `token with AccessorID '${this.accessor}'`;
    const on = name === "" ? "" : ` on "${name}"`;
    const hint = " The anonymous token is used implicitly when a request does not specify a token.";
    const why = this.accessor === ANONYMOUS_ACCESSOR ? `.${hint}` : "";
    return `Permission denied: ${who} lacks permission '${resource}:${access}'${on}${why}`;
  }

  /** The wildcard is read by who may read some, and written by who may write all. */
  #allowsAnyIntention(access: Access): boolean {
    if (access !== "write") return this.#authorizer.allowsAny("read", "intention");
    return VERBS_OF.write.every((verb) => this.#authorizer.covers(verb, "intention", EVERY_NAME));
  }
}
