/**
 * One spelling per host: what a host text means to `fetch`, before anything is decided about it.
 *
 * `fetch` reads hosts as the WHATWG URL standard says (https://url.spec.whatwg.org/#host-parsing): numbers in any base,
 * one to four parts, percent-encoding and full-width digits all become the same address. The parser used here is that of
 * the runtime itself, so that the guard and the request can never read one text in two ways. Raw sockets resolve text by
 * themselves: they must be given `text`, never what the user wrote.
 *
 * Refuses to know: which hosts are allowed.
 */
import ipaddr from "ipaddr.js";

export type Address = ipaddr.IPv4 | ipaddr.IPv6;

/** `text` goes into a URL or before `:port` as it is: lower case, IPv6 in brackets, no trailing dot. */
export type Host = { kind: "address"; address: Address; text: string } | { kind: "name"; text: string };

/** Longer than any host name (253), with room for percent-encoding. */
const HOST_LENGTH_MAX = 1024;
/** They end the host within a URL, or are dropped by its parser without a word. */
// oxlint-disable-next-line no-control-regex -- control characters are the point
const FORBIDDEN = /[\u0000-\u0020\u007f"#/<>?@\\^`{|}]/;

/** The host in its one spelling; a text tells why there is none. */
export function parseHost(input: string): Host | string {
  if (input === "" || input.length > HOST_LENGTH_MAX) return "the host is empty or too long";
  if (FORBIDDEN.test(input)) return "the host holds a character that no host name has";
  const bare = input.startsWith("[") ? input : input.includes(":") ? `[${input}]` : input;
  if (bare.startsWith("[") && bare.includes("%")) return "IPv6 zone ids are not accepted";
  const url = URL.parse(`http://${bare}/`);
  if (url === null || url.port !== "") return "the host is malformed";
  const { hostname } = url;
  if (hostname.startsWith("[")) {
    return { kind: "address", address: ipaddr.IPv6.parse(hostname.slice(1, -1)), text: hostname };
  }
  if (ipaddr.IPv4.isValidFourPartDecimal(hostname)) {
    return { kind: "address", address: ipaddr.IPv4.parse(hostname), text: hostname };
  }
  const name = hostname.endsWith(".") ? hostname.slice(0, -1) : hostname;
  if (name.length > 253 || name.split(".").some((label) => label === "" || label.length > 63)) {
    return "the host name has an empty or overlong label";
  }
  return { kind: "name", text: name };
}
