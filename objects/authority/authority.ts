/**
 * The namespace's certificate authority as it is kept: which roots are trusted, which one signs, and the certificates given
 * out, one for each holder.
 *
 * Knows no X.509: the edge makes keys and signs. Private keys come here sealed, and nothing here can open them.
 */
import { HoldfastError, invalid } from "../errors.ts";
import { assertCas, assertId, storedOf } from "../policy/records.ts";
import { assertText, assertWhole } from "../registry/limits.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

export interface AuthorityRoot {
  /** Fingerprint of its certificate. */
  id: string;
  name: string;
  serial: number;
  /** Of its public key. */
  keyId: string;
  /** PEM. */
  certificate: string;
  sealedKey: string;
  notBeforeAt: number;
  notAfterAt: number;
  /** When another took its place; null = it is the one that signs. */
  retiredAt: number | null;
}

export interface Authority {
  /** A UUID that names the trust domain, and never changes. */
  id: string;
  /** The signing one first. */
  roots: AuthorityRoot[];
  leafTtlMs: number;
  intermediateTtlMs: number;
  rootTtlMs: number;
  extra: Record<string, unknown>;
}

export interface StoredAuthority extends Authority {
  createRevision: number;
  modRevision: number;
}

/** Who a certificate was given to: a service, at a node. */
export interface Holder {
  service: string;
  node: string;
}

export interface IssuedCertificate extends Holder {
  /** Hex. */
  serial: string;
  /** The name it vouches for. */
  uri: string;
  /** PEM. */
  certificate: string;
  sealedKey: string;
  rootId: string;
  notBeforeAt: number;
  notAfterAt: number;
}

export interface StoredCertificate extends IssuedCertificate {
  createRevision: number;
  modRevision: number;
}

const ROOTS_MAX = 16;
const PEM_CHARACTERS_MAX = 16_384;
const TTL_MAX_MS = 100 * 365 * 86_400_000;

export const authoritySpace = new JsonSpace<Authority>("authority");
export const AUTHORITY_KEY = "authority";
export const certificateSpace = new JsonSpace<IssuedCertificate>("certificate");

export function authorityOf(reader: Reader): StoredAuthority | null {
  const record = authoritySpace.record(reader, AUTHORITY_KEY);
  return record ? storedOf(authoritySpace, record) : null;
}

/** Codes: `conflict`, `invalid_argument`. */
export function putAuthority(
  txn: Txn,
  _context: Context,
  { authority, cas }: { authority: Authority; cas: number },
): StoredAuthority {
  const current = authorityOf(txn);
  assertCas(current ?? undefined, cas);
  assertAuthority(authority);
  if (current && current.id !== authority.id) throw invalid("id", "cannot change");
  authoritySpace.put(txn, [AUTHORITY_KEY], authority);
  return authorityOf(txn)!;
}

export function certificateOf(reader: Reader, { service, node }: Holder): StoredCertificate | null {
  const record = certificateSpace.record(reader, service, node);
  return record ? storedOf(certificateSpace, record) : null;
}

/** Keeps a certificate in the place of its holder's last one. Codes: `conflict` (also when its root no longer signs). */
export function issueCertificate(
  txn: Txn,
  _context: Context,
  { certificate, cas }: { certificate: IssuedCertificate; cas: number },
): StoredCertificate {
  const { service, node } = certificate;
  assertText("service", service, 512);
  assertText("node", node, 255);
  assertText("uri", certificate.uri, 2048);
  assertPem("certificate", certificate.certificate);
  assertPem("sealedKey", certificate.sealedKey);
  assertCas(certificateOf(txn, certificate) ?? undefined, cas);
  if (authorityOf(txn)?.roots[0]?.id !== certificate.rootId) {
    throw new HoldfastError("conflict", "another root signs by now", { field: "rootId" });
  }
  certificateSpace.put(txn, [service, node], certificate);
  return certificateOf(txn, certificate)!;
}

function assertAuthority({ id, roots, leafTtlMs, intermediateTtlMs, rootTtlMs }: Authority): void {
  assertId("id", id);
  for (const [field, ms] of Object.entries({ leafTtlMs, intermediateTtlMs, rootTtlMs })) {
    assertWhole(field, ms, 1, TTL_MAX_MS);
  }
  if (roots.length === 0 || roots.length > ROOTS_MAX) throw invalid("roots", `must be 1 to ${ROOTS_MAX}`);
  for (const [index, root] of roots.entries()) {
    assertPem(`roots[${index}].certificate`, root.certificate);
    assertPem(`roots[${index}].sealedKey`, root.sealedKey);
    if ((root.retiredAt === null) !== (index === 0)) throw invalid(`roots[${index}].retiredAt`, "only the first signs");
  }
}

function assertPem(field: string, value: string): void {
  if (value.length > PEM_CHARACTERS_MAX) throw invalid(field, `must have at most ${PEM_CHARACTERS_MAX} characters`);
}
