/** What makes rules break as a whole, in Consul's words. Consul answers 500 for all of it. */
import type { ErrorDetails } from "../../../../objects/errors.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import type { GraphReason } from "../../../../objects/rules/errors.ts";
import { PATH_SEPARATOR } from "../../../../objects/rules/errors.ts";
import { multiError } from "../multi-error.ts";
import { refused } from "../errors.ts";
import { nodeName, targetName } from "../discovery-chain/names.ts";

const quote = (value: ErrorDetails[string] | undefined): string => JSON.stringify(String(value ?? ""));

const GATEWAYS: Record<string, string> = { ingress: "ingress-gateway", egress: "terminating-gateway" };
const gateway = (kind: ErrorDetails[string] | undefined): string => quote(GATEWAYS[String(kind)]);

const LEADS_OUT: Record<string, string> = {
  datacenter_redirect: "cross-datacenter resolver redirect",
  peer_redirect: "cross-peer resolver redirect",
  datacenter_failover: "cross-datacenter failover",
};

const path = (details: ErrorDetails, name: (part: string) => string): string =>
  String(details["path"]).split(PATH_SEPARATOR).map(name).join(PATH_SEPARATOR);

const WORDS: Record<GraphReason, (details: ErrorDetails) => string> = {
  protocol_mismatch: ({ graph = "", service = "", protocol = "", expected = "" }) =>
    `discovery chain ${quote(graph)} uses inconsistent protocols; service ${quote(service)} has ${quote(protocol)} which is not ${quote(expected)}`,
  protocol_not_routable: ({ service = "", protocol = "" }) =>
    `discovery chain ${quote(service)} uses a protocol ${quote(protocol)} that does not permit advanced routing or splitting behavior`,
  circular_reference: (details) => `detected circular reference: [${path(details, nodeName)}]`,
  circular_redirect: (details) => `detected circular resolver redirect: [${path(details, targetName)}]`,
  unknown_subset: ({ service = "", subset = "" }) =>
    `service ${quote(service)} does not have a subset named ${quote(subset)}`,
  external_redirect: ({ service = "" }) =>
    `service ${quote(service)} has an external SNI set; cannot define redirects for external services`,
  external_subsets: ({ service = "" }) =>
    `service ${quote(service)} has an external SNI set; cannot define subsets for external services`,
  external_failover: ({ service = "" }) =>
    `service ${quote(service)} has an external SNI set; cannot define failover for external services`,
  graph_too_large: ({ service = "" }) => `discovery chain ${quote(service)} is too large`,
  gateway_clash: ({ kind = "", name = "", other = "" }) =>
    `cannot create a ${gateway(kind)} config entry with name ${quote(name)}, a ${gateway(other)} config entry with that name already exists`,
  listener_protocol: ({ service = "", protocol = "", expected = "" }) =>
    `service ${quote(service)} has protocol ${quote(protocol)}, which does not match defined listener protocol ${quote(expected)}`,
  access_protocol: ({ service = "", protocol = "" }) =>
    `service ${quote(service)} has protocol ${quote(protocol)}, which is incompatible with L7 intentions permissions`,
  unknown_issuer: ({ issuers = "" }) =>
    multiError(
      String(issuers)
        .split("\0")
        .map((name) => `Referenced JWT Provider does not exist. Provider Name: ${name}`),
    ),
  issuer_in_use: ({ issuer = "", name = "" }) =>
    `cannot delete jwt provider config entry referenced by an intention. Provider name: ${issuer}, intention name: ${name}`,
  permissive_tls: () =>
    "cannot set MutualTLSMode=permissive because AllowEnablingPermissiveMutualTLS=false in the mesh config entry",
  export_crosses: ({ service = "", what = "" }) =>
    `peer exported service ${quote(service)} contains ${LEADS_OUT[String(what)] ?? ""}`,
  export_new_target: ({ service = "", protocol = "", target = "" }) =>
    `peer exported service ${quote(service)} uses protocol=${quote(protocol)} and cannot introduce new discovery chain targets like ${quote(targetName(String(target)))}`,
};

/** The error in Consul's words, or as it is when it is about something else. */
export function inConsulsWords(error: unknown): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const { details } = error;
  const reason = details?.["reason"];
  if (typeof reason !== "string" || !Object.hasOwn(WORDS, reason)) return error;
  return refused(WORDS[reason as GraphReason](details!));
}
