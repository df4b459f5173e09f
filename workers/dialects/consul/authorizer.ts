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
  allows(resource: Resource, access: Access, name: string): boolean;
  /** The text of a refusal. */
  denial(resource: Resource, access: Access, name: string): string;
}

/** The holder of the root token, and everybody in open mode. */
export const EVERYTHING: ConsulAuthorizer = {
  isKnown: true,
  isManagement: true,
  defaultPolicy: "deny",
  allows: () => true,
  denial: (resource, access, name) => `Permission denied: lacks permission '${resource}:${access}' on "${name}"`,
};
