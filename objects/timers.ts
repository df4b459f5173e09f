/**
 * Deadlines follow from records: those of leases, sessions, instances, checks, locks that were lost, and queues. Here is
 * kept up with them, so that no room has to.
 *
 * Refuses to know: what a lapse does, and renewals.
 */
import { LOCK_DELAY, lockDelayTimer, lockDelayTimerKey } from "./kv/lock-delay.ts";
import type { Timer } from "./leases/deadlines.ts";
import { Deadlines } from "./leases/deadlines.ts";
import { leaseSpace, leaseTimer, leaseTimerKey } from "./leases/leases.ts";
import { Suspects } from "./leases/suspects.ts";
import type { Instance, Node } from "./model.ts";
import { isPulled } from "./model.ts";
import { isQueueSpace, QUEUE_TIMER_SPACES, queueTimer } from "./queues/tend.ts";
import type { CheckSubject } from "./registry/spaces.ts";
import { instanceSpace, nodeSpace, nodeSubject } from "./registry/spaces.ts";
import { checkTimers, instanceTimerKey, instanceTimers } from "./registry/timers.ts";
import type { Checked } from "./registry/write.ts";
import { tasksOf } from "./registry/write.ts";
import type { Session } from "./sessions/sessions.ts";
import { sessionSpace, sessionTimer, sessionTimerKey } from "./sessions/sessions.ts";
import type { Change, Reader, Space, StoredRecord } from "./store/txn.ts";
import { EVERYTHING } from "./store/txn.ts";

export class Timers {
  readonly deadlines = new Deadlines();
  readonly suspects = new Suspects();
  /** Instances and nodes with pushed checks. */
  readonly #pushed = new Set<string>();
  #pulledChanged = true;

  constructor(reader: Reader) {
    for (const space of QUEUE_TIMER_SPACES) {
      for (const record of reader.range(space, EVERYTHING)) this.#trackQueue(space, record.key, record);
    }
    for (const record of leaseSpace.under(reader, [])) {
      this.deadlines.set(leaseTimer(leaseSpace.parts(record.key)[0]!, leaseSpace.decode(record)));
    }
    for (const record of sessionSpace.under(reader, [])) this.#trackSession(sessionSpace.decode(record));
    for (const record of reader.range(LOCK_DELAY, EVERYTHING)) this.deadlines.set(lockDelayTimer(record));
    let after: Uint8Array | undefined;
    for (;;) {
      const records = instanceSpace.under(reader, [], { limit: PAGE, ...(after && { after }) });
      for (const record of records) this.#trackInstance(null, instanceSpace.decode(record));
      after = records.at(-1)?.key;
      if (records.length < PAGE) break;
    }
    for (const record of nodeSpace.under(reader, [])) this.#trackNode(null, nodeSpace.decode(record));
  }

  /** Takes over what a commit has changed; false: of such records there are no deadlines. */
  follow({ space, key, before, after }: Change): boolean {
    if (space === instanceSpace.name) {
      this.#trackInstance(before && instanceSpace.peek(before), after && instanceSpace.peek(after));
    } else if (space === nodeSpace.name) {
      this.#trackNode(before && nodeSpace.decode(before), after && nodeSpace.decode(after));
    } else if (space === leaseSpace.name) {
      const id = leaseSpace.parts(key)[0]!;
      if (after) this.deadlines.set(leaseTimer(id, leaseSpace.decode(after)));
      else this.deadlines.remove(leaseTimerKey(id));
    } else if (space === sessionSpace.name) {
      if (after) this.#trackSession(sessionSpace.decode(after));
      else this.deadlines.remove(sessionTimerKey(sessionSpace.parts(key)[0]!));
    } else if (space === LOCK_DELAY) {
      if (after) this.deadlines.set(lockDelayTimer(after));
      else this.deadlines.remove(lockDelayTimerKey(key));
    } else if (isQueueSpace(space)) {
      this.#trackQueue(space, key, after);
    } else return false;
    return true;
  }

  /** Whether a heartbeat needs a look at the record: it is the result of checks, too. */
  hasPushed(subject: CheckSubject): boolean {
    return this.#pushed.has(pushedKey(subject));
  }

  /** Whether the list of pulled checks changed since the last time this was asked. */
  takePulledChange(): boolean {
    const changed = this.#pulledChanged;
    this.#pulledChanged = false;
    return changed;
  }

  #trackInstance(before: Instance | null, after: Instance | null): void {
    const { service, id } = (after ?? before)!;
    this.#trackTimers(before ? instanceTimers(before) : [], after ? instanceTimers(after) : []);
    this.#trackChecks({ service, id }, before, after);
    this.suspects.follow(instanceTimerKey(service, id), after ? after.suspect : undefined);
  }

  #trackNode(before: Node | null, after: Node | null): void {
    const subject = nodeSubject((after ?? before)!.name);
    this.#trackTimers(
      before ? checkTimers(subject, before.checks) : [],
      after ? checkTimers(subject, after.checks) : [],
    );
    this.#trackChecks(subject, before, after);
  }

  #trackQueue(space: Space, key: Uint8Array, record: StoredRecord | null): void {
    const deadline = queueTimer(space, key, record);
    if (!deadline) return;
    if (!deadline.timer) this.deadlines.remove(deadline.key);
    else if (this.deadlines.get(deadline.key)?.deadlineAt !== deadline.timer.sinceAt)
      this.deadlines.set(deadline.timer);
  }

  #trackSession(session: Session): void {
    const timer = sessionTimer(session);
    if (timer) this.deadlines.set(timer);
  }

  #trackTimers(before: Timer[], after: Timer[]): void {
    const keys = new Set(after.map(({ key }) => key));
    for (const { key } of before) if (!keys.has(key)) this.deadlines.remove(key);
    for (const timer of after) this.deadlines.set(timer);
  }

  #trackChecks(subject: CheckSubject, before: Checked | null, after: Checked | null): void {
    if (after?.checks.some(({ type }) => type === "ttl")) this.#pushed.add(pushedKey(subject));
    else this.#pushed.delete(pushedKey(subject));
    if (tasksOf(before, isPulled) !== tasksOf(after, isPulled)) this.#pulledChanged = true;
  }
}

const pushedKey = ({ service, id }: CheckSubject): string => `${service}\0${id}`;

/** Records may be large. */
const PAGE = 1000;
