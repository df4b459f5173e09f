/**
 * Reading and writing what `/v1/acl` keeps, through an exchange: bodies with Consul's words for what is wrong with them,
 * lists as a whole, and writes that this isolate takes notice of at once.
 */
import { createHash } from "node:crypto";
import type { CommandInput, CommandName, CommandOutput, QueryInput, QueryName } from "../../../../objects/commands.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import type { ErrorCode } from "../../../../objects/errors.ts";
import type { Extra, Page } from "../../../../objects/policy/records.ts";
import type { WatchRange } from "../../../../objects/store/store.ts";
import { forgetAuthorizers } from "../../../request/authorizer.ts";
import type { Decoder } from "../decode.ts";
import { decodeBody } from "../decode.ts";
import { badRequest, ConsulError, notFound, refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import type { Endpoint, Methods, Route } from "../route.ts";
import { primaryRoute } from "../route.ts";

/** A route of the ACL system. In open mode there is none, which clients tell by this text. */
export function aclRoute(path: string, methods: Methods): Route {
  const guarded = Object.entries(methods).map(([method, endpoint]): [string, Endpoint] => [
    method,
    (exchange) => {
      if (exchange.env.HOLDFAST_OPEN === "1") throw new ConsulError(401, "ACL support disabled");
      return endpoint(exchange);
    },
  ]);
  return primaryRoute(path, Object.fromEntries(guarded));
}

/** `what` begins the text of a refusal: `Token decoding failed: …`. */
export async function bodyOf<T>(
  exchange: Exchange,
  what: string,
  schema: Decoder<T>,
  { mayBeEmpty = false } = {},
): Promise<T> {
  const bytes = await exchange.bytes();
  if (mayBeEmpty && bytes.length === 0) return schema.zero();
  try {
    return decodeBody(bytes, schema);
  } catch (error) {
    if (!(error instanceof ConsulError) || error.status !== 400) throw error;
    const reason = error.message.replace("Request decode failed: ", "");
    const enterprise = /unknown field "(Namespace|Partition)"/i.exec(reason)?.[1];
    const hint = enterprise ? ` - ${enterprise}s are a Consul Enterprise feature` : "";
    throw badRequest(`${what}: ${reason}${hint}`);
  }
}

/** Nothing is decided by older rights once the answer is out. */
export async function write<N extends CommandName>(
  exchange: Exchange,
  command: N,
  input: CommandInput<N>,
): Promise<CommandOutput<N>> {
  try {
    return await exchange.execute(command, input);
  } finally {
    forgetAuthorizers(exchange.namespace);
  }
}

type Listing = Extract<QueryName, `${string}.list`>;
type Item<N extends Listing> = Awaited<ReturnType<typeof readPage<N>>> extends Page<infer T> ? T : never;

async function readPage<N extends Listing>(exchange: Exchange, query: N, input: QueryInput<N>) {
  return (await exchange.client.query(query, input)).value;
}

/** All pages; the first one waits as the caller asked. */
export async function readAll<N extends Listing>(
  exchange: Exchange,
  query: N,
  input: QueryInput<N>,
  ranges: WatchRange[],
): Promise<Item<N>[]> {
  let page = (await exchange.read(query, input, ranges)).value as unknown as Page<Item<N>>;
  const items = [...page.items];
  while (page.after !== null) {
    page = (await readPage(exchange, query, { ...input, after: page.after })) as unknown as Page<Item<N>>;
    items.push(...page.items);
  }
  return items;
}

const whole = (space: string): WatchRange => ({ space, from: new Uint8Array(), to: null });
export const POLICY_RANGES = [whole("policy")];
/** Links carry names. */
export const ROLE_RANGES = [whole("role"), whole("policy")];
export const TOKEN_RANGES = [whole("token"), whole("role"), whole("policy")];
export const AUTH_METHOD_RANGES = [whole("auth_method")];
export const BINDING_RULE_RANGES = [whole("binding_rule")];

/** Replaces an error of one code by Consul's. */
export async function wording<T>(
  work: Promise<T>,
  words: { [code in ErrorCode]?: (error: HoldfastError) => Error },
): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const word = error instanceof HoldfastError ? words[error.code] : undefined;
    throw word ? word(error as HoldfastError) : error;
  }
}

export const noSuch = (what: string) => (): Error => notFound(`Requested ${what} does not exist: ACL not found`);

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const RESERVED = "00000000-0000-0000-0000-0000000000";

export const isUuid = (id: string): boolean => UUID.test(id);
export const isReserved = (id: string): boolean => id.startsWith(RESERVED);

/** What was written for Consul alone. */
export const ownExtra = (extra: Extra): Extra => (extra["consul"] ?? {}) as Extra;

/** Of Consul's `Hash`: changes when the content does. */
export const contentHash = (...content: unknown[]): string =>
  createHash("sha256").update(JSON.stringify(content)).digest("base64");

/** A link that names nothing, in the words of whoever holds it. */
export function noSuchLink({ message, details }: HoldfastError): Error {
  const what = details?.["field"] === "roles" ? "role" : "policy";
  const by = details?.["id"] === undefined ? "name" : "ID";
  const wanted = details?.["id"] ?? details?.["name"];
  return refused(wanted === undefined ? message : `No such ACL ${what} with ${by} ${JSON.stringify(wanted)}`);
}
