/** Barriers, where parties wait for each other, and gates, where everybody waits until one is opened. */
import { z } from "@hono/zod-openapi";
import type { BarrierInfo, Party } from "../../objects/barriers/barriers.ts";
import { partyRanges, phaseRange } from "../../objects/barriers/barriers.ts";
import type { CommandOptions } from "../request/namespace-client.ts";
import { waitOf as waitOfText } from "../request/wait.ts";
import type { Wait } from "./locks.ts";
import { claimFields, claimInput, demandsOfLease, isRepeatable, notToBeHad, renewal, waitOf } from "./locks.ts";
import { notFound, route, words } from "./route.ts";
import type { Waiter } from "./turn.ts";
import { assertThere, begin, lapsed, orLeave, waiterOf, waitFor } from "./turn.ts";
import { visiblePage } from "./visible.ts";

const barrierFields = {
  name: z.string(),
  kind: z.enum(["parties", "gate"]).nullable().describe("Null: nobody is there, and it is not closed"),
  parties: z.number().int().nullable().describe("How many have to come"),
  present: z.number().int(),
  open: z.boolean().describe("Nobody has to wait there"),
  openRevision: z.number().int().nullable(),
};
const enteredOutput = z.object({
  name: z.string(),
  parties: z.number().int(),
  open: z.boolean().describe("All have come; false: it is still waited for (202)"),
  owner: z.string(),
  lease: z.string(),
  ttl: z.number(),
});

export const barrierRoutes = [
  route({
    method: "get",
    path: "/barriers",
    tag: "Barriers",
    id: "listBarriers",
    summary: "Barriers where somebody is, and closed gates",
    permission: [{ verb: "read", kind: "lock", filtered: true }],
    query: z.strictObject({ after: words("Continue after this name") }),
    response: z.object({ barriers: z.array(z.object(barrierFields)), after: z.string().nullable() }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage<BarrierInfo>(
        query.after ?? null,
        (after) => client.query("barrier.list", { after }),
        ({ name }) => authorizer.allows("read", "lock", name),
        ({ name }) => name,
      );
      return { value: { barriers: value.items, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/barriers/{name}",
    tag: "Barriers",
    id: "getBarrier",
    summary: "A barrier and who is there; with wait, once it is open",
    permission: [{ verb: "read", kind: "lock", on: "name" }],
    query: z.strictObject({ wait: words("How long to wait until it is open, as 30s; at most 60s") }),
    response: z.object({ ...barrierFields, owners: z.array(z.string()) }),
    async handle(asked) {
      const { client, params, query } = asked;
      const name = params["name"]!;
      const { value, revision } = await client.query("barrier.get", { name });
      if (value.open || query.wait === undefined) return { value, revision };
      const later = await waitFor(waiterOf(asked, "read"), {
        query: "barrier.get",
        input: { name },
        ranges: [phaseRange(name)],
        since: revision,
        waitMs: waitOfText(query.wait),
        isOver: ({ open }) => open,
      });
      return { value: later, revision };
    },
  }),
  route({
    method: "put",
    path: "/barriers/{name}",
    tag: "Barriers",
    id: "closeGate",
    summary: "Close a gate: everybody who waits there waits until it is opened",
    permission: [{ verb: "update", kind: "lock", on: "name" }],
    response: z.object(barrierFields),
    handle: ({ client, params, options }) => client.execute("barrier.close", { name: params["name"]! }, options),
  }),
  route({
    method: "delete",
    path: "/barriers/{name}",
    tag: "Barriers",
    id: "openGate",
    summary: "Open a gate",
    permission: [{ verb: "update", kind: "lock", on: "name" }],
    response: z.object({ existed: z.boolean().describe("False: it was not closed") }),
    handle: ({ client, params, options }) => client.execute("barrier.open", { name: params["name"]! }, options),
  }),
  route({
    method: "post",
    path: "/barriers/{name}/enter",
    tag: "Barriers",
    id: "enterBarrier",
    summary: "Come to a barrier, and wait until all have come; conflict when they did not in that time",
    permission: [
      { verb: "acquire", kind: "lock", on: "name" },
      { verbs: ["acquire", "update"], kinds: ["lock", "session"], parts: ({ body }) => demandsOfLease(body) },
    ],
    body: z
      .strictObject({ ...claimFields, parties: z.number().int().describe("How many have to come") })
      .openapi("EnterInput"),
    response: enteredOutput,
    async handle(asked) {
      const { client, params, body, options } = asked;
      const name = params["name"]!;
      const { waitMs, stay } = waitOf(body);
      const input = { name, parties: body.parties, ...claimInput(body) };
      const { value, revision } = await client.execute("barrier.enter", input, options);
      const { party, barrier } = value;
      const isSettled = barrier.open && !isRepeatable(options);
      const wait = { waitMs: barrier.open ? 0 : waitMs, stay };
      const isOpen = isSettled || (await opened(waiterOf(asked, "acquire"), party, wait, options));
      if (!isOpen && !stay) throw notToBeHad("barrier", name);
      const { owner, lease, ttlMs } = party;
      return {
        value: { name, parties: body.parties, open: isOpen, owner, lease, ttl: ttlMs / 1000 },
        revision,
        status: isOpen ? 200 : 202,
      };
    },
  }),
  route({
    method: "post",
    path: "/barriers/{name}/leave",
    tag: "Barriers",
    id: "leaveBarrier",
    summary: "Leave a barrier; with wait, once all have left",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: z.strictObject({
      owner: z.string(),
      wait: claimFields.wait.describe("How long to wait until all have left, in seconds; default 0"),
    }),
    response: z.object({
      left: z.boolean().describe("False: there was no such party"),
      ended: z.boolean().describe("All have left"),
    }),
    async handle(asked) {
      const { client, params, body, options } = asked;
      const name = params["name"]!;
      const { value, revision } = await client.execute("barrier.leave", { name, owner: body.owner }, options);
      const { left, barrier } = value;
      const round = barrier.openRevision;
      if (round === null || !body.wait) return { value: { left, ended: round === null }, revision };
      const later = await waitFor(waiterOf(asked, "acquire"), {
        query: "barrier.get",
        input: { name },
        ranges: [phaseRange(name)],
        since: revision,
        waitMs: body.wait * 1000,
        isOver: ({ openRevision }) => openRevision !== round,
      });
      return { value: { left, ended: later.openRevision !== round }, revision };
    },
  }),
  route({
    method: "post",
    path: "/barriers/{name}/renew",
    tag: "Barriers",
    id: "renewParty",
    summary: "Renew the lease of a party; no commit, no revision",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: z.strictObject({ owner: z.string() }),
    response: renewal,
    async handle({ client, params, body }) {
      const name = params["name"]!;
      const { value: found } = await client.query("barrier.party", { name, owner: body.owner });
      if (!found.party) throw notFound(`"${body.owner}" is not at barrier "${name}"`);
      const { value, revision } = await client.renewLease(found.party.lease);
      return { value: { ttl: value.ttlMs / 1000 }, revision };
    },
  }),
];

/** Waits for the others; false when they did not come in that time. Codes: as `awaitTurn`. */
function opened(waiter: Waiter, party: Party, { waitMs, stay }: Wait, options: CommandOptions): Promise<boolean> {
  const { client } = waiter;
  const { caller } = options;
  const { name, owner, enteredRevision } = party;
  const lasts = stay || isRepeatable(options);
  const leave = (unlessOpen: boolean) => client.execute("barrier.leave", { name, owner, unlessOpen }, { caller });
  const waiting = async (): Promise<boolean> => {
    const found = await waitFor(waiter, {
      query: "barrier.party",
      input: { name, owner },
      ranges: partyRanges(name, owner),
      since: enteredRevision,
      waitMs,
      own: party,
      isOver: ({ party: mine, open }) => open || mine?.enteredRevision !== enteredRevision,
    });
    // Gone, or come again since by another request.
    if (found.party?.enteredRevision !== enteredRevision) throw lapsed(party);
    if (!found.open && lasts && !stay) assertThere(waiter);
    if (!found.open && (stay || (await leave(true)).value.left)) return false;
    await begin(waiter);
    return true;
  };
  return orLeave(waiting(), lasts, () => leave(false));
}
