/**
 * `/v1/event`: events that everybody, or the agents a filter means, may act upon.
 *
 * The list's index is no counter: it is made of the last event's id, and a call that gives it waits for another one.
 * Source: Consul 1.21, developer.hashicorp.com/consul/api-docs/event.
 */
import { toBase64 } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import type { FiredEvent } from "../../../objects/events/events.ts";
import { EVENT_PAYLOAD_BYTES_MAX, eventSpace } from "../../../objects/events/events.ts";
import type { RegisteredInstance } from "../../../objects/model.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { WAIT_MAX_MS } from "../../../objects/waiting.ts";
import { instancesOnNode } from "./catalog/pages.ts";
import { isDefaultNode } from "./catalog/agent-node.ts";
import { badRequest, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { PatternCompiler, PatternError } from "./filter/pattern.ts";
import { route } from "./route.ts";

export const eventRoutes = [route("/event/fire/", { PUT: fire }), route("/event/list", { GET: list })];

const EVERYTHING: WatchRange = { space: eventSpace.name, from: new Uint8Array(), to: null };
/** Of the format, which has not changed since. */
const VERSION = 1;

async function fire(exchange: Exchange): Promise<Response> {
  const { rest: name } = exchange;
  if (name === "") throw badRequest("Missing name");
  const [node, service, tag] = [exchange.param("node"), exchange.param("service"), exchange.param("tag")];
  if (tag !== "" && service === "") throw refused("Cannot provide tag filter without service filter");
  for (const [what, pattern] of Object.entries({ node, service, tag })) assertPattern(what, pattern);
  exchange.require("event", "write", name);
  const payload = await payloadOf(exchange);
  const event = await exchange.execute("event.fire", { name, payload, node, service, tag });
  // Its time is that of the agents it has come to; here it has come to none yet.
  return exchange.json({ ...eventEntry(event), LTime: 0 });
}

async function payloadOf(exchange: Exchange): Promise<Uint8Array> {
  try {
    return await exchange.bytes(EVENT_PAYLOAD_BYTES_MAX);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "too_large") throw error;
    throw refused(`user event exceeds configured limit of ${EVENT_PAYLOAD_BYTES_MAX} bytes before encoding`);
  }
}

function assertPattern(what: string, pattern: string): void {
  try {
    new PatternCompiler().compile(pattern);
  } catch (error) {
    if (error instanceof PatternError) throw refused(`Invalid ${what} filter: ${error.message}`);
    throw error;
  }
}

async function list(exchange: Exchange): Promise<Response> {
  const { index: since, waitMs } = exchange.query;
  // All 64 bits of it count.
  const known = since === 0 ? 0n : BigInt(exchange.param("index"));
  const name = exchange.param("name") || undefined;
  const until = Date.now() + waitMs;
  for (;;) {
    const { value } = await exchange.client.read("event.list", { name }, { ranges: [EVERYTHING] });
    const events = await meantFor(exchange, value.value);
    const last = events.at(-1);
    const index = last ? indexOf(last) : 1n;
    const remainingMs = Math.min(until - Date.now(), WAIT_MAX_MS);
    if (index !== known || remainingMs <= 0 || exchange.request.signal.aborted) {
      exchange.tellIndex(value.index);
      exchange.headers.set("x-consul-index", index.toString());
      return exchange.json(events.map(eventEntry));
    }
    const options = { ranges: [EVERYTHING], since: value.index, waitMs: remainingMs };
    await exchange.client.read("store.nothing", {}, options);
  }
}

/** What the caller may read of it, and its node has received. */
async function meantFor(exchange: Exchange, events: FiredEvent[]): Promise<FiredEvent[]> {
  const { node } = exchange;
  const matches = matcher();
  let services: RegisteredInstance[] | undefined;
  const received: FiredEvent[] = [];
  for (const event of events) {
    if (event.node !== "" && !matches(event.node, node)) continue;
    if (event.service !== "") {
      services ??= await instancesOnNode(exchange, node, isDefaultNode(node, exchange));
      const isMeant = ({ service, tags }: RegisteredInstance): boolean =>
        matches(event.service, service) && (event.tag === "" || tags.some((tag) => matches(event.tag, tag)));
      if (!services.some(isMeant)) continue;
    }
    received.push(event);
  }
  return exchange.visible(received, ({ name }) => exchange.allows("event", "read", name));
}

/** Each pattern is compiled once; all have been compiled before, when their event was fired. */
function matcher(): (pattern: string, text: string) => boolean {
  const compiled = new Map<string, (text: string) => boolean>();
  return (pattern, text) => {
    let test = compiled.get(pattern);
    if (!test) compiled.set(pattern, (test = new PatternCompiler().compile(pattern)));
    return test(text);
  };
}

/** The two halves of its id, one over the other. */
function indexOf({ id }: FiredEvent): bigint {
  const hex = id.replaceAll("-", "");
  return BigInt(`0x${hex.slice(0, 16)}`) ^ BigInt(`0x${hex.slice(16)}`);
}

const eventEntry = (event: FiredEvent): object => ({
  ID: event.id,
  Name: event.name,
  Payload: event.payload.length > 0 ? toBase64(event.payload) : null,
  NodeFilter: event.node,
  ServiceFilter: event.service,
  TagFilter: event.tag,
  Version: VERSION,
  LTime: event.number,
});
