/**
 * Barriers: where parties wait for each other, and gates, where everybody waits until somebody opens.
 *
 * A barrier for so many parties opens in the commit in which the last of them comes, and is gone when the last has left: then
 * the name begins anew. A party hangs on a lease; one that lapses has left. A gate is closed from `close` to `open`.
 *
 * The phase is a record of its own, written when it changes: whoever waits watches it, and is not woken by each arrival.
 *
 * Source: the recipes "barrier" and "double barrier" of ZooKeeper.
 */
import { keyAfter } from "../bytes.ts";
import { HoldfastError, invalid } from "../errors.ts";
import { assertLeaseId, grantLease, requireLease } from "../leases/leases.ts";
import type { EndLease } from "../locks/arbiter.ts";
import type { Page, PageInput } from "../policy/records.ts";
import { freshId, pageOf } from "../policy/records.ts";
import { assertName, assertWhole } from "../registry/limits.ts";
import type { WatchRange } from "../store/store.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

interface Barrier {
  /** Null: it is a gate. */
  parties: number | null;
  /** Parties that are there. */
  present: number;
}

/** Of a barrier for parties: it has opened. Of a gate: it is closed. */
interface Phase {
  open: boolean;
}

interface PartyRecord {
  lease: string;
  /** The lease was granted for it, and ends with it. */
  ownsLease: boolean;
  sinceAt: number;
}

/** By name. */
const barrierSpace = new JsonSpace<Barrier>("barrier");
const phaseSpace = new JsonSpace<Phase>("barrier_phase");
/** Name, owner; on the party's lease. */
export const partySpace = new JsonSpace<PartyRecord>("barrier_party");

export const PARTIES_MAX = 10_000;
/** Of one answer. */
const PARTIES_SHOWN_MAX = 1000;

export interface EnterInput {
  name: string;
  /** Default: a fresh one. */
  owner?: string | undefined;
  /** How many have to come; the same for all of them. */
  parties: number;
  /** The party's own lease; or `lease`, one that is there. */
  ttlMs?: number | undefined;
  lease?: string | undefined;
}

export interface Party extends PartyRecord {
  name: string;
  owner: string;
  /** Of the lease. */
  ttlMs: number;
  /** The revision at which it came. */
  enteredRevision: number;
}

export interface Entered {
  party: Party;
  barrier: BarrierInfo;
}

/**
 * Comes to a barrier; whoever is there already has come. Whether it is open `barrier.party` tells, and what to watch
 * `partyRanges`. Codes: `invalid_argument`, `not_found` (the lease), `conflict` (it is a gate, for another number, or open).
 */
export function enterBarrier(txn: Txn, context: Context, input: EnterInput): Entered {
  const { name, owner = freshId(context), parties } = input;
  assertName("name", name);
  assertName("owner", owner);
  assertWhole("parties", parties, 1, PARTIES_MAX);
  const barrier = barrierSpace.get(txn, name) ?? { parties, present: 0 };
  if (barrier.parties === null) throw isA(name, "gate");
  if (barrier.parties !== parties) {
    const message = `barrier "${name}" is for ${barrier.parties} parties`;
    throw new HoldfastError("conflict", message, { field: "parties", parties: barrier.parties });
  }
  if (!partySpace.get(txn, name, owner)) {
    if (phaseSpace.get(txn, name)) {
      throw new HoldfastError("conflict", `barrier "${name}" is open, and those who came have not all left`, { name });
    }
    const { lease, ownsLease } = leaseFor(txn, context, input);
    partySpace.put(txn, [name, owner], { lease, ownsLease, sinceAt: context.now }, lease);
    barrier.present++;
    barrierSpace.put(txn, [name], barrier);
    if (barrier.present === parties) phaseSpace.put(txn, [name], { open: true });
  }
  return { party: findParty(txn, { name, owner }).party!, barrier: summaryOf(txn, name) };
}

export interface LeaveInput {
  name: string;
  owner: string;
  /** Only as long as the barrier is not open: gives up waiting. */
  unlessOpen?: boolean | undefined;
}

export interface LeaveResult {
  /** False: there was no such party, or the barrier is open and it was not to leave then. */
  left: boolean;
  /** As it is now: with its `openRevision` until all have left. */
  barrier: BarrierInfo;
}

/** Before the barrier is open this gives the place up; afterwards it is how the round ends. */
export function leaveBarrier(
  txn: Txn,
  context: Context,
  { name, owner, unlessOpen = false }: LeaveInput,
  endLease: EndLease,
): LeaveResult {
  const { party, open } = findParty(txn, { name, owner });
  const left = party !== null && !(open && unlessOpen);
  if (left && party.ownsLease) endLease(txn, context, party.lease);
  else if (left) removeParty(txn, name, owner);
  return { left, barrier: summaryOf(txn, name) };
}

/** A party's lease has gone. */
export function detachParty(txn: Txn, _context: Context, key: Uint8Array): void {
  const [name, owner] = partySpace.parts(key) as [string, string];
  removeParty(txn, name, owner);
}

/** From now on everybody waits there. Codes: `conflict` (parties meet there). */
export function closeGate(txn: Txn, _context: Context, { name }: { name: string }): BarrierInfo {
  assertName("name", name);
  const barrier = barrierSpace.get(txn, name);
  if (barrier && barrier.parties !== null) throw isA(name, "barrier for parties");
  if (!barrier) {
    barrierSpace.put(txn, [name], { parties: null, present: 0 });
    phaseSpace.put(txn, [name], { open: false });
  }
  return summaryOf(txn, name);
}

/** Lets everybody through. False: it was not closed. Codes: `conflict` (parties meet there). */
export function openGate(txn: Txn, _context: Context, { name }: { name: string }): { existed: boolean } {
  assertName("name", name);
  const barrier = barrierSpace.get(txn, name);
  if (!barrier) return { existed: false };
  if (barrier.parties !== null) throw isA(name, "barrier for parties");
  barrierSpace.delete(txn, name);
  phaseSpace.delete(txn, name);
  return { existed: true };
}

export interface BarrierInfo {
  name: string;
  kind: "parties" | "gate" | null;
  parties: number | null;
  present: number;
  /** Nobody has to wait there. */
  open: boolean;
  /** Of a barrier for parties: when it opened. */
  openRevision: number | null;
}

export function describeBarrier(reader: Reader, { name }: { name: string }): BarrierInfo & { owners: string[] } {
  assertName("name", name);
  const records = partySpace.under(reader, [name], { limit: PARTIES_SHOWN_MAX });
  return { ...summaryOf(reader, name), owners: records.map(({ key }) => partySpace.parts(key)[1]!) };
}

export function listBarriers(reader: Reader, input: PageInput): Page<BarrierInfo> {
  return pageOf(barrierSpace, reader, input, ({ key }) => summaryOf(reader, barrierSpace.parts(key)[0]!));
}

/** A party that waits: null when it has left, or lapsed. */
export function findParty(
  reader: Reader,
  { name, owner }: { name: string; owner: string },
): { party: Party | null; open: boolean } {
  assertName("name", name);
  assertName("owner", owner);
  const record = partySpace.record(reader, name, owner);
  const open = phaseSpace.get(reader, name)?.open ?? false;
  if (!record) return { party: null, open };
  const party = partySpace.decode(record);
  const { ttlMs } = requireLease(reader, party.lease);
  return { party: { ...party, name, owner, ttlMs, enteredRevision: record.modRevision }, open };
}

/** What to watch for the opening and closing of a barrier. */
export function phaseRange(name: string): WatchRange {
  return rangeOf(phaseSpace.name, phaseSpace.key(name));
}

/** What to watch for whether a party has to wait. */
export function partyRanges(name: string, owner: string): WatchRange[] {
  return [phaseRange(name), rangeOf(partySpace.name, partySpace.key(name, owner))];
}

const rangeOf = (space: string, from: Uint8Array): WatchRange => ({ space, from, to: keyAfter(from) });

function summaryOf(reader: Reader, name: string): BarrierInfo {
  const barrier = barrierSpace.get(reader, name);
  const phase = phaseSpace.record(reader, name);
  const isOpen = phase ? phaseSpace.decode(phase).open : false;
  if (!barrier) return { name, kind: null, parties: null, present: 0, open: true, openRevision: null };
  const { parties, present } = barrier;
  const openRevision = isOpen ? phase!.modRevision : null;
  return { name, kind: parties === null ? "gate" : "parties", parties, present, open: isOpen, openRevision };
}

function removeParty(txn: Txn, name: string, owner: string): void {
  if (!partySpace.delete(txn, name, owner)) return;
  const barrier = barrierSpace.get(txn, name)!;
  barrier.present--;
  if (barrier.present > 0) barrierSpace.put(txn, [name], barrier);
  else {
    barrierSpace.delete(txn, name);
    phaseSpace.delete(txn, name);
  }
}

function leaseFor(txn: Txn, context: Context, { lease, ttlMs }: EnterInput): { lease: string; ownsLease: boolean } {
  if ((lease === undefined) === (ttlMs === undefined)) throw invalid("ttl", "give either ttl or lease");
  if (lease === undefined) return { lease: grantLease(txn, context, { ttlMs: ttlMs! }).id, ownsLease: true };
  assertLeaseId(lease);
  requireLease(txn, lease);
  return { lease, ownsLease: false };
}

function isA(name: string, what: string): HoldfastError {
  return new HoldfastError("conflict", `"${name}" is a ${what}`, { field: "name", name });
}
