/** `jwt-provider`: who issues the tokens that intentions may ask for, and where they are found in a request. */
import type { IssuerSpec } from "../../../../../objects/rules/model.ts";
import { refused } from "../../errors.ts";
import { multiError } from "../../multi-error.ts";
import { assertMeta, assertNamed, configKind, entryOf, meshRead, meshWrite } from "../kind.ts";
import type { Typed } from "../schema.ts";
import { bool, bytes, duration, int, list, opt, pointer, struct, text } from "../schema.ts";

const CLOCK_SKEW_SECONDS = 30;

const trustedCa = struct({
  Filename: opt(text),
  EnvironmentVariable: opt(text),
  InlineString: opt(text),
  InlineBytes: opt(bytes),
});

const remote = struct({
  URI: opt(text),
  RequestTimeoutMs: opt(int),
  CacheDuration: opt(duration),
  FetchAsynchronously: opt(bool),
  UseSNI: opt(bool),
  RetryPolicy: opt(
    pointer(
      struct({
        NumRetries: opt(int),
        RetryPolicyBackOff: opt(pointer(struct({ BaseInterval: opt(duration), MaxInterval: opt(duration) }))),
      }),
    ),
  ),
  JWKSCluster: opt(
    pointer(
      struct({
        DiscoveryType: opt(text),
        TLSCertificates: opt(
          pointer(
            struct({
              CaCertificateProviderInstance: opt(
                pointer(struct({ InstanceName: opt(text), CertificateName: opt(text) })),
              ),
              TrustedCA: opt(pointer(trustedCa)),
            }),
          ),
        ),
        ConnectTimeout: opt(duration),
      }),
    ),
  ),
});

const location = struct({
  Header: opt(pointer(struct({ Name: opt(text), ValuePrefix: opt(text), Forward: opt(bool) }))),
  QueryParam: opt(pointer(struct({ Name: opt(text) }))),
  Cookie: opt(pointer(struct({ Name: opt(text) }))),
});

const keySet = struct({
  Local: opt(pointer(struct({ JWKS: opt(text), Filename: opt(text) }))),
  Remote: opt(pointer(remote)),
});

export const jwtProvider = configKind({
  name: "jwt-provider",
  ruleKind: "issuer",
  schema: entryOf({
    JSONWebKeySet: opt(pointer(keySet)),
    Issuer: opt(text),
    Audiences: opt(list(text)),
    Locations: opt(list(location)),
    Forwarding: opt(pointer(struct({ HeaderName: opt(text), PadForwardPayloadHeader: bool }))),
    ClockSkewSeconds: opt(int),
    CacheConfig: opt(pointer(struct({ Size: opt(int) }))),
  }),
  read: meshRead,
  isReadByServices: true,
  write: meshWrite,
  normalize(entry) {
    entry.ClockSkewSeconds ||= CLOCK_SKEW_SECONDS;
  },
  validate(entry) {
    assertNamed(entry.Name);
    assertMeta(entry.Meta);
    if (!entry.JSONWebKeySet) throw refused("JSONWebKeySet is required");
    assertKeySet(entry.JSONWebKeySet);
    const errors = (entry.Locations ?? []).map(locationError).filter((error) => error !== null);
    if (errors.length > 0) throw refused(multiError(errors));
    if (entry.Forwarding?.HeaderName === "") throw refused("Header name required for forwarding config");
  },
  specOf: ({ Issuer, Audiences }): IssuerSpec => ({ issuer: Issuer, audiences: Audiences ?? [] }),
});

const isOneOf = (...present: boolean[]): boolean => present.filter(Boolean).length === 1;

function assertKeySet({ Local, Remote }: Typed<typeof keySet>): void {
  if (!isOneOf(Local !== null, Remote !== null)) {
    throw refused("must specify exactly one of Local or Remote JSON Web key set");
  }
  if (Remote) return assertRemote(Remote);
  const { JWKS, Filename } = Local!;
  if (!isOneOf(JWKS !== "", Filename !== "")) {
    throw refused("must specify exactly one of String or filename for local keyset");
  }
  if (JWKS !== "" && !isBase64(JWKS)) throw refused("JWKS must be valid base64 encoded string");
}

/** Padded, and perhaps broken into lines, as Go's decoder takes it. */
function isBase64(value: string): boolean {
  const joined = value.replace(/[\r\n]/g, "");
  return joined.length % 4 === 0 && /^[A-Za-z0-9+/]*={0,2}$/.test(joined);
}

const DISCOVERY_TYPES: readonly string[] = ["", "STRICT_DNS", "STATIC", "LOGICAL_DNS", "EDS", "ORIGINAL_DST"];

function assertRemote({ URI, RetryPolicy, JWKSCluster }: Typed<typeof remote>): void {
  if (URI === "") throw refused("Remote JWKS URI is required");
  if (!URI.startsWith("/") && !URL.canParse(URI)) {
    const quoted = JSON.stringify(URI);
    throw refused(`Remote JWKS URI is invalid: parse ${quoted}: invalid URI for request, uri: ${URI}`);
  }
  const back = RetryPolicy?.RetryPolicyBackOff;
  if (back && back.MaxInterval !== 0 && back.BaseInterval > back.MaxInterval) {
    throw refused("retry policy backoff's MaxInterval should be greater or equal to BaseInterval");
  }
  if (!JWKSCluster) return;
  if (!DISCOVERY_TYPES.includes(JWKSCluster.DiscoveryType)) {
    throw refused(`unsupported jwks cluster discovery type: ${JSON.stringify(JWKSCluster.DiscoveryType)}`);
  }
  const certificates = JWKSCluster.TLSCertificates;
  if (!certificates) return;
  const { CaCertificateProviderInstance: instance, TrustedCA: trusted } = certificates;
  if (!isOneOf(instance !== null, trusted !== null)) {
    const choice = "CaCertificateProviderInstance or TrustedCA";
    throw refused(`must specify exactly one of: ${choice} for JKWS' TLSCertificates`);
  }
  if (trusted && !isOneOf(...Object.values(trusted).map((value) => value !== ""))) {
    const choice = "Filename, EnvironmentVariable, InlineString or InlineBytes";
    throw refused(`must specify exactly one of: ${choice} for JWKS' TrustedCA`);
  }
}

function locationError({ Header, QueryParam, Cookie }: Typed<typeof location>): string | null {
  if (!isOneOf(Header !== null, QueryParam !== null, Cookie !== null)) {
    return "must set exactly one of: JWT location header, query param or cookie";
  }
  if (Header) return Header.Name === "" ? "JWT location header name must be specified" : null;
  if (Cookie) return Cookie.Name === "" ? "JWT location cookie name must be specified" : null;
  return QueryParam!.Name === "" ? "JWT location query param name must be specified" : null;
}
