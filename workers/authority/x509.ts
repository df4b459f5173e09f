/**
 * Keys and certificates: a root that signs, and what it signs. P-256 throughout, which every client of a mesh takes.
 *
 * Knows no service and no dialect: names come in as URIs.
 * Source: RFC 5280; SPIFFE X.509-SVID.
 */
// The X.509 library registers its parts by decorators, and wants this first.
import "reflect-metadata";
import {
  AuthorityKeyIdentifierExtension,
  BasicConstraintsExtension,
  ExtendedKeyUsage,
  ExtendedKeyUsageExtension,
  KeyUsageFlags,
  KeyUsagesExtension,
  PemConverter,
  SubjectAlternativeNameExtension,
  SubjectKeyIdentifierExtension,
  X509CertificateGenerator,
  X509Certificate,
} from "@peculiar/x509";
import { toHex } from "../../objects/bytes.ts";

const KEY = { name: "ECDSA", namedCurve: "P-256" };
const SIGNATURE = { name: "ECDSA", hash: "SHA-256" };
/** Clocks are not all right. */
const SKEW_MS = 60_000;
const SERIAL_BYTES = 8;

export interface Certified {
  /** PEM. */
  certificate: string;
  /** PKCS #8 in PEM. */
  privateKey: string;
  /** Hex. */
  serial: string;
  keyId: string;
  /** SHA-1 of the certificate, in hex. */
  fingerprint: string;
  notBeforeAt: number;
  notAfterAt: number;
}

export interface RootWishes {
  commonName: string;
  uri: string;
  ttlMs: number;
  now: number;
  serial: number;
}

export async function createRoot({ commonName, uri, ttlMs, now, serial }: RootWishes): Promise<Certified> {
  const keys = (await crypto.subtle.generateKey(KEY, true, ["sign", "verify"])) as CryptoKeyPair;
  const keyId = await keyIdOf(keys.publicKey);
  const usages = KeyUsageFlags.keyCertSign | KeyUsageFlags.cRLSign | KeyUsageFlags.digitalSignature;
  const certificate = await X509CertificateGenerator.createSelfSigned({
    keys,
    signingAlgorithm: SIGNATURE,
    serialNumber: evenHex(serial.toString(16)),
    name: `CN=${commonName}`,
    notBefore: new Date(now),
    notAfter: new Date(now + ttlMs),
    extensions: [
      new BasicConstraintsExtension(true, undefined, true),
      new KeyUsagesExtension(usages, true),
      new SubjectKeyIdentifierExtension(keyId),
      new AuthorityKeyIdentifierExtension(keyId),
      new SubjectAlternativeNameExtension([{ type: "url", value: uri }]),
    ],
  });
  return certified(certificate, keys.privateKey, keyId);
}

export interface LeafWishes {
  uri: string;
  ttlMs: number;
  now: number;
  root: { certificate: string; privateKey: string; keyId: string };
}

/** Never outlives its root. */
export async function createLeaf({ uri, ttlMs, now, root }: LeafWishes): Promise<Certified> {
  const issuer = new X509Certificate(root.certificate);
  const keys = (await crypto.subtle.generateKey(KEY, true, ["sign", "verify"])) as CryptoKeyPair;
  const keyId = await keyIdOf(keys.publicKey);
  const notBefore = new Date(now - SKEW_MS);
  const usages =
    KeyUsageFlags.digitalSignature |
    KeyUsageFlags.keyEncipherment |
    KeyUsageFlags.dataEncipherment |
    KeyUsageFlags.keyAgreement;
  const certificate = await X509CertificateGenerator.create({
    publicKey: keys.publicKey,
    signingKey: await importKey(root.privateKey),
    signingAlgorithm: SIGNATURE,
    serialNumber: serialNumber(),
    issuer: issuer.subjectName,
    notBefore,
    notAfter: new Date(Math.min(notBefore.getTime() + ttlMs, issuer.notAfter.getTime())),
    extensions: [
      new BasicConstraintsExtension(false, undefined, true),
      new KeyUsagesExtension(usages, true),
      new ExtendedKeyUsageExtension([ExtendedKeyUsage.clientAuth, ExtendedKeyUsage.serverAuth]),
      new SubjectKeyIdentifierExtension(keyId),
      new AuthorityKeyIdentifierExtension(root.keyId),
      // Without a subject, its alternative name is all there is.
      new SubjectAlternativeNameExtension([{ type: "url", value: uri }], true),
    ],
  });
  return certified(certificate, keys.privateKey, keyId);
}

async function certified(certificate: X509Certificate, privateKey: CryptoKey, keyId: string): Promise<Certified> {
  const exported = (await crypto.subtle.exportKey("pkcs8", privateKey)) as ArrayBuffer;
  return {
    certificate: `${certificate.toString("pem")}\n`,
    privateKey: `${PemConverter.encode(exported, "PRIVATE KEY")}\n`,
    serial: certificate.serialNumber,
    keyId,
    fingerprint: toHex(new Uint8Array(await crypto.subtle.digest("SHA-1", certificate.rawData))),
    notBeforeAt: certificate.notBefore.getTime(),
    notAfterAt: certificate.notAfter.getTime(),
  };
}

function importKey(pem: string): Promise<CryptoKey> {
  const der = PemConverter.decode(pem)[0]!;
  return crypto.subtle.importKey("pkcs8", der, KEY, false, ["sign"]);
}

/** SHA-256 of the public key with its algorithm; hex. */
async function keyIdOf(publicKey: CryptoKey): Promise<string> {
  const exported = (await crypto.subtle.exportKey("spki", publicKey)) as ArrayBuffer;
  return toHex(new Uint8Array(await crypto.subtle.digest("SHA-256", exported)));
}

/** Positive, as serial numbers are, and not to be guessed. */
function serialNumber(): string {
  const bytes = crypto.getRandomValues(new Uint8Array(SERIAL_BYTES));
  bytes[0] = (bytes[0]! & 0x3f) | 0x40;
  return toHex(bytes);
}

const evenHex = (hex: string): string => (hex.length % 2 === 0 ? hex : `0${hex}`);
