/**
 * A namespace's certificate authority, made when it is first needed. The edge signs; the namespace keeps what was made, the
 * private keys sealed. When the sealing key is another by now, a new root takes over and the old one stays trusted for as
 * long as its certificates live.
 */
import type {
  Authority,
  AuthorityRoot,
  Holder,
  StoredAuthority,
  StoredCertificate,
} from "../../objects/authority/authority.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { Caller } from "../../objects/model.ts";
import type { Bindings } from "../request/bindings.ts";
import { rootTokenOf } from "../request/caller.ts";
import type { NamespaceClient } from "../request/namespace-client.ts";
import type { SealedFor } from "../request/sealing.ts";
import { openText, sealText } from "../request/sealing.ts";
import { createLeaf, createRoot } from "./x509.ts";

export interface AuthorityPorts {
  client: Pick<NamespaceClient, "query" | "execute">;
  env: Bindings;
  caller: Caller;
}

/** A root that is made because it is needed is nobody's doing: whoever asked may have no rights at all. */
const SYSTEM: Caller = { principal: "holdfast:authority", source: "", dialect: "internal" };

const DAY_MS = 86_400_000;
export const LEAF_TTL_MS = 3 * DAY_MS;
export const INTERMEDIATE_TTL_MS = 365 * DAY_MS;
export const ROOT_TTL_MS = 3650 * DAY_MS;
/** A certificate is replaced when this much of its life is over. */
const RENEWED_AFTER = 2 / 3;
/** Others write at the same time, and one of us is first. */
const ATTEMPTS = 5;

/** Nobody needs a token in open mode, so nothing there is protected by one. */
const rootSecret = (env: Bindings): string => (env.HOLDFAST_OPEN === "1" ? "open" : rootTokenOf(env));

const sealedFor = (env: Bindings, bound: string): SealedFor => ({
  root: rootSecret(env),
  purpose: "holdfast certificate keys",
  bound,
});

export const trustDomain = ({ id }: Pick<Authority, "id">): string => `${id}.consul`;

/** Codes: `unavailable` when others keep writing. */
export async function ensureAuthority(ports: AuthorityPorts): Promise<StoredAuthority> {
  const known = (await ports.client.query("authority.get", {})).value;
  return known ?? changeAuthority({ ...ports, caller: SYSTEM }, (current) => (current ? null : foundation(ports)));
}

/** `change` makes what is to be there from what is; null = it is good as it is. */
export async function changeAuthority(
  { client, caller }: AuthorityPorts,
  change: (current: StoredAuthority | null) => Promise<Authority | null> | null,
): Promise<StoredAuthority> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const current = (await client.query("authority.get", {}, { strong: true })).value;
    const authority = await change(current);
    if (!authority) return current!;
    try {
      const input = { authority, cas: current?.modRevision ?? 0 };
      return (await client.execute("authority.put", input, { caller })).value;
    } catch (error) {
      if (!isConflict(error)) throw error;
    }
  }
  throw new HoldfastError("unavailable", "the certificate authority keeps changing; try again", undefined, 1000);
}

const isConflict = (error: unknown): boolean => error instanceof HoldfastError && error.code === "conflict";

async function foundation(ports: AuthorityPorts): Promise<Authority> {
  const id = crypto.randomUUID();
  const times = { leafTtlMs: LEAF_TTL_MS, intermediateTtlMs: INTERMEDIATE_TTL_MS, rootTtlMs: ROOT_TTL_MS };
  return { id, ...times, extra: {}, roots: [await newRoot(ports.env, { id, rootTtlMs: ROOT_TTL_MS, serial: 1 })] };
}

interface NewRoot {
  id: string;
  rootTtlMs: number;
  serial: number;
}

async function newRoot(env: Bindings, { id, rootTtlMs, serial }: NewRoot): Promise<AuthorityRoot> {
  const unique = crypto.randomUUID().slice(0, 8);
  const root = await createRoot({
    commonName: `pri-${unique}.consul.ca.${id.slice(0, 8)}.consul`,
    uri: `spiffe://${trustDomain({ id })}`,
    ttlMs: rootTtlMs,
    now: Date.now(),
    serial,
  });
  return {
    id: root.fingerprint,
    name: "Consul CA Primary Cert",
    serial,
    keyId: root.keyId,
    certificate: root.certificate,
    sealedKey: await sealText(root.privateKey, sealedFor(env, root.fingerprint)),
    notBeforeAt: root.notBeforeAt,
    notAfterAt: root.notAfterAt,
    retiredAt: null,
  };
}

/** With a new root at the head; those whose certificates have all ended are left out. */
async function rotated(env: Bindings, current: Authority): Promise<Authority> {
  const now = Date.now();
  const retired = current.roots.map((root) => ({ ...root, retiredAt: root.retiredAt ?? now }));
  const trusted = retired.filter(({ retiredAt }) => retiredAt + 2 * current.leafTtlMs > now);
  const serial = 1 + Math.max(...current.roots.map((root) => root.serial));
  return { ...current, roots: [await newRoot(env, { ...current, serial }), ...trusted] };
}

/** The certificate of a holder as it is kept; opens its key. Null when there is none, or it is due, or cannot be opened. */
export async function currentCertificate(
  { env }: AuthorityPorts,
  kept: StoredCertificate | null,
  authority: Authority,
): Promise<{ kept: StoredCertificate; privateKey: string } | null> {
  if (!kept || kept.rootId !== authority.roots[0]!.id) return null;
  const life = kept.notAfterAt - kept.notBeforeAt;
  if (Date.now() > kept.notBeforeAt + life * RENEWED_AFTER) return null;
  const privateKey = await openText(kept.sealedKey, sealedFor(env, holderKey(kept)));
  return privateKey === null ? null : { kept, privateKey };
}

const holderKey = ({ service, node }: Holder): string => JSON.stringify([service, node]);

/** Signs a certificate and has it kept. Null when another did so first. */
export async function issue(
  ports: AuthorityPorts,
  holder: Holder,
  uri: string,
  cas: number,
): Promise<StoredCertificate | null> {
  const { client, env, caller } = ports;
  const { authority, privateKey } = await signing(ports);
  const [root] = authority.roots as [AuthorityRoot];
  const leaf = await createLeaf({ uri, ttlMs: authority.leafTtlMs, now: Date.now(), root: { ...root, privateKey } });
  const certificate = {
    ...holder,
    serial: leaf.serial,
    uri,
    certificate: leaf.certificate,
    sealedKey: await sealText(leaf.privateKey, sealedFor(env, holderKey(holder))),
    rootId: root.id,
    notBeforeAt: leaf.notBeforeAt,
    notAfterAt: leaf.notAfterAt,
  };
  try {
    return (await client.execute("authority.issue", { certificate, cas }, { caller })).value;
  } catch (error) {
    if (isConflict(error)) return null;
    throw error;
  }
}

/** The root that signs, opened; a new one when that cannot be opened or is at its end. */
async function signing(ports: AuthorityPorts): Promise<{ authority: Authority; privateKey: string }> {
  const keyOf = async ({ roots: [root] }: Authority): Promise<string | null> => {
    const isEnding = root!.notAfterAt < Date.now() + DAY_MS;
    return isEnding ? null : openText(root!.sealedKey, sealedFor(ports.env, root!.id));
  };
  const authority = await ensureAuthority(ports);
  const privateKey = await keyOf(authority);
  if (privateKey !== null) return { authority, privateKey };
  const renewed = await changeAuthority({ ...ports, caller: SYSTEM }, async (current) => {
    if (!current) return foundation(ports);
    return (await keyOf(current)) === null ? rotated(ports.env, current) : null;
  });
  return { authority: renewed, privateKey: (await keyOf(renewed))! };
}
