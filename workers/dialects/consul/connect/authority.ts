/** The namespace's certificate authority, as the endpoints of an exchange reach it. */
import type { StoredAuthority } from "../../../../objects/authority/authority.ts";
import { AUTHORITY_KEY, authoritySpace } from "../../../../objects/authority/authority.ts";
import type { WatchRange } from "../../../../objects/store/store.ts";
import type { AuthorityPorts } from "../../../authority/authority.ts";
import { ensureAuthority, trustDomain } from "../../../authority/authority.ts";
import type { Exchange } from "../exchange.ts";

export const portsOf = ({ client, env, caller }: Exchange): AuthorityPorts => ({ client, env, caller });

export const AUTHORITY_RANGE: WatchRange = {
  space: authoritySpace.name,
  from: authoritySpace.key(AUTHORITY_KEY),
  to: null,
};

/** Waits for a change as the caller asked. */
export async function readAuthority(exchange: Exchange): Promise<StoredAuthority> {
  await ensureAuthority(portsOf(exchange));
  const { value } = await exchange.read("authority.get", {}, [AUTHORITY_RANGE]);
  return value ?? ensureAuthority(portsOf(exchange));
}

export const trustDomainOf = async (exchange: Exchange): Promise<string> =>
  trustDomain(await ensureAuthority(portsOf(exchange)));

/** As Consul writes fingerprints and serial numbers. */
export const colonHex = (hex: string): string => hex.match(/../g)?.join(":") ?? "";
