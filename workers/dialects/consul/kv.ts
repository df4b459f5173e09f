/**
 * `/v1/kv`: keys and values, compare-and-set, and keys as locks.
 *
 * Source: Consul 1.21, developer.hashicorp.com/consul/api-docs/kv.
 */
import { keyAfter, prefixEnd, utf8 } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { KV } from "../../../objects/kv/key.ts";
import { boundedBody } from "./bounded-body.ts";
import { keyPair } from "./encode-key.ts";
import { badRequest, ConsulError, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { parseDecimal, quote, StrconvError } from "../../request/go-strconv.ts";
import { listKeys, listPairs } from "./kv-listing.ts";
import { route } from "./route.ts";

export const kvRoutes = [route("/kv/", { GET: get, PUT: put, DELETE: remove })];

async function get(exchange: Exchange): Promise<Response> {
  const { params, authorizer } = exchange;
  const isKeys = params.has("keys");
  if (!isKeys && !params.has("recurse")) return getOne(exchange);
  if (authorizer.guardsKeyLists) exchange.require("key", "list", exchange.rest);
  return isKeys ? listKeys(exchange) : listPairs(exchange);
}

async function getOne(exchange: Exchange): Promise<Response> {
  const name = nameOf(exchange);
  exchange.require("key", "read", name);
  const key = utf8(name);
  const { value: entry } = await exchange.read("kv.entry", { key }, [{ space: KV, from: key, to: keyAfter(key) }]);
  if (!entry) return new Response(null, { status: 404 });
  if (!exchange.params.has("raw")) return exchange.json([keyPair(entry)]);
  return new Response(entry.value as Uint8Array<ArrayBuffer>, {
    // A value may be anything: a browser must not take it for a page of ours.
    headers: { "content-type": "text/plain", "content-security-policy": "sandbox" },
  });
}

async function put(exchange: Exchange): Promise<Response> {
  const name = nameOf(exchange);
  assertCompatible(exchange, ["cas", "acquire", "release"]);
  const flags = (numberParam(exchange, "flags") ?? 0n).toString();
  const cas = revisionParam(exchange, "cas");
  exchange.require("key", "write", name);
  const input = { key: utf8(name), value: await boundedBody(exchange, "kv_max_value_size"), flags };
  for (const [param, command] of [
    ["acquire", "kv.acquire"],
    ["release", "kv.release"],
  ] as const) {
    const session = exchange.params.get(param);
    if (session !== null) return exchange.json(await lock(exchange, command, { ...input, session }));
  }
  return exchange.json((await exchange.execute("kv.set", { ...input, cas })).applied);
}

interface Lock {
  key: Uint8Array;
  value: Uint8Array;
  flags: string;
  session: string;
}

async function lock(exchange: Exchange, command: "kv.acquire" | "kv.release", input: Lock): Promise<boolean> {
  if (input.session === "") throw refused("raft apply failed: missing session");
  try {
    return (await exchange.execute(command, input)).applied;
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.details?.["session"] === undefined) throw error;
    throw refused(`raft apply failed: invalid session ${quote(input.session)}`);
  }
}

async function remove(exchange: Exchange): Promise<Response> {
  assertCompatible(exchange, ["recurse", "cas"]);
  if (exchange.params.has("recurse")) return removeTree(exchange);
  const name = nameOf(exchange);
  const cas = revisionParam(exchange, "cas");
  exchange.require("key", "write", name);
  try {
    await exchange.execute("kv.delete", { key: utf8(name), cas });
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "conflict") throw error;
    // What is not there is deleted already, whatever its index should have been.
    return exchange.json(error.details?.["revision"] === 0);
  }
  return exchange.json(true);
}

/** A large tree goes in parts: a commit of all of it would hold up everybody else. */
async function removeTree(exchange: Exchange): Promise<Response> {
  const { rest: name } = exchange;
  if (!exchange.authorizer.allowsBelow("key", "write", name)) {
    throw new ConsulError(403, exchange.authorizer.denial("key", "write", name));
  }
  const key = utf8(name);
  const { client, caller } = exchange;
  for (;;) {
    // Without the caller's request id, which is one for all the parts.
    const { value } = await client.execute("kv.delete", { key, to: prefixEnd(key), partly: true }, { caller });
    if (!value.more) return exchange.json(true);
  }
}

function nameOf({ rest }: Exchange): string {
  if (rest === "") throw badRequest("Missing key name");
  return rest;
}

function assertCompatible({ params }: Exchange, names: string[]): void {
  if (names.filter((name) => params.has(name)).length <= 1) return;
  const sorted = new URLSearchParams(params);
  sorted.sort();
  throw badRequest(`Conflicting flags: ${sorted.toString()}\n`);
}

function numberParam({ params }: Exchange, name: string): bigint | undefined {
  const given = params.get(name);
  if (given === null) return undefined;
  try {
    return parseDecimal(given);
  } catch (error) {
    if (error instanceof StrconvError) throw refused(error.message);
    throw error;
  }
}

/** A revision that is too large for one is nobody's. */
function revisionParam(exchange: Exchange, name: string): number | undefined {
  const given = numberParam(exchange, name);
  return given === undefined ? undefined : Math.min(Number(given), Number.MAX_SAFE_INTEGER);
}
