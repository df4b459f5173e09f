/** Whether a certificate and a private key, both in PEM, belong together and can be served. */
import type { KeyObject } from "node:crypto";
import { createPrivateKey, createPublicKey, X509Certificate } from "node:crypto";
import { refused } from "../../errors.ts";
import { isDomainName } from "../parts.ts";

const PEM = /-----BEGIN ([A-Z0-9 ]+)-----[\s\S]+?-----END \1-----/;
const RSA_BITS_MIN = 2048;

export function assertCertificate(certificate: string, privateKey: string): void {
  const keyBlock = PEM.exec(privateKey);
  if (!keyBlock) throw refused("failed to parse private key PEM");
  const key = parsed(() => createPrivateKey(keyBlock[0]), "tls: failed to parse private key");
  const bits = key.asymmetricKeyDetails?.modulusLength;
  if (keyBlock[1] === "RSA PRIVATE KEY" && bits !== undefined && bits < RSA_BITS_MIN) {
    throw refused(`key length must be at least ${RSA_BITS_MIN} bits`);
  }
  const block = PEM.exec(certificate);
  if (!block) throw refused("failed to parse certificate PEM");
  const x509 = parsed(() => new X509Certificate(block[0]), "failed to parse certificate: x509: malformed certificate");
  if (!isPair(x509, key)) throw refused("tls: private key does not match public key");
  for (const host of hostsOf(x509)) {
    if (!isDomainName(host)) throw refused(`host ${JSON.stringify(host)} must be a valid DNS hostname`);
  }
}

function parsed<T>(parse: () => T, refusal: string): T {
  try {
    return parse();
  } catch {
    throw refused(refusal);
  }
}

/** By the public keys themselves: the runtime's `checkPrivateKey` says no to every pair. */
function isPair({ publicKey }: X509Certificate, privateKey: KeyObject): boolean {
  const told = publicKey.export({ type: "spki", format: "der" });
  return told.equals(createPublicKey(privateKey).export({ type: "spki", format: "der" }));
}

/** The common name and every alternative one. */
function hostsOf({ subject, subjectAltName = "" }: X509Certificate): string[] {
  const common = /(?:^|\n)CN=(.*)/.exec(subject)?.[1] ?? "";
  const others = [...subjectAltName.matchAll(/(?:DNS|IP Address):([^,\s"]+)/g)].map((found) => found[1]!);
  return [common, ...others];
}
