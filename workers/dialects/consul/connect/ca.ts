/** `/v1/connect/ca` and the agent's view of it: trusted roots, and how long certificates live. */
import type { Authority, AuthorityRoot, StoredAuthority } from "../../../../objects/authority/authority.ts";
import {
  changeAuthority,
  ensureAuthority,
  INTERMEDIATE_TTL_MS,
  LEAF_TTL_MS,
  ROOT_TTL_MS,
  trustDomain,
} from "../../../authority/authority.ts";
import { anything, bool, map, object, text } from "../decode.ts";
import { formatDuration } from "../durations.ts";
import { emptyResponse, timeOf } from "../encode.ts";
import { badRequest, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";
import type { Issues } from "../config/schema.ts";
import { anyMap, durationText, int, struct, text as looseText } from "../config/schema.ts";
import { colonHex, portsOf, readAuthority } from "./authority.ts";

export const connectCaRoutes = [
  route("/connect/ca/roots", { GET: roots }),
  route("/agent/connect/ca/roots", { GET: agentRoots }),
  route("/connect/ca/configuration", { GET: readConfiguration, PUT: writeConfiguration }),
];

async function roots(exchange: Exchange): Promise<Response> {
  const pem = isPem(exchange.param("pem"));
  const authority = await readAuthority(exchange);
  if (!pem) return exchange.json(encodeRoots(authority));
  const chain = authority.roots.map(({ certificate }) => certificate).join("");
  return new Response(chain, { headers: { "content-type": "application/pem-certificate-chain" } });
}

async function agentRoots(exchange: Exchange): Promise<Response> {
  return exchange.json(encodeRoots(await readAuthority(exchange)));
}

function isPem(given: string): boolean {
  if (["", "0", "f", "F", "false", "FALSE", "False"].includes(given)) return false;
  if (["1", "t", "T", "true", "TRUE", "True"].includes(given)) return true;
  throw badRequest("The 'pem' query parameter must be a boolean value");
}

const encodeRoots = (authority: StoredAuthority): object => ({
  ActiveRootID: colonHex(authority.roots[0]!.id),
  TrustDomain: trustDomain(authority),
  Roots: authority.roots.map((root) => encodeRoot(root, authority)),
});

const encodeRoot = (root: AuthorityRoot, authority: StoredAuthority): object => ({
  ID: colonHex(root.id),
  Name: root.name,
  SerialNumber: root.serial,
  SigningKeyID: colonHex(root.keyId),
  ExternalTrustDomain: authority.id,
  NotBefore: timeOf(root.notBeforeAt),
  NotAfter: timeOf(root.notAfterAt),
  RootCert: root.certificate,
  IntermediateCerts: null,
  Active: root.retiredAt === null,
  PrivateKeyType: "ec",
  PrivateKeyBits: 256,
  CreateIndex: authority.createRevision,
  ModifyIndex: authority.modRevision,
});

const PROVIDER = "consul";

async function readConfiguration(exchange: Exchange): Promise<Response> {
  exchange.require("operator", "write");
  const authority = await ensureAuthority(portsOf(exchange));
  return exchange.json({
    Provider: PROVIDER,
    Config: configOf(authority),
    State: null,
    ForceWithoutCrossSigning: false,
    CreateIndex: authority.createRevision,
    ModifyIndex: authority.modRevision,
  });
}

const DEFAULT_CONFIG = { IntermediateCertTTL: "8760h", LeafCertTTL: "72h", RootCertTTL: "87600h" };

/** As it was written. */
const configOf = ({ extra }: Authority): Record<string, unknown> => ({
  ...DEFAULT_CONFIG,
  ...(extra["consul"] as Record<string, unknown> | undefined),
});

const configurationBody = object(
  {
    Provider: text,
    Config: map(anything),
    State: map(text),
    ForceWithoutCrossSigning: bool,
    CreateIndex: anything,
    ModifyIndex: anything,
  },
  { aliases: { force_without_cross_signing: "ForceWithoutCrossSigning" } },
);

const providerConfig = struct({
  LeafCertTTL: durationText,
  IntermediateCertTTL: durationText,
  RootCertTTL: durationText,
  PrivateKeyType: looseText,
  PrivateKeyBits: int,
  PrivateKey: looseText,
  RootCert: looseText,
});

const HOUR_MS = 3_600_000;

async function writeConfiguration(exchange: Exchange): Promise<Response> {
  const body = await exchange.body(configurationBody);
  exchange.require("operator", "write");
  if (body.Provider !== "" && body.Provider !== PROVIDER) {
    throw refused(`unknown CA provider ${JSON.stringify(body.Provider)}`);
  }
  if (Object.keys(body.State).length > 0) {
    throw badRequest("Provider State is read-only. It must be omitted or identical to the current value");
  }
  const config = anyMap.decode(body.Config, "Config", { unused: [], errors: [] }) ?? {};
  const times = timesOf(config);
  await ensureAuthority(portsOf(exchange));
  await changeAuthority(portsOf(exchange), async (current) => ({
    ...current!,
    ...times,
    extra: { ...current!.extra, consul: config },
  }));
  return emptyResponse();
}

function timesOf(given: Record<string, unknown>): Pick<Authority, "leafTtlMs" | "intermediateTtlMs" | "rootTtlMs"> {
  const issues: Issues = { unused: [], errors: [] };
  const config = providerConfig.decode(given, "", issues);
  if (issues.errors.length > 0) {
    const lines = issues.errors.map((error) => `* ${error}`).join("\n");
    throw refused(`error decoding config: ${issues.errors.length} error(s) decoding:\n\n${lines}`);
  }
  const leafTtlMs = config.LeafCertTTL || LEAF_TTL_MS;
  const intermediateTtlMs = config.IntermediateCertTTL || INTERMEDIATE_TTL_MS;
  const rootTtlMs = config.RootCertTTL || ROOT_TTL_MS;
  if (rootTtlMs < intermediateTtlMs) {
    const times = `root cert ttl: ${formatDuration(rootTtlMs)}, intermediate cert ttl: ${formatDuration(intermediateTtlMs)}`;
    throw refused(`root cert TTL is set and is not greater than intermediate cert ttl. ${times}`);
  }
  if (leafTtlMs < HOUR_MS) throw refused("leaf cert TTL must be greater or equal than 1h0m0s");
  if (leafTtlMs > 8760 * HOUR_MS) throw refused("leaf cert TTL must be less than 8760h0m0s");
  if (intermediateTtlMs < 3 * HOUR_MS) throw refused("Intermediate Cert TTL must be greater or equal than 3h");
  if (intermediateTtlMs < 3 * leafTtlMs) {
    const least = formatDuration(3 * leafTtlMs);
    throw refused(`Intermediate Cert TTL must be greater or equal than 3 * LeafCertTTL (>=${least}).`);
  }
  if (config.PrivateKey !== "" || config.RootCert !== "") {
    throw refused("error configuring provider: a private key or root certificate of your own cannot be brought in");
  }
  if ((config.PrivateKeyType || "ec") !== "ec" || (config.PrivateKeyBits || 256) !== 256) {
    throw refused("error configuring provider: only private keys of type ec and 256 bits are made");
  }
  return { leafTtlMs, intermediateTtlMs, rootTtlMs };
}
