/** Elections: campaigned for, led, proclaimed, observed. */
import { z } from "@hono/zod-openapi";
import { utf8 } from "../../objects/bytes.ts";
import type { Candidate, Leader } from "../../objects/elections/elections.ts";
import { elections, leaderIn, leaderRange } from "../../objects/elections/elections.ts";
import { HoldfastError } from "../../objects/errors.ts";
import { claimRange } from "../../objects/locks/arbiter.ts";
import type { StoreEvent } from "../../objects/store/store.ts";
import type { CommandOptions, NamespaceClient } from "../request/namespace-client.ts";
import { isoTime } from "./convert.ts";
import type { WriteEvents } from "./event-stream.ts";
import { errorEvent, EVENTS_WAIT_MS, eventStream, lastEventIdOf, opening, progressEvent } from "./event-stream.ts";
import type { Wait } from "./locks.ts";
import {
  claimFields,
  claimInput,
  demandsOfLease,
  holding,
  isRepeatable,
  isSettled,
  notToBeHad,
  renewal,
  waitOf,
  withdrawal,
} from "./locks.ts";
import { REVISION_MAX, route, whole, words } from "./route.ts";
import type { Waiter } from "./turn.ts";
import { awaitTurn, waiterOf } from "./turn.ts";
import { visiblePage } from "./visible.ts";

const value = z.string().describe("What everybody is told");

const leaderOutput = z
  .object({
    owner: z.string(),
    token: z.number().int().describe("The fencing token of its leadership"),
    value,
    since: z.iso.datetime(),
  })
  .openapi("Leader");

const candidateOutput = z
  .object({
    name: z.string(),
    owner: z.string(),
    value,
    token: z.number().int().nullable().describe("The fencing token of its leadership; null: it waits"),
    lease: z.string(),
    ttl: z.number(),
    ticket: z.number().int().describe("Names the request that waits"),
    since: z.iso.datetime(),
  })
  .openapi("Candidate");

export const electionRoutes = [
  route({
    method: "get",
    path: "/elections",
    tag: "Elections",
    id: "listElections",
    summary: "Elections that somebody leads",
    permission: [{ verb: "read", kind: "lock", filtered: true }],
    query: z.strictObject({ after: words("Continue after this name") }),
    response: z.object({
      elections: z.array(z.object({ name: z.string(), leader: leaderOutput })),
      after: z.string().nullable(),
    }),
    async handle({ client, query, authorizer }) {
      const { value, revision } = await visiblePage<{ name: string; leader: Leader }>(
        query.after ?? null,
        (after) => client.query("election.list", { after }),
        ({ name }) => authorizer.allows("read", "lock", name),
        ({ name }) => name,
      );
      const items = value.items.map(({ name, leader }) => ({ name, leader: leaderOutputOf(leader) }));
      return { value: { elections: items, after: value.after }, revision };
    },
  }),
  route({
    method: "get",
    path: "/elections/{name}",
    tag: "Elections",
    id: "getElection",
    summary: "Who leads, and who is next",
    permission: [{ verb: "read", kind: "lock", on: "name" }],
    response: z.object({
      name: z.string(),
      leader: leaderOutput.nullable(),
      candidateCount: z.number().int(),
      candidates: z.array(candidateOutput),
    }),
    async handle({ client, params }) {
      const { value, revision } = await client.query("election.get", { name: params["name"]! });
      const { leader, candidates, ...info } = value;
      const shown = { leader: leader && leaderOutputOf(leader), candidates: candidates.map(candidateOutputOf) };
      return { value: { ...info, ...shown }, revision };
    },
  }),
  route({
    method: "get",
    path: "/elections/{name}/observe",
    tag: "Elections",
    id: "observeElection",
    summary: "Leaders as server-sent events, in the order of revisions, beginning with the present one",
    permission: [{ verb: "watch", kind: "lock", on: "name" }],
    query: z.strictObject({ since: whole(0, REVISION_MAX, "Begin with the first change after this revision instead") }),
    response: "text/event-stream",
    async handle({ client, request, params, query, reauthorize }) {
      const observation = {
        client,
        name: params["name"]!,
        reauthorize: async () => (await reauthorize()).assert("watch", "lock", params["name"]!),
      };
      // The first look tells what is wrong with the request as an ordinary error.
      const first = await eventsSince(observation, lastEventIdOf(request.headers) ?? query.since ?? null, 0);
      return eventStream((write) => follow(observation, first, write), first.revision);
    },
  }),
  route({
    method: "post",
    path: "/elections/{name}/campaign",
    tag: "Elections",
    id: "campaign",
    summary: "Become the leader, waiting in line if need be; conflict when that did not happen in that time",
    permission: [
      { verb: "acquire", kind: "lock", on: "name" },
      { verbs: ["acquire", "update"], kinds: ["lock", "session"], parts: ({ body }) => demandsOfLease(body) },
    ],
    body: z.strictObject({ ...claimFields, value: value.optional() }).openapi("CampaignInput"),
    response: candidateOutput,
    async handle(asked) {
      const { client, params, body, options } = asked;
      const name = params["name"]!;
      const { waitMs, stay } = waitOf(body);
      const input = { name, value: body.value ?? "", ...claimInput(body), wait: waitMs > 0 || stay };
      const { value: claim, revision } = await client.execute("election.campaign", input, options);
      const isToWait = claim !== null && !isSettled(claim, waitMs, options);
      const turn = isToWait ? await lead(waiterOf(asked, "acquire"), claim, { waitMs, stay }, options) : claim;
      if (!turn) throw notToBeHad("election", name);
      return { value: candidateOutputOf(turn), revision, status: turn.token === null ? 202 : 200 };
    },
  }),
  route({
    method: "post",
    path: "/elections/{name}/proclaim",
    tag: "Elections",
    id: "proclaim",
    summary: "Tell everybody something else, as the leader",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: holding.extend({ value }),
    response: candidateOutput,
    async handle({ client, params, body, options }) {
      const { value, revision } = await client.execute(
        "election.proclaim",
        { name: params["name"]!, ...body },
        options,
      );
      return { value: candidateOutputOf(value), revision };
    },
  }),
  route({
    method: "post",
    path: "/elections/{name}/renew",
    tag: "Elections",
    id: "renewLeadership",
    summary: "Renew the lease of the leader; no commit, no revision",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: holding,
    response: renewal,
    async handle({ client, params, body }) {
      const { value, revision } = await client.renewClaim("election", { name: params["name"]!, ...body });
      return { value: { ttl: value.ttlMs / 1000 }, revision };
    },
  }),
  route({
    method: "post",
    path: "/elections/{name}/resign",
    tag: "Elections",
    id: "resign",
    summary: "Lead no more: whoever is next leads in the same commit",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: holding,
    response: z.object({ successor: leaderOutput.nullable() }),
    async handle({ client, params, body, options }) {
      const { value, revision } = await client.execute("election.resign", { name: params["name"]!, ...body }, options);
      return { value: { successor: value.successor && leaderOutputOf(value.successor) }, revision };
    },
  }),
  route({
    method: "post",
    path: "/elections/{name}/withdraw",
    tag: "Elections",
    id: "withdrawCandidate",
    summary: "Give up waiting to lead; who leads goes on to",
    permission: [{ verb: "acquire", kind: "lock", on: "name" }],
    body: withdrawal,
    response: z.object({ candidate: candidateOutput.nullable().describe("What the owner is all the same") }),
    async handle({ client, params, body, options }) {
      const input = { name: params["name"]!, ...body };
      const { value, revision } = await client.execute("election.withdraw", input, options);
      return { value: { candidate: value && candidateOutputOf(value) }, revision };
    },
  }),
];

/** Waits in line to lead. Null: not in that time; a candidate without a token stays in line. Codes: as `awaitTurn`. */
function lead(
  waiter: Waiter,
  claim: Candidate,
  { waitMs, stay }: Wait,
  options: CommandOptions,
): Promise<Candidate | null> {
  const { client } = waiter;
  const { caller } = options;
  const { name, owner, ticket } = claim;
  return awaitTurn(waiter, {
    query: "election.candidate",
    input: { name, owner },
    claim,
    range: claimRange(elections, name, owner),
    waitMs,
    stay,
    lasts: stay || isRepeatable(options),
    withdraw: async () => (await client.execute("election.withdraw", { name, owner, ticket }, { caller })).value,
    giveBack: ({ token }) => client.execute("election.resign", { name, owner, token: token! }, { caller }),
  });
}

interface Observation {
  client: NamespaceClient;
  name: string;
  /** Throws when the caller has no right to it any more. */
  reauthorize: () => Promise<void>;
}

interface Told {
  bytes: Uint8Array;
  revision: number;
}

/** Ends with a reason told, or rejects when the reader is gone. */
async function follow(observation: Observation, first: Told, write: WriteEvents): Promise<void> {
  await write(opening(`observing the election of "${encodeURIComponent(observation.name)}"`));
  for (let told = first; ;) {
    await write(told.bytes);
    try {
      told = await eventsSince(observation, told.revision, EVENTS_WAIT_MS);
      await observation.reauthorize();
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      return write(errorEvent(error));
    }
  }
}

/** What there is to tell after a revision; without one, and where history is gone, who leads now. */
async function eventsSince({ client, name }: Observation, since: number | null, waitMs: number): Promise<Told> {
  if (since !== null) {
    try {
      const { value } = await client.changes({ since, ranges: [leaderRange(name)] }, waitMs);
      const { events, revision } = value;
      return { bytes: events.length > 0 ? utf8(events.map(eventText).join("")) : progressEvent(revision), revision };
    } catch (error) {
      if (!(error instanceof HoldfastError && error.code === "compacted")) throw error;
    }
  }
  const { value, revision } = await client.query("election.leader", { name });
  return { bytes: utf8(leaderText(revision, value)), revision };
}

const eventText = ({ revision, record }: StoreEvent): string => leaderText(revision, record && leaderIn(record));

const leaderText = (revision: number, leader: Leader | null): string =>
  `id: ${revision}\nevent: leader\ndata: ${JSON.stringify({ revision, leader: leader && leaderOutputOf(leader) })}\n\n`;

const leaderOutputOf = ({ sinceAt, ...leader }: Leader) => ({ ...leader, since: isoTime(sinceAt) });

function candidateOutputOf({ ttlMs, sinceAt, ownsLease: _ownsLease, ...candidate }: Candidate) {
  return { ...candidate, ttl: ttlMs / 1000, since: isoTime(sinceAt) };
}
