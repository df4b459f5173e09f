/**
 * Every route of the native API, and the surfaces beside it, asked by every kind of principal about every kind of name. What
 * is to happen comes from the route's own declaration and the definition of a decision; P3.
 */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Kind, Verb } from "../../../objects/policy/statements.ts";
import { routes } from "../../../workers/api/app.ts";
import type { ApiRequest, Route } from "../../../workers/api/route.ts";
import type { Demand } from "../../../workers/request/permission.ts";
import { Edge } from "../../edge.ts";
import { allows, ELSEWHERE, LEASES, makePrincipals, NAMES } from "./principals.ts";
import type { Place, Principal } from "./principals.ts";

const UUID = "11111111-2222-4333-8444-555555555555";
const instance = { address: "192.0.2.1", port: 80 };

const HOLDING = { owner: "o", token: 1 };

/** What is sent, so that it would do something, were it allowed to. */
const BODIES: Record<string, (name: string, lease: string) => unknown> = {
  register: () => instance,
  updateInstance: () => ({ weight: 2 }),
  heartbeat: () => ({}),
  heartbeats: (name) => ({
    instances: [
      { service: name, id: "i" },
      { service: "", id: name },
    ],
  }),
  registerMany: (name, lease) => ({ instances: [{ service: name, id: "m", ...instance, meshFor: name, lease }] }),
  registerNode: () => ({ address: "192.0.2.9" }),
  putNodeCheck: () => ({ type: "status" }),
  putInstanceCheck: () => ({ type: "status" }),
  reportNodeCheck: () => ({ status: "passing" }),
  reportInstanceCheck: () => ({ status: "passing" }),
  reportAgentChecks: (name) => ({ results: [{ service: name, id: "i", check: "c", status: "passing" }] }),
  transact: (name, lease) => ({
    compare: [{ key: name, target: "version", operator: "=", operand: 999 }],
    then: [
      { type: "txn", then: [{ type: "put", key: name, value: "x", lease, previous: true }] },
      { type: "range", key: name, prefix: true },
    ],
    else: [{ type: "delete", key: `${name}/none`, prefix: true, previous: true }],
  }),
  grantLease: (_name, id) => ({ ttl: 600, id }),
  acquireLock: (_name, lease) => ({ owner: "o", lease, wait: 0 }),
  renewLock: () => HOLDING,
  releaseLock: () => HOLDING,
  withdrawLock: () => ({ owner: "o" }),
  campaign: (_name, lease) => ({ owner: "o", lease, wait: 0 }),
  proclaim: () => ({ ...HOLDING, value: "x" }),
  renewLeadership: () => HOLDING,
  resign: () => HOLDING,
  withdrawCandidate: () => ({ owner: "o" }),
  enterBarrier: (_name, lease) => ({ owner: "o", parties: 2, lease, wait: 0 }),
  leaveBarrier: () => ({ owner: "o" }),
  renewParty: () => ({ owner: "o" }),
  setCounter: () => ({ value: "1" }),
  addToCounter: () => ({ delta: 1 }),
  nextInSequence: () => ({}),
  configureQueue: (name) => ({ maxDeliveries: 3, deadLetter: `${name}-dead` }),
  sendMessages: () => ({ messages: [{ body: "x" }] }),
  receiveMessages: () => ({}),
  ackMessages: () => ({ receipts: ["1-0"] }),
  nackMessages: () => ({ receipts: ["1-0"] }),
  extendMessages: () => ({ receipts: ["1-0"], visibility: 5 }),
  purgeQueue: () => ({}),
  updateSettings: () => ({ history: { revisions: 100_000 }, policy: { default: "deny" } }),
  putPolicy: () => ({ statements: [] }),
  putRole: () => ({}),
  createToken: () => ({}),
  updateToken: () => ({}),
  putUser: () => ({}),
};
const RAW: Record<string, string> = { putKey: "value", restoreSnapshot: "no snapshot" };
const QUERIES: Record<string, Record<string, unknown>[]> = {
  getKey: [{}, { prefix: true }],
  deleteKey: [{}, { prefix: true }],
  putKey: [{}, { cas: 0 }, { cas: 1 }, { lease: LEASES.own }],
  watch: [{ prefix: NAMES.own, since: 0 }],
  checkLock: [{ token: 1 }],
};
/** A snapshot is everything, and says so. */
const TELLS_ALL = new Set(["saveSnapshot"]);

let edge: Edge;
let principals: Principal[];
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  await edge.api("/kv/there", { method: "PUT", body: "x" }, ELSEWHERE);
  for (const place of ["own", "sibling"] as const) {
    const name = NAMES[place];
    const marked = { ...instance, meta: { marker: markerOf(place) } };
    await edge.put(`/services/${name}/instances/i`, { ...marked, checks: [{ type: "ttl", ttl: 600, id: "c" }] });
    await edge.put(`/nodes/${name}`, { address: "192.0.2.9", meta: { marker: markerOf(place) } });
    await edge.api(`/kv/${name}`, { method: "PUT", body: markerOf(place) });
    await edge.api("/leases", { method: "POST", body: { ttl: 3600, id: LEASES[place] } });
    await edge.api(`/queues/${name}/send`, { method: "POST", body: { messages: [{ body: markerOf(place) }] } });
  }
  principals = await makePrincipals(edge);
});
afterAll(() => edge[Symbol.asyncDispose]());

const markerOf = (place: Place): string => `marker-of-${place}.`;

/** Of the declared parts: what nodes and leases there are does not change what the names here demand. */
const EMPTY = {
  query: async (name: string) => ({ value: name === "leases.get" ? { attached: [] } : null, revision: 1 }),
} as unknown as ApiRequest<unknown, unknown>["client"];

async function isDeclaredAllowed(
  principal: Principal,
  route: Route,
  asked: { params: Record<string, string>; query: Record<string, unknown>; body: unknown },
): Promise<boolean> {
  for (const permission of route.permission) {
    if ("parts" in permission) {
      const demands = await permission.parts({ ...asked, client: EMPTY } as ApiRequest<never, unknown>);
      if (!demands.every((demand) => isMet(principal, demand))) return false;
      // Who lacks all that could be demanded is refused, also where nothing is demanded yet.
      const { verbs, kinds } = permission;
      if (!verbs.some((verb) => kinds.some((kind) => allowsSome(principal, verb, kind)))) return false;
      continue;
    }
    const { verb, kind } = permission;
    if ("filtered" in permission) {
      if (!allowsSome(principal, verb, kind)) return false;
    } else if (!allows(principal, verb, kind, permission.on === undefined ? "" : asked.params[permission.on]!)) {
      return false;
    }
  }
  return true;
}

/** Some name: those that its statements speak of are enough to find one. */
function allowsSome(principal: Principal, verb: Verb, kind: Kind): boolean {
  const names = principal.statements?.map(({ name }) => name) ?? [""];
  return ["any", ...names].some((name) => allows(principal, verb, kind, name));
}

/** A range, by names of it: all statements here are about prefixes and names, so its ends and what is said inside decide. */
function isMet(principal: Principal, { verb, kind, name = "", range }: Demand): boolean {
  if (!range) return allows(principal, verb, kind, name);
  const from = new TextDecoder("latin1").decode(range.from);
  const inside = (principal.statements ?? []).flatMap((one) => [one.name, `${one.name}\0`]);
  return [from, `${from}\0`, `${from}zzz`, ...inside]
    .filter((one) => one >= from && one.startsWith(from))
    .every((one) =>
      allows(
        principal,
        verb,
        kind,
        Uint8Array.from(one, (character) => character.charCodeAt(0)),
      ),
    );
}

function paramsOf(route: Route, place: Place): Record<string, string> {
  const values: Record<string, string> = {
    service: NAMES[place],
    node: NAMES[place],
    key: NAMES[place],
    name: NAMES[place],
    topic: NAMES[place],
    accessor: UUID,
    check: "c",
    id: route.path.startsWith("/leases") ? LEASES[place] : "i",
  };
  const names = [...route.path.matchAll(/\{(\w+)\+?\}/g)].map((match) => match[1]!);
  return Object.fromEntries(names.map((name) => [name, values[name]!]));
}

interface Cell {
  principal: Principal;
  route: Route;
  where: Place | "elsewhere";
  query: Record<string, unknown>;
}

/** Of all cells: no outcome is there only on paper. */
const outcomes = { done: 0, 401: 0, 403: 0 };

const PLACES = [...(Object.keys(NAMES) as Place[]), "elsewhere"] as const;
const AT_ONCE = 16;

/** Beats and reports are sent by what is registered: they change it. */
const CHANGING: ReadonlySet<string> = new Set([
  "create",
  "update",
  "delete",
  "acquire",
  "publish",
  "consume",
  "operate",
  "backup",
]);

describe("P3: each route does what it declares", () => {
  test("nothing is changed by a right to read, and one route alone takes no right", () => {
    const verbsOf = ({ permission }: Route): string[] =>
      permission.flatMap((one) => ("parts" in one ? [...one.verbs] : [one.verb]));
    expect(routes.filter(({ permission }) => permission.length === 0).map(({ id }) => id)).toEqual(["getOwnToken"]);
    for (const route of routes.filter(({ method }) => method !== "get")) {
      expect([route.id, verbsOf(route).some((verb) => CHANGING.has(verb))]).toEqual([route.id, true]);
    }
    const ids = routes.map(({ id }) => id);
    expect(new Set(ids).size).toBe(ids.length);
  });

  test("for every principal, route and name", async () => {
    const wrong: string[] = [];
    let checked = 0;
    // One principal after the other: the last ones do what they ask for.
    for (const principal of principals) {
      const cells = PLACES.flatMap((where) =>
        routes.flatMap((route) =>
          (QUERIES[route.id] ?? [{}]).map((query): Cell => ({ principal, route, where, query })),
        ),
      );
      for (let at = 0; at < cells.length; at += AT_ONCE) {
        const found = await Promise.all(cells.slice(at, at + AT_ONCE).map(faultsOf));
        wrong.push(...found.flat());
        checked += found.length;
      }
    }
    expect(wrong).toEqual([]);
    console.log(`rights: ${checked} cells checked:`, outcomes);
    for (const count of Object.values(outcomes)) expect(count).toBeGreaterThan(checked / 20);
    expect(checked).toBeGreaterThanOrEqual(principals.length * routes.length * PLACES.length);
  }, 180_000);
});

async function faultsOf({ principal, route, where, query }: Cell): Promise<string[]> {
  const place = where === "elsewhere" ? "own" : where;
  const namespace = where === "elsewhere" ? ELSEWHERE : "default";
  const params = paramsOf(route, place);
  const body = BODIES[route.id]?.(NAMES[place], LEASES[place]);
  if ((body === undefined) !== (route.body === undefined)) return [`${route.id}: what to send is not said`];
  const isKnown = principal.statements === null || principal.token === null || principal.namespace === namespace;
  const isAllowed = isKnown && (await isDeclaredAllowed(principal, route, { params, query, body }));
  const refusal = isKnown && principal.token !== null ? 403 : 401;
  const wanted = isAllowed ? "done" : refusal;
  outcomes[wanted]++;
  const path = route.path.replace(/\{(\w+)\+?\}/g, (_, name: string) => params[name]!);
  const search = new URLSearchParams(query as Record<string, string>).toString();
  const { status, text, code } = await askOnce(
    `/api/v1/namespaces/${namespace}${path}${search && `?${search}`}`,
    route.method.toUpperCase(),
    RAW[route.id] ?? body,
    principal.token,
  );
  const faults: string[] = [];
  const isRefusal = status === 401 || status === 403;
  if ((isRefusal ? status : "done") !== wanted) faults.push(`${status}, not ${wanted}: ${text.slice(0, 200)}`);
  if (status >= 500) faults.push(`${status}: ${text.slice(0, 200)}`);
  const wantedCode = status === 401 ? "unauthenticated" : "permission_denied";
  if (isRefusal && code !== wantedCode) faults.push(`its code is ${code}`);
  for (const seen of ["own", "sibling"] as const) {
    const maySee = namespace === "default" && isKnown && allows(principal, "read", "kv", NAMES[seen]);
    if (!maySee && !TELLS_ALL.has(route.id) && text.includes(markerOf(seen))) faults.push(`tells of ${seen}`);
  }
  return faults.map((fault) => `${principal.name} ${route.id} ${where} ${search}: ${fault}`);
}

/** Of a stream, what is told at once. */
async function askOnce(path: string, method: string, body: unknown, token: string | null) {
  const ended = new AbortController();
  const response = await edge.request(path, { method, body, token, signal: ended.signal });
  const type = response.headers.get("content-type") ?? "";
  let text = "";
  if (type.startsWith("text/event-stream")) {
    const reader: ReadableStreamDefaultReader<Uint8Array> = response.body!.getReader();
    // The first batch.
    while (!text.includes("\ndata:")) text += new TextDecoder().decode((await reader.read()).value);
    ended.abort();
  } else text = await response.text();
  const code = type === "application/problem+json" ? (JSON.parse(text).code as string) : undefined;
  return { status: response.status, text, code };
}
