/** Every kind of config entry that can be written, by Consul's name for it. */
import type { RuleKind } from "../../../../objects/rules/model.ts";
import { apiGateway, fileSystemCertificate, httpRoute, inlineCertificate, tcpRoute } from "./entries/api-gateway.ts";
import { proxyDefaults, serviceDefaults } from "./entries/defaults.ts";
import { ingressGateway, terminatingGateway } from "./entries/gateways.ts";
import { serviceIntentions } from "./entries/intentions.ts";
import { jwtProvider } from "./entries/jwt-provider.ts";
import { exportedServices, mesh } from "./entries/mesh.ts";
import { serviceResolver } from "./entries/resolver.ts";
import { serviceRouter, serviceSplitter } from "./entries/routing.ts";
import type { ConfigKind } from "./kind.ts";

/** An entry is opaque outside of its kind. */
export type AnyKind = ConfigKind<unknown>;

const KINDS = [
  serviceDefaults,
  proxyDefaults,
  serviceRouter,
  serviceSplitter,
  serviceResolver,
  serviceIntentions,
  ingressGateway,
  terminatingGateway,
  mesh,
  exportedServices,
  jwtProvider,
  apiGateway,
  httpRoute,
  tcpRoute,
  inlineCertificate,
  fileSystemCertificate,
] as AnyKind[];

const BY_NAME = new Map(KINDS.map((kind) => [kind.name, kind]));

export const kindNamed = (name: string): AnyKind | undefined => BY_NAME.get(name);

/** The name of an entry's rule. */
export function ruleNameOf(kind: AnyKind, entryName: string): string {
  return kind.only?.entryName === entryName ? kind.only.ruleName : entryName;
}

/** The kind that a rule is shown as. */
export const kindOfRule = ({ kind, name }: { kind: RuleKind; name: string }): AnyKind =>
  KINDS.find((each) => each.ruleKind === kind && each.only?.ruleName === name) ??
  KINDS.find((each) => each.ruleKind === kind && each.only === null)!;
