/**
 * What can be wrong with a set of rules as a whole. The reason and the facts are in the details, so that a dialect can say
 * it in its own words.
 */
import type { ErrorDetails } from "../errors.ts";
import { HoldfastError } from "../errors.ts";

export const GRAPH_REASONS = [
  "protocol_mismatch",
  "protocol_not_routable",
  "circular_reference",
  "circular_redirect",
  "unknown_subset",
  "external_redirect",
  "external_subsets",
  "external_failover",
  "graph_too_large",
  "gateway_clash",
  "listener_protocol",
  "access_protocol",
  "unknown_issuer",
  "issuer_in_use",
  "permissive_tls",
  "export_crosses",
  "export_new_target",
] as const;

export type GraphReason = (typeof GRAPH_REASONS)[number];

/** An `invalid_argument` with `details.reason`. */
export function graphError(reason: GraphReason, message: string, details: ErrorDetails): HoldfastError {
  return new HoldfastError("invalid_argument", message, { reason, ...details });
}

/** Node keys and target ids hold no blanks, so a joined path can be taken apart again. */
export const PATH_SEPARATOR = " -> ";
