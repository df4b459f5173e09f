/** v3electionpb.Election: etcd's election recipe, gone through by the server. */
import { equalBytes, prefixEnd } from "../../../../objects/bytes.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import { KV } from "../../../../objects/kv/key.ts";
import type { StoreEvent, WatchRange } from "../../../../objects/store/store.ts";
import type { StoredRecord } from "../../../../objects/store/txn.ts";
import { WAIT_MAX_MS } from "../../../../objects/waiting.ts";
import { GRPC } from "../../../tunnel/wire/status.ts";
import { demandsOfKeys } from "../auth/demands.ts";
import type { Call } from "../call.ts";
import { emptyKey, EtcdError, wordsOf } from "../errors.ts";
import type { Election, LeaderKey } from "../gen/v3electionpb_pb.js";
import { keyValueOf } from "../key-value.ts";
import { near } from "../numbers.ts";
import type { Place } from "../queue.ts";
import { awaitFront, firstOf, ifStanding, inUnknownCode, join, leaseOrNew, leave, prefixOf } from "../queue.ts";
import { readRange } from "../range-read.ts";
import { demandOf } from "../ranges.ts";
import type { Implementation } from "../service.ts";
import { oneKey } from "../watch-set.ts";

export const election: Implementation<typeof Election> = {
  campaign: ({ name, lease, value }, call) => inUnknownCode(campaign(call, name, lease, value)),
  proclaim: ({ leader, value }, call) => inUnknownCode(proclaim(call, leader, value)),
  resign: ({ leader }, call) => inUnknownCode(resign(call, leader)),

  leader: ({ name }, call) =>
    inUnknownCode(
      (async () => {
        const { leader, revision } = await leaderOf(call, prefixOf(name));
        if (!leader) throw new EtcdError(GRPC.unknown, "election: no leader");
        return { header: call.header(revision), kv: keyValueOf(leader) };
      })(),
    ),

  async *observe({ name }, call) {
    try {
      for await (const { leader, revision } of leaders(call, prefixOf(name))) {
        yield { header: call.header(revision), kv: keyValueOf(leader) };
      }
    } catch (error) {
      throw new EtcdError(GRPC.unknown, wordsOf(error).message);
    }
  },
};

const notLeader = (): EtcdError => new EtcdError(GRPC.unknown, "election: not leader");

async function campaign(call: Call, name: Uint8Array, asked: bigint, value: Uint8Array) {
  const lease = await leaseOrNew(call, asked);
  const { place, found, isFirst, revision } = await join(call, name, lease, value);
  if (found && !equalBytes(found.value, value)) await proclaimAgain(call, place, value);
  if (!isFirst && (await awaitFront(call, place)) === null) throw notLeader();
  const { key, created } = place;
  return { header: call.header(revision), leader: { name, key, rev: BigInt(created), lease: BigInt(lease) } };
}

/** Who cannot say what they stand for does not stand. */
async function proclaimAgain(call: Call, place: Place, value: Uint8Array): Promise<void> {
  try {
    await write(call, place, value);
  } catch (error) {
    await leave(call, place);
    throw error;
  }
}

async function proclaim(call: Call, leader: LeaderKey | undefined, value: Uint8Array) {
  const { key, rev, lease } = asserted(leader);
  const revision = await write(call, { key, created: near(rev), lease: await leaseOrNew(call, lease) }, value);
  return { header: call.header(revision) };
}

async function write(
  call: Call,
  { key, created, lease }: Pick<Place, "key" | "created" | "lease">,
  value: Uint8Array,
): Promise<number> {
  const input = ifStanding(key, created, { type: "put", key, value, lease });
  const { value: result } = await call.execute("kv.txn", input, () =>
    demandsOfKeys(call.client, { type: "txn", ...input }),
  );
  if (!result.succeeded) throw notLeader();
  return result.revision;
}

async function resign(call: Call, leader: LeaderKey | undefined) {
  const { key, rev } = asserted(leader);
  const input = ifStanding(key, near(rev), { type: "delete", key });
  const { value } = await call.execute("kv.txn", input, () => demandsOfKeys(call.client, { type: "txn", ...input }));
  return { header: call.header(value.revision) };
}

function asserted(leader: LeaderKey | undefined): LeaderKey {
  if (!leader) throw new EtcdError(GRPC.unknown, '"leader" field must be provided');
  if (leader.key.length === 0) throw emptyKey();
  return leader;
}

async function leaderOf(
  call: Call,
  prefix: Uint8Array,
): Promise<{ leader: StoredRecord | undefined; revision: number }> {
  await call.authorize(() => [demandOf("read", { key: prefix, to: prefixEnd(prefix) })]);
  const { records, revision } = await readRange(call.client, firstOf(prefix));
  return { leader: records[0], revision };
}

interface Seen {
  leader: StoredRecord;
  revision: number;
}

/** The leader, and each that comes after or says something else. Where there is none, the first that comes. */
async function* leaders(call: Call, prefix: Uint8Array): AsyncGenerator<Seen, undefined> {
  const below: WatchRange = { space: KV, from: prefix, to: prefixEnd(prefix) };
  while (!call.signal.aborted) {
    const { leader, revision } = await leaderOf(call, prefix);
    const seen = leader ? { leader, revision } : await firstIn(call, below, revision);
    if (!seen) continue;
    yield seen;
    const own: WatchRange = { space: KV, ...oneKey(seen.leader.key) };
    for await (const event of eventsIn(call, own, seen.revision)) {
      if (!event.record) break;
      yield { leader: event.record, revision: event.revision };
    }
  }
}

async function firstIn(call: Call, range: WatchRange, since: number): Promise<Seen | null> {
  for await (const { record, revision } of eventsIn(call, range, since)) {
    if (record) return { leader: record, revision };
  }
  return null;
}

/** Ends when the caller has gone, or when what comes next is forgotten. */
async function* eventsIn(call: Call, range: WatchRange, since: number): AsyncGenerator<StoreEvent, undefined> {
  const { client, signal } = call;
  while (!signal.aborted) {
    const following = client.follow({ since, ranges: [range], resumes: true }, WAIT_MAX_MS);
    signal.addEventListener("abort", following.leave);
    try {
      const { value } = await following.answer;
      await call.authorize(() => [demandOf("read", { key: range.from, to: range.to })]);
      yield* value.events;
      since = value.revision;
    } catch (error) {
      if (error instanceof HoldfastError && error.code === "compacted") return;
      throw error;
    } finally {
      signal.removeEventListener("abort", following.leave);
    }
  }
}
