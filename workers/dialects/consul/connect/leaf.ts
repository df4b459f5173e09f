/**
 * `/v1/agent/connect/ca/leaf`: a service's certificate, for the caller's node. The same one is given until it is due; who
 * waits for the next one gets it when it is made.
 */
import { certificateSpace } from "../../../../objects/authority/authority.ts";
import type { StoredCertificate } from "../../../../objects/authority/authority.ts";
import { currentCertificate, ensureAuthority, issue, trustDomain } from "../../../authority/authority.ts";
import { timeOf } from "../encode.ts";
import { badRequest, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";
import { AUTHORITY_RANGE, colonHex, portsOf } from "./authority.ts";

export const connectLeafRoutes = [route("/agent/connect/ca/leaf/", { GET: leaf })];

const ATTEMPTS = 5;

async function leaf(exchange: Exchange): Promise<Response> {
  const service = exchange.rest;
  if (service === "") throw badRequest("URI must be either service, agent, server, or kind");
  exchange.require("service", "write", service);
  const holder = { service, node: exchange.node };
  const key = certificateSpace.key(service, exchange.node);
  const range = { space: certificateSpace.name, from: key, to: Uint8Array.of(...key, 0) };
  const ports = portsOf(exchange);
  // A new root makes certificates due, so its coming ends a wait too.
  const { value: kept, index } = await exchange.read("authority.certificate", holder, [range, AUTHORITY_RANGE]);
  let candidate: StoredCertificate | null = kept;
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const authority = await ensureAuthority(ports);
    const current = await currentCertificate(ports, candidate, authority);
    if (current) {
      // Not below what was waited for, or who waits would come back at once and for ever.
      exchange.tellIndex(Math.max(index, current.kept.modRevision));
      return exchange.json(encodeLeaf(current.kept, current.privateKey));
    }
    const uri = `spiffe://${trustDomain(authority)}/ns/default/dc/${exchange.datacenter}/svc/${encodeURIComponent(service)}`;
    candidate =
      (await issue(ports, holder, uri, candidate?.modRevision ?? 0)) ??
      (await exchange.client.query("authority.certificate", holder, { strong: true })).value;
  }
  throw refused("the certificate keeps changing; try again");
}

const encodeLeaf = (kept: StoredCertificate, privateKey: string): object => ({
  SerialNumber: colonHex(kept.serial),
  CertPEM: kept.certificate,
  PrivateKeyPEM: privateKey,
  Service: kept.service,
  ServiceURI: kept.uri,
  ValidAfter: timeOf(kept.notBeforeAt),
  ValidBefore: timeOf(kept.notAfterAt),
  CreateIndex: kept.createRevision,
  ModifyIndex: kept.modRevision,
});
