/** TLS versions and cipher suites, by the names that Consul and Envoy have for them. */
import { refused } from "../errors.ts";

const VERSIONS = ["TLS_AUTO", "TLSv1_0", "TLSv1_1", "TLSv1_2", "TLSv1_3"];
/** In order; `TLS_AUTO` is not compared. */
const COMPARED = VERSIONS.slice(1);
const SUITES = new Set([
  "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
  "TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA",
  "TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA",
  "TLS_RSA_WITH_AES_128_GCM_SHA256",
  "TLS_RSA_WITH_AES_128_CBC_SHA",
  "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA",
  "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA",
  "TLS_RSA_WITH_AES_256_GCM_SHA384",
  "TLS_RSA_WITH_AES_256_CBC_SHA",
]);

/** `at` is what the text begins with. */
export function assertTls(min: string, max: string, suites: readonly string[] | null, at = ""): void {
  for (const version of [min, max]) {
    if (version === "" || VERSIONS.includes(version)) continue;
    throw refused(`${at}no matching TLS version found for ${version}, please specify one of [${VERSIONS.join(", ")}]`);
  }
  const isBelow = COMPARED.includes(min) && COMPARED.includes(max) && COMPARED.indexOf(max) < COMPARED.indexOf(min);
  if (isBelow) {
    throw refused(`${at}configuring max version ${max} less than the configured min version ${min} is invalid`);
  }
  if (!suites?.length) return;
  if (min === "TLSv1_3") {
    throw refused(
      `${at}configuring CipherSuites is only applicable to connections negotiated with TLS 1.2 or earlier, TLSMinVersion is set to ${min}`,
    );
  }
  const unknown = suites.filter((suite) => !SUITES.has(suite));
  if (unknown.length > 0) throw refused(`${at}no matching Envoy TLS cipher suite found for ${unknown.join(",")}`);
}
