/** `ingress-gateway` and `terminating-gateway`: where traffic enters the mesh, and where it leaves it. */
import type { EgressSpec, IngressSpec } from "../../../../../objects/rules/model.ts";
import { ANY, isHttp } from "../../../../../objects/rules/model.ts";
import { refused } from "../../errors.ts";
import { assertMeta, configKind, entryOf, meshWrite, serviceRead } from "../kind.ts";
import { hasHeaderChanges, headerModifiers, isDomainName, passiveHealthCheck } from "../parts.ts";
import type { Typed } from "../schema.ts";
import { bool, int, list, map, opt, pointer, struct, text, uint32 } from "../schema.ts";
import { assertTls } from "../tls.ts";

const sds = struct({ ClusterName: opt(text), CertResource: opt(text) });
const gatewayTls = struct({
  Enabled: bool,
  SDS: opt(pointer(sds)),
  TLSMinVersion: opt(text),
  TLSMaxVersion: opt(text),
  CipherSuites: opt(list(text)),
});

const ingressService = struct({
  Name: text,
  Hosts: list(text),
  TLS: opt(pointer(struct({ SDS: opt(pointer(sds)) }))),
  RequestHeaders: opt(pointer(headerModifiers)),
  ResponseHeaders: opt(pointer(headerModifiers)),
  MaxConnections: opt(uint32),
  MaxPendingRequests: opt(uint32),
  MaxConcurrentRequests: opt(uint32),
  PassiveHealthCheck: opt(pointer(passiveHealthCheck)),
  Meta: opt(map(text)),
});
type IngressService = Typed<typeof ingressService>;

const listener = struct({ Port: int, Protocol: text, TLS: opt(pointer(gatewayTls)), Services: list(ingressService) });
type Listener = Typed<typeof listener>;

const ingressSchema = entryOf({
  TLS: gatewayTls,
  Listeners: list(listener),
  Defaults: opt(
    pointer(
      struct(
        {
          MaxConnections: uint32,
          MaxPendingRequests: uint32,
          MaxConcurrentRequests: uint32,
          PassiveHealthCheck: opt(pointer(passiveHealthCheck)),
        },
        { bare: ["MaxConnections", "MaxPendingRequests", "MaxConcurrentRequests"] },
      ),
    ),
  ),
});
type IngressEntry = Typed<typeof ingressSchema>;

export const ingressGateway = configKind({
  name: "ingress-gateway",
  ruleKind: "ingress",
  schema: ingressSchema,
  read: serviceRead,
  write: meshWrite,
  normalize({ Listeners }) {
    for (const entry of Listeners ?? []) entry.Protocol = (entry.Protocol || "tcp").toLowerCase();
  },
  validate(entry) {
    assertMeta(entry.Meta);
    assertTls(entry.TLS.TLSMinVersion, entry.TLS.TLSMaxVersion, entry.TLS.CipherSuites);
    const ports = new Set<number>();
    for (const each of entry.Listeners ?? []) {
      if (ports.has(each.Port)) throw refused(`port ${each.Port} declared on two listeners`);
      ports.add(each.Port);
      assertListener(entry, each);
    }
  },
  specOf: ({ Listeners }): IngressSpec => ({
    listeners: (Listeners ?? []).map(({ Port, Protocol, Services }) => ({
      port: Port,
      protocol: Protocol,
      services: (Services ?? []).map(({ Name, Hosts }) => ({ service: Name, hosts: Hosts ?? [] })),
    })),
  }),
});

function assertListener(entry: IngressEntry, { Port, Protocol, TLS, Services }: Listener): void {
  const on = `(listener on port ${Port})`;
  if (Protocol !== "tcp" && !isHttp(Protocol)) {
    throw refused(`protocol must be 'tcp', 'http', 'http2', or 'grpc'. '${Protocol}' is an unsupported protocol`);
  }
  const services = Services ?? [];
  if (services.length === 0) throw refused(`No service declared for listener with port ${Port}`);
  if (!isHttp(Protocol) && services.length > 1) {
    const protocols = "'http', 'grpc' and 'http2'";
    throw refused(`Multiple services per listener are only supported for L7 protocols, ${protocols} ${on}`);
  }
  if (TLS) assertTls(TLS.TLSMinVersion, TLS.TLSMaxVersion, TLS.CipherSuites);
  const hosts = new Set<string>();
  const names = new Set<string>();
  for (const service of services) {
    assertService(service, Protocol, Port);
    if (names.has(service.Name)) throw refused(`Service ${service.Name} cannot be added multiple times ${on}`);
    names.add(service.Name);
    assertSds(entry, { Port, Protocol, TLS, Services }, service);
    for (const host of service.Hosts ?? []) {
      if (hosts.has(host)) throw refused(`Hosts must be unique within a specific listener ${on}`);
      hosts.add(host);
      assertHost(entry.TLS.Enabled, host);
    }
  }
}

function assertService(service: IngressService, protocol: string, port: number): void {
  const on = `(listener on port ${port})`;
  const hosts = service.Hosts ?? [];
  const changes = { request: service.RequestHeaders, response: service.ResponseHeaders };
  for (const [what, modifiers] of Object.entries(changes)) {
    if (!hasHeaderChanges(modifiers) || isHttp(protocol)) continue;
    const where = `(service ${JSON.stringify(service.Name)} on listener on port ${port})`;
    throw refused(`${what} headers only valid for http, http2 and grpc protocols ${where}`);
  }
  if (protocol === "tcp") {
    if (service.Name === ANY) throw refused(`Wildcard service name is only valid for protocol = 'http' ${on}`);
    if (hosts.length > 0) {
      throw refused(`Associating hosts to a service is not supported for the ${protocol} protocol ${on}`);
    }
  }
  if (service.Name === "") throw refused(`Service name cannot be blank ${on}`);
  if (service.Name === ANY && hosts.length > 0) {
    throw refused(`Associating hosts to a wildcard service is not supported ${on}`);
  }
}

/** A certificate needs a cluster that serves it, told with it or further out. */
function assertSds(entry: IngressEntry, { Port, TLS }: Listener, service: IngressService): void {
  const gateway = entry.TLS.SDS;
  const own = TLS?.SDS;
  const of = service.TLS?.SDS;
  const cluster = "TLS.SDS.ClusterName is required if CertResource is set";
  const certificate = "TLS.SDS.CertResource is required if ClusterName is set for";
  const on = `listener on port ${Port}`;
  if (gateway && gateway.ClusterName === "" && gateway.CertResource !== "") throw refused(cluster);
  if (gateway?.ClusterName && !gateway.CertResource && !own?.CertResource) {
    throw refused(`${certificate} gateway (${on})`);
  }
  if (own?.ClusterName && !own.CertResource) throw refused(`${certificate} listener (${on})`);
  if (own?.CertResource && !own.ClusterName && !gateway?.ClusterName) throw refused(`${cluster} (${on})`);
  if (!of?.CertResource) return;
  const where = `(service ${JSON.stringify(service.Name)} on ${on})`;
  if (!service.Hosts?.length) {
    throw refused(`A service specifying TLS.SDS.CertResource must have at least one item in Hosts ${where}`);
  }
  if (!of.ClusterName && !own?.ClusterName && !gateway?.ClusterName) throw refused(`${cluster} ${where}`);
}

function assertHost(isTls: boolean, host: string): void {
  if (host === ANY) {
    if (!isTls) return;
    throw refused(
      "Host '*' is not allowed when TLS is enabled, all hosts must be valid DNS records to add as a DNSSAN",
    );
  }
  const quoted = JSON.stringify(host);
  if (!isDomainName(host)) throw refused(`Host ${quoted} must be a valid DNS hostname`);
  if (host.replace(/^\*\./, "").includes(ANY)) {
    throw refused(`Host ${quoted} is not valid, a wildcard specifier is only allowed as the leftmost label`);
  }
}

const linkedService = struct(
  {
    Name: opt(text),
    CAFile: opt(text),
    CertFile: opt(text),
    KeyFile: opt(text),
    SNI: opt(text),
    DisableAutoHostRewrite: opt(bool),
  },
  { bare: ["DisableAutoHostRewrite"] },
);

export const terminatingGateway = configKind({
  name: "terminating-gateway",
  ruleKind: "egress",
  schema: entryOf({ Services: list(linkedService) }),
  read: serviceRead,
  write: meshWrite,
  validate({ Meta, Services }) {
    assertMeta(Meta);
    const seen = new Set<string>();
    for (const { Name, CAFile, CertFile, KeyFile } of Services ?? []) {
      if (Name === "") throw refused("Service name cannot be blank.");
      const quoted = JSON.stringify(Name);
      if (seen.has(Name)) throw refused(`Service ${quoted} was specified more than once within a namespace`);
      seen.add(Name);
      const isComplete = CAFile !== "" && CertFile !== "" && KeyFile !== "";
      if ((CertFile !== "" || KeyFile !== "") && !isComplete) {
        throw refused(`Service ${quoted} must have a CertFile, CAFile, and KeyFile specified for TLS origination`);
      }
    }
  },
  specOf: ({ Services }): EgressSpec => ({ services: (Services ?? []).map(({ Name }) => Name) }),
});
