/** `mesh` and `exported-services`: what holds for the whole mesh, and what other clusters may use of it. */
import type { ExportsSpec, MeshSpec } from "../../../../../objects/rules/model.ts";
import { ANY } from "../../../../../objects/rules/model.ts";
import { refused } from "../../errors.ts";
import { assertMeta, configKind, entryOf, freely, meshRead, meshWrite, namelessEntryOf } from "../kind.ts";
import type { Typed } from "../schema.ts";
import { bool, list, opt, pointer, struct, text } from "../schema.ts";
import { assertTls } from "../tls.ts";

const directionalTls = struct({ TLSMinVersion: opt(text), TLSMaxVersion: opt(text), CipherSuites: opt(list(text)) });

const requestNormalization = struct({
  InsecureDisablePathNormalization: bool,
  MergeSlashes: bool,
  PathWithEscapedSlashesAction: text,
  HeadersWithUnderscoresAction: text,
});

const ACTIONS = {
  PathWithEscapedSlashesAction: [
    "IMPLEMENTATION_SPECIFIC_DEFAULT",
    "KEEP_UNCHANGED",
    "REJECT_REQUEST",
    "UNESCAPE_AND_REDIRECT",
    "UNESCAPE_AND_FORWARD",
  ],
  HeadersWithUnderscoresAction: ["ALLOW", "REJECT_REQUEST", "DROP_HEADER"],
} as const;

const MESH = "mesh";

export const mesh = configKind({
  name: "mesh",
  ruleKind: "mesh",
  only: { entryName: MESH, ruleName: MESH },
  schema: namelessEntryOf({
    TransparentProxy: struct({ MeshDestinationsOnly: bool }),
    AllowEnablingPermissiveMutualTLS: opt(bool),
    ValidateClusters: opt(bool),
    TLS: opt(pointer(struct({ Incoming: opt(pointer(directionalTls)), Outgoing: opt(pointer(directionalTls)) }))),
    HTTP: opt(
      pointer(
        struct({
          SanitizeXForwardedClientCert: bool,
          Incoming: opt(pointer(struct({ RequestNormalization: opt(pointer(requestNormalization)) }))),
        }),
      ),
    ),
    Peering: opt(pointer(struct({ PeerThroughMeshGateways: bool }))),
  }),
  read: freely,
  write: meshWrite,
  nameOf: () => MESH,
  validate({ Meta, TLS, HTTP }) {
    assertMeta(Meta);
    for (const [direction, tls] of Object.entries({ incoming: TLS?.Incoming, outgoing: TLS?.Outgoing })) {
      if (!tls) continue;
      const at = `error in ${direction} TLS configuration: `;
      assertTls(tls.TLSMinVersion, tls.TLSMaxVersion, tls.CipherSuites, at);
    }
    assertNormalization(HTTP?.Incoming?.RequestNormalization ?? null);
  },
  specOf: (entry): MeshSpec => ({ permissiveTlsAllowed: entry.AllowEnablingPermissiveMutualTLS }),
});

function assertNormalization(normalization: Typed<typeof requestNormalization> | null): void {
  if (normalization === null) return;
  for (const name of ["PathWithEscapedSlashesAction", "HeadersWithUnderscoresAction"] as const) {
    const action = normalization[name];
    const actions: readonly string[] = ACTIONS[name];
    if (action === "" || actions.includes(action)) continue;
    const told = `no matching ${name} value found for ${action}, please specify one of [${actions.join(", ")}]`;
    throw refused(`error in HTTP incoming request normalization configuration: ${told}`);
  }
}

const consumer = struct(
  { Partition: opt(text), Peer: opt(text), SamenessGroup: opt(text) },
  { aliases: { peer_name: "Peer" } },
);

export const exportedServices = configKind({
  name: "exported-services",
  ruleKind: "exports",
  schema: entryOf({
    Services: opt(list(struct({ Name: text, Namespace: opt(text), Consumers: opt(list(consumer)) }))),
  }),
  read: meshRead,
  write: meshWrite,
  normalize({ Services }) {
    for (const service of Services ?? []) service.Namespace = "";
  },
  validate({ Name, Meta, Services }) {
    if (Name !== "default") throw refused('exported-services Name must be "default"');
    assertMeta(Meta);
    for (const [index, { Consumers }] of (Services ?? []).entries()) {
      for (const [number, { SamenessGroup }] of (Consumers ?? []).entries()) {
        if (SamenessGroup === "") continue;
        throw refused(`Services[${index}].Consumers[${number}]: sameness-groups are an enterprise-only feature`);
      }
    }
    for (const [index, service] of (Services ?? []).entries()) {
      const at = `Services[${index}]`;
      if (service.Name === "") throw refused(`${at}: service name cannot be empty`);
      if (!service.Consumers?.length) throw refused(`${at}: must have at least one consumer`);
      for (const [number, to] of service.Consumers.entries()) assertConsumer(`${at}.Consumers[${number}]`, to);
    }
  },
  specOf: ({ Services }): ExportsSpec => ({
    services: (Services ?? []).map(({ Name, Consumers }) => ({
      service: Name,
      peers: (Consumers ?? []).flatMap(({ Peer }) => (Peer === "" ? [] : [Peer])),
    })),
  }),
});

function assertConsumer(at: string, { Peer, Partition }: Typed<typeof consumer>): void {
  if (Peer !== "" && Partition !== "") {
    throw refused(`${at}: must define at most one of Peer, Partition, or SamenessGroup`);
  }
  if (Partition === ANY) throw refused(`${at}: exporting to all partitions (wildcard) is not supported`);
  if (Peer === ANY) throw refused(`${at}: exporting to all peers (wildcard) is not supported`);
}
