/**
 * Headers on their way through: what ends at the gateway, what it says itself. Knows no instances and sends nothing.
 *
 * The runtime shows a request's headers as they came, lies about framing included, so all of that is dropped and the
 * runtime frames anew. Everything that an instance may take for the platform's word is set from the platform's knowledge.
 *
 * Source: RFC 9110 §7.6 (hop-by-hop, Via), RFC 7239 (Forwarded).
 */
import type { RouteTarget } from "./match.ts";

export interface ForwardingFacts {
  /** The peer's address as the platform tells it; "" when unknown. */
  clientAddress: string;
  /** A trusted proxy stands in front: its forwarded headers are continued instead of replaced. */
  trustForwarded: boolean;
  /** The `Authorization` header was for Holdfast, not for the service. */
  stripAuthorization: boolean;
}

/** What the gateway calls itself in `Via`. */
const VIA = "1.1 holdfast";
const VIA_HOP = /(?:^|,)\s*[^\s,]+\s+holdfast(?=[\s,(]|$)/gi;

const HOP_BY_HOP = ["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade", "http2-settings"];

const DROPPED_FROM_REQUESTS = new Set([
  ...HOP_BY_HOP,
  // The runtime's: the length of the body it really sends, the host it connects to.
  "content-length",
  "host",
  // The runtime takes the interim answer to it for the response.
  "expect",
  // Credentials of Holdfast.
  "x-consul-token",
  // Taken by many servers for the peer's address, or for the path.
  "x-real-ip",
  "x-client-ip",
  "x-cluster-client-ip",
  "true-client-ip",
  "cf-connecting-ip",
  "x-original-url",
  "x-rewrite-url",
]);

/** Said about the connection itself, so that the runtime never passes them on. */
const FRAMING = new Set(["connection", "keep-alive", "te", "trailer", "transfer-encoding", "upgrade"]);

/** `alt-svc` would send clients of the gateway's origin to an instance's. */
const DROPPED_FROM_RESPONSES = new Set([...HOP_BY_HOP, "alt-svc"]);
/** Would let one service's script serve the paths of all others. */
const SCOPE_HEADER = "service-worker-allowed";
const DEBUG_HEADER = "x-holdfast-instance";

const TOKEN = /^[!#$%&'*+.^_`|~0-9A-Za-z-]+$/;

/** Of a request's headers what the gateway decides by, read in one go: asking the runtime for each costs as much again. */
export interface RequestHead {
  host: string | null;
  connection: string | null;
  upgrade: string | null;
  via: string | null;
  /** What an instance does not get, apart from what `connection` names. */
  drops: string[];
}

export function readHead({ headers }: Request, { trustForwarded, stripAuthorization }: ForwardingFacts): RequestHead {
  const head: RequestHead = { host: null, connection: null, upgrade: null, via: null, drops: [] };
  headers.forEach((value, name) => {
    if (name === "host" || name === "connection" || name === "upgrade" || name === "via") head[name] = value;
    if (isDroppedFromRequest(name, trustForwarded) || (stripAuthorization && name === "authorization")) {
      head.drops.push(name);
    }
  });
  return head;
}

/** How often a request has passed a gateway already. A client that claims passes only harms itself. */
export function hopCount({ via }: RequestHead): number {
  return via === null ? 0 : (via.match(VIA_HOP)?.length ?? 0);
}

/**
 * The client's request as the instance gets it. A body goes into one only.
 *
 * A copy made by the runtime, in which only what differs is touched: handing over all headers costs several times as much.
 */
export function instanceRequest(
  url: string,
  request: Request,
  head: RequestHead,
  body: ReadableStream | null,
  target: RouteTarget,
  facts: ForwardingFacts,
): Request {
  const copy = new Request(url, body === null ? request : withBody(request, body));
  const { headers } = copy;
  for (const name of head.drops) headers.delete(name);
  dropNamed(headers, head.connection);
  if (head.upgrade?.toLowerCase() === "websocket" && request.method === "GET") headers.set("upgrade", "websocket");
  setForwarded(headers, request, head, target, facts);
  // Not what came: `connection` may have named it.
  const via = head.via && headers.get("via");
  headers.set("via", via === null ? VIA : `${via}, ${VIA}`);
  return copy;
}

/** The instance's response as the client gets it: the same object when there is nothing to change, which costs least. */
export function clientResponse(upstream: Response, target: RouteTarget, debugInstanceId: string | null): Response {
  const drops: string[] = [];
  let isAsIs = debugInstanceId === null;
  for (const name of upstream.headers.keys()) {
    if (!isDroppedFromResponse(name, target)) continue;
    drops.push(name);
    // The runtime frames its own way and leaves these out by itself, but not what else they speak of.
    if (!FRAMING.has(name)) isAsIs = false;
  }
  // A length beside a transfer coding is not the length (RFC 9112 §6.3).
  const isMisframed = drops.includes("transfer-encoding") && upstream.headers.has("content-length");
  if (isAsIs && !isMisframed && (!drops.includes("connection") || namesOnlyFraming(upstream.headers.get("connection"))))
    return upstream;
  const { webSocket } = upstream;
  const response = webSocket
    ? new Response(null, { status: 101, webSocket, headers: upstream.headers })
    : new Response(upstream.body, upstream);
  const { headers } = response;
  for (const name of drops) headers.delete(name);
  dropNamed(headers, upstream.headers.get("connection"));
  if (isMisframed) headers.delete("content-length");
  if (debugInstanceId !== null) headers.set(DEBUG_HEADER, headerText(debugInstanceId));
  return response;
}

function withBody({ method, headers, redirect, signal }: Request, body: ReadableStream): RequestInit {
  return { method, headers, redirect, signal, body };
}

function isDroppedFromRequest(name: string, trustForwarded: boolean): boolean {
  // Servers that hand headers on as CGI variables do not tell "_" from "-".
  const plain = name.includes("_") ? name.replaceAll("_", "-") : name;
  if (DROPPED_FROM_REQUESTS.has(plain) || plain.startsWith("x-holdfast-") || plain.startsWith("proxy-")) return true;
  if (plain !== "forwarded" && !plain.startsWith("x-forwarded-")) return false;
  return !trustForwarded || plain !== name;
}

function isDroppedFromResponse(name: string, target: RouteTarget): boolean {
  if (DROPPED_FROM_RESPONSES.has(name) || name.startsWith("x-holdfast-") || name.startsWith("proxy-")) return true;
  return name === SCOPE_HEADER && target.prefix !== "";
}

function namesOnlyFraming(connection: string | null): boolean {
  return (connection ?? "")
    .split(",")
    .every((part) => /^\s*(?:close)?\s*$/i.test(part) || FRAMING.has(part.trim().toLowerCase()));
}

function dropNamed(headers: Headers, connection: string | null): void {
  if (connection === null) return;
  for (const part of connection.split(",")) {
    const name = part.trim();
    if (TOKEN.test(name)) headers.delete(name.toLowerCase());
  }
}

/** `headers` has no forwarded headers left but those that are continued. */
function setForwarded(
  headers: Headers,
  request: Request,
  { host }: RequestHead,
  target: RouteTarget,
  facts: ForwardingFacts,
): void {
  const { clientAddress, trustForwarded } = facts;
  const proto = request.url.startsWith("https:") ? "https" : "http";
  const earlier = (name: string): string | null => (trustForwarded ? headers.get(name) : null);

  if (clientAddress !== "") {
    const chain = earlier("x-forwarded-for");
    headers.set("x-forwarded-for", chain === null ? clientAddress : `${chain}, ${clientAddress}`);
  }
  const element = forwardedElement(clientAddress, host, proto);
  const chain = earlier("forwarded");
  headers.set("forwarded", chain === null ? element : `${chain}, ${element}`);
  if (earlier("x-forwarded-proto") === null) headers.set("x-forwarded-proto", proto);
  if (host !== null && earlier("x-forwarded-host") === null) headers.set("x-forwarded-host", host);
  if (target.prefix !== "") headers.set("x-forwarded-prefix", `${earlier("x-forwarded-prefix") ?? ""}${target.prefix}`);
}

function forwardedElement(clientAddress: string, host: string | null, proto: string): string {
  const node = clientAddress === "" ? "unknown" : clientAddress.includes(":") ? `"[${clientAddress}]"` : clientAddress;
  const forHost = host === null ? "" : `;host="${host.replace(/["\\]/g, "\\$&")}"`;
  return `for=${node}${forHost};proto=${proto}`;
}

/** An id is any text; a header is not. */
function headerText(id: string): string {
  return id.replace(/[^\x20-\x7e]/g, (character) => encodeURIComponent(character.toWellFormed()));
}
