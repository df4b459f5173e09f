/** The body of an intention that is written, and names in parameters. */
import { permission } from "../config/entries/intentions.ts";
import type { Issues, Typed } from "../config/schema.ts";
import { list } from "../config/schema.ts";
import type { Decoded } from "../decode.ts";
import { anything, int, map, object, text } from "../decode.ts";
import { badRequest, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";

export const intentionBody = object({
  ID: text,
  Description: text,
  SourceNS: text,
  SourceName: text,
  DestinationNS: text,
  DestinationName: text,
  SourcePartition: text,
  DestinationPartition: text,
  SourcePeer: text,
  SourceSamenessGroup: text,
  SourceType: text,
  Action: text,
  Permissions: anything,
  JWT: anything,
  DefaultAddr: text,
  DefaultPort: int,
  Meta: map(text),
  Precedence: int,
  CreatedAt: anything,
  UpdatedAt: anything,
  Hash: anything,
  CreateIndex: anything,
  ModifyIndex: anything,
});
export type IntentionBody = Decoded<typeof intentionBody>;

const permissions = list(permission);

export function permissionsOf({ Permissions }: IntentionBody): Typed<typeof permissions> {
  const issues: Issues = { unused: [], errors: [] };
  const decoded = permissions.decode(Permissions, "Permissions", issues);
  const [unknown] = issues.unused;
  if (unknown !== undefined) throw badRequest(`Request decode failed: json: unknown field ${JSON.stringify(unknown)}`);
  if (issues.errors.length > 0) throw badRequest(`Request decode failed: ${issues.errors[0]}`);
  return decoded;
}

/** A service in a parameter: `name`, `default/name`, and of another cluster `peer:cluster/name`. */
export interface NamedService {
  service: string;
  peer: string;
}

/** `what` is what the texts of errors call it. */
export function parseService(what: string, field: string, given: string, allowPeer = false): NamedService {
  const failed = (why: string): Error => refused(`${what} ${JSON.stringify(given)} is invalid: ${why}`);
  const isPeer = given.startsWith("peer:");
  if (isPeer && !allowPeer) throw failed("cannot specify a peer here");
  const parts = given.split("/");
  if (parts.length > 3) throw failed("input can contain at most two '/'");
  if (isPeer && parts.length === 1) throw failed("need to specify the service name as well");
  const service = parts.at(-1)!;
  const namespace = parts.length === 3 ? parts[1]! : parts.length === 2 && !isPeer ? parts[0]! : "default";
  assertNamespace(field, namespace);
  return { service, peer: isPeer ? parts[0]!.slice("peer:".length) : "" };
}

export function assertNamespace(field: string, namespace: string): void {
  if (["", "default", "*"].includes(namespace)) return;
  throw refused(`Invalid ${field} ${JSON.stringify(namespace)}: Namespaces is a Consul Enterprise feature`);
}

/** Given once, and not empty. */
export function required(exchange: Exchange, name: string): string {
  const values = exchange.params.getAll(name);
  if (values.length !== 1 || values[0] === "") throw refused(`required query parameter '${name}' not set`);
  return values[0]!;
}
