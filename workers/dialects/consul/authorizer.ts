/** What a caller may do, in the words of Consul's rules. */

export type Resource =
  | "acl"
  | "agent"
  | "event"
  | "identity"
  | "intention"
  | "key"
  | "keyring"
  | "mesh"
  | "node"
  | "operator"
  | "peering"
  | "query"
  | "service"
  | "session";

export type Access = "read" | "list" | "write";

export interface ConsulAuthorizer {
  /** False for the anonymous token. */
  readonly isKnown: boolean;
  /** May do everything, see tokens, and take snapshots. */
  readonly isManagement: boolean;
  readonly defaultPolicy: "allow" | "deny";
  /** Listing keys takes the level `list` on what they begin with (`acl.enable_key_list_policy`). */
  readonly guardsKeyLists: boolean;
  allows(resource: Resource, access: Access, name: string): boolean;
  /** Everything whose name begins so. */
  allowsBelow(resource: Resource, access: Access, prefix: string): boolean;
  /** Something, whatever its name. */
  allowsAny(resource: Resource, access: Access): boolean;
  /** Made of the same rights, as they were read at one time. */
  isSameAs(other: ConsulAuthorizer): boolean;
  /** The text of a refusal. */
  denial(resource: Resource, access: Access, name: string): string;
}
