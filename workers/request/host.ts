/** A Host header's name: in lower case, without port and final dot (RFC 9110 §7.2, RFC 1034 §3.1). */
export function bareHost(host: string): string {
  const colon = host.indexOf(":");
  const name = (colon === -1 ? host : host.slice(0, colon)).toLowerCase();
  return name.endsWith(".") ? name.slice(0, -1) : name;
}
