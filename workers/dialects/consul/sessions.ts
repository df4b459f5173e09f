/**
 * `/v1/session`: sessions, which hold keys as long as their node, their checks and their renewals last.
 *
 * Source: Consul 1.21, developer.hashicorp.com/consul/api-docs/session.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import type { Stored } from "../../../objects/policy/records.ts";
import type { Session, SessionInput } from "../../../objects/sessions/sessions.ts";
import { sessionSpace } from "../../../objects/sessions/sessions.ts";
import type { WatchRange } from "../../../objects/store/store.ts";
import { agentNodeSpec, isDefaultNode, SERF_HEALTH } from "./catalog/agent-node.ts";
import { sessionsFrom } from "./catalog/pages.ts";
import { nodeKeyOf } from "./catalog/service-id.ts";
import type { Decoded, Decoder } from "./decode.ts";
import { anything, decodeBody, list, object, text } from "./decode.ts";
import { formatDuration, parseDuration, toNanoseconds } from "./durations.ts";
import { badRequest, notFound, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { quote } from "../../request/go-strconv.ts";
import { route } from "./route.ts";

export const sessionRoutes = [
  route("/session/create", { PUT: create }),
  route("/session/destroy/", { PUT: destroy }),
  route("/session/renew/", { PUT: renew }),
  route("/session/info/", { GET: info }),
  route("/session/node/", { GET: onNode }),
  route("/session/list", { GET: all }),
];

const TTL_MIN_MS = 10_000;
const TTL_MAX_MS = 86_400_000;
/** Consul's servers let a session live twice as long as it asks for, so that a late renewal does not end it. */
const GRACE = 2;
const LOCK_DELAY_MS = 15_000;
/** Beyond a minute it counts as a minute. */
const LOCK_DELAY_TOLD_MAX_MS = 86_400_000;
/** A smaller number of nanoseconds was meant to be one of seconds. */
const SECONDS_BELOW = 1000;

const EVERYTHING: WatchRange = { space: sessionSpace.name, from: new Uint8Array(), to: null };

/** Absent is not the same as null, which empties a list. */
const given = <T>(inner: Decoder<T>): Decoder<T | undefined> => ({
  decode: (value, path) => inner.decode(value, path),
  zero: () => undefined,
});

const serviceCheck = object({ ID: text, Namespace: text }, { lenient: true });

const sessionBody = object(
  {
    Name: text,
    Node: text,
    LockDelay: anything,
    Behavior: text,
    TTL: text,
    Checks: given(list(text)),
    NodeChecks: given(list(text)),
    ServiceChecks: list(serviceCheck),
  },
  { lenient: true },
);

type Body = Decoded<typeof sessionBody>;

/** What only Consul shows of a session. */
interface SessionExtra {
  TTL: string;
  NodeChecks: string[];
  ServiceChecks: { ID: string; Namespace: string }[];
  /** As clients of old versions name their checks. */
  Checks: string[];
}

async function create(exchange: Exchange): Promise<Response> {
  const bytes = await exchange.bytes();
  const body = bytes.length === 0 ? sessionBody.zero() : decodeBody(bytes, sessionBody);
  const lockDelayMs = lockDelayOf(body.LockDelay);
  const node = body.Node || exchange.node;
  exchange.require("session", "write", node);
  const { Behavior: behavior } = body;
  if (behavior !== "" && behavior !== "release" && behavior !== "delete") {
    throw refused(`Invalid Behavior setting '${behavior}'`);
  }
  const extra: SessionExtra = { TTL: body.TTL, ServiceChecks: body.ServiceChecks, ...checksOf(body) };
  const isAgents = isDefaultNode(node, exchange) || nodeKeyOf(node) === nodeKeyOf(exchange.node);
  const input: SessionInput = {
    name: body.Name,
    node,
    ensure: isAgents ? agentNodeSpec(exchange, node, exchange.caller.source) : undefined,
    behavior: behavior || "release",
    lockDelayMs,
    ttlMs: ttlOf(body.TTL),
    checks: [...extra.Checks, ...extra.NodeChecks, ...extra.ServiceChecks.map(({ ID }) => ID)],
    extra: { consul: extra },
  };
  try {
    return exchange.json({ ID: (await exchange.execute("session.create", input)).id });
  } catch (error) {
    throw inWords(error);
  }
}

function inWords(error: unknown): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const { code, details = {} } = error;
  if (details["node"] !== undefined) return refused("apply failed: Missing node registration");
  if (details["check"] === undefined) return error;
  const check = String(details["check"]);
  return refused(
    code === "conflict"
      ? `apply failed: Check '${check}' is in critical state`
      : `apply failed: Missing check '${check}' registration`,
  );
}

/** The node's health stands for a session unless it names its checks; naming none means none. */
function checksOf({ Checks, NodeChecks = [SERF_HEALTH] }: Body): Pick<SessionExtra, "Checks" | "NodeChecks"> {
  if (Checks?.length === 0) return { Checks: [], NodeChecks: [] };
  if (!Checks || (Checks.length === 1 && Checks[0] === SERF_HEALTH)) return { Checks: [], NodeChecks };
  return { Checks: NodeChecks.length === 0 ? [] : Checks, NodeChecks };
}

function lockDelayOf(value: unknown): number {
  if (value === null) return LOCK_DELAY_MS;
  let ms = 0;
  if (typeof value === "string") {
    const parsed = parseDuration(value);
    if (parsed === null) throw badRequest(`Request decode failed: time: invalid duration ${quote(value)}`);
    ms = parsed;
  } else if (typeof value === "number" || typeof value === "bigint") ms = Number(value) / 1e6;
  const nanoseconds = toNanoseconds(ms);
  if (nanoseconds < SECONDS_BELOW) ms = nanoseconds * 1000;
  return Math.min(Math.max(ms, 0), LOCK_DELAY_TOLD_MAX_MS);
}

function ttlOf(given: string): number | null {
  if (given === "") return null;
  const ms = parseDuration(given);
  if (ms === null) throw refused(`Session TTL '${given}' invalid: time: invalid duration ${quote(given)}`);
  if (ms === 0) return null;
  if (ms < TTL_MIN_MS || ms > TTL_MAX_MS) {
    const range = `${formatDuration(TTL_MIN_MS)}=${formatDuration(TTL_MAX_MS)}`;
    throw refused(`Invalid Session TTL '${toNanoseconds(ms)}', must be between [${range}]`);
  }
  return GRACE * ms;
}

async function destroy(exchange: Exchange): Promise<Response> {
  const id = idOf(exchange);
  await requireWrite(exchange, id);
  await exchange.execute("session.destroy", { id });
  return exchange.json(true);
}

async function renew(exchange: Exchange): Promise<Response> {
  const id = idOf(exchange);
  await requireWrite(exchange, id);
  try {
    return exchange.json([sessionEntry((await exchange.client.renewSession(id)).value)]);
  } catch (error) {
    if (!(error instanceof HoldfastError) || error.code !== "not_found") throw error;
    throw notFound(`Session id '${exchange.rest}' not found`);
  }
}

/** Who may do everything is not kept waiting for a look at whose it is. */
async function requireWrite(exchange: Exchange, id: string): Promise<void> {
  if (exchange.authorizer.allowsBelow("session", "write", "")) return;
  const { value: session } = await exchange.client.query("session.get", { id });
  if (session) exchange.require("session", "write", session.node);
}

async function info(exchange: Exchange): Promise<Response> {
  const { value: session } = await exchange.read("session.get", { id: idOf(exchange) }, [EVERYTHING]);
  return answer(exchange, session ? [session] : []);
}

async function all(exchange: Exchange): Promise<Response> {
  const { value: first } = await exchange.read("session.list", {}, [EVERYTHING]);
  return answer(exchange, await sessionsFrom(exchange, first, undefined));
}

async function onNode(exchange: Exchange): Promise<Response> {
  const { rest: node } = exchange;
  if (node === "") throw badRequest("Missing node name");
  const { value: first } = await exchange.read("session.list", { node }, [EVERYTHING]);
  return answer(exchange, await sessionsFrom(exchange, first, node));
}

function answer(exchange: Exchange, sessions: Stored<Session>[]): Response {
  const visible = exchange.visible(sessions, ({ node }) => exchange.allows("session", "read", node));
  return exchange.json(visible.map(sessionEntry));
}

function idOf({ rest }: Exchange): string {
  if (rest === "") throw badRequest("Missing session");
  return rest.toLowerCase();
}

function sessionEntry(session: Stored<Session>): object {
  const extra = session.extra["consul"] as SessionExtra | undefined;
  return {
    ID: session.id,
    Name: session.name,
    Node: session.node,
    LockDelay: toNanoseconds(session.lockDelayMs),
    Behavior: session.behavior,
    TTL: extra?.TTL ?? (session.ttlMs === null ? "" : formatDuration(session.ttlMs / GRACE)),
    NodeChecks: extra?.NodeChecks ?? session.checks,
    ServiceChecks: extra && extra.ServiceChecks.length > 0 ? extra.ServiceChecks : null,
    ...(extra && extra.Checks.length > 0 && { Checks: extra.Checks }),
    CreateIndex: session.createRevision,
    ModifyIndex: session.modRevision,
  };
}
