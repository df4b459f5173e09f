/** What an observer of one of etcd's elections is told over several connections, and the log: right, or with one thing put wrong. */
import type { Random } from "../random.ts";
import { type Observation, type Term, termsOf } from "../terms.ts";
import { Log, type LogEvent } from "../witness.ts";

export type ObserverFault =
  | "tells of one who waits"
  | "changes the leader though nobody went"
  | "tells of one who has gone"
  | "goes back to a leader of before"
  | "leaves out a proclamation"
  | "tells a proclamation again"
  | "tells another value";

type Observations = readonly (readonly Observation[])[];

/** Candidates come, the first of them proclaims, any of them goes. */
export function electionLog(random: Random): Log {
  const events: LogEvent[] = [];
  const standing: string[] = [];
  let count = 0;
  for (let revision = 1; revision <= 150; revision += 1 + random.below(2)) {
    const [leader] = standing;
    if (!leader || standing.length === 1 || random.chance(0.2)) {
      standing.push(`election/${count}`);
      events.push({ revision, key: `election/${count}`, value: `v${count++}` });
    } else if (random.chance(0.75)) events.push({ revision, key: leader, value: `v${count++}` });
    else events.push({ revision, key: standing.splice(random.below(standing.length), 1)[0]!, value: null });
  }
  return new Log(events);
}

/** Each leader as it begins, unless it is passed over, and each of its proclamations. */
export function observationsOf(random: Random, log: Log): Observations {
  const all = termsOf(log).flatMap((term) => (random.chance(0.1) ? [] : ofTerm(log, term)));
  const connections: Observation[][] = [];
  for (let at = 0; at < all.length;) {
    const taken = 8 + random.below(30);
    connections.push(all.slice(at, at + taken));
    at += taken;
  }
  return connections;
}

function ofTerm(log: Log, { key, created, from, until }: Term): Observation[] {
  const first = log.countUpTo(key, from);
  return log
    .of(key)
    .slice(first - 1)
    .filter(({ revision }) => revision < until)
    .map(({ revision, value }) => observation(Math.max(revision, from), key, value!, created, revision));
}

const observation = (
  revision: number,
  key: string,
  value: string,
  createRevision: number,
  modRevision: number,
): Observation => ({ revision, key, value, createRevision, modRevision });

/** The fault is always one that shows. */
export function withObserverFault(
  random: Random,
  log: Log,
  connections: Observations,
  fault: ObserverFault,
): Observations {
  const number = random.pick([...connections.keys()].filter((at) => connections[at]!.length >= 8));
  const told = connections[number]!;
  const replace = (changed: readonly Observation[]): Observations => connections.with(number, changed);
  /** Of which the next is of the same leader, or of another. */
  const before = (isSame: boolean): number[] =>
    [...told.keys()].slice(0, -1).filter((at) => (told[at + 1]!.key === told[at]!.key) === isSame);
  switch (fault) {
    case "tells of one who waits": {
      const waiting = [...told.keys()].flatMap((at) => {
        const found = waitingAt(log, told[at]!);
        return found ? [{ at, found }] : [];
      });
      const { at, found } = random.pick(waiting);
      return replace(told.toSpliced(at + 1, 0, found));
    }
    case "changes the leader though nobody went": {
      // The next leader's first word comes at a revision at which the one before still led.
      const at = random.pick(before(false));
      return replace(told.with(at + 1, { ...told[at + 1]!, revision: told[at]!.revision }));
    }
    case "tells of one who has gone": {
      const at = random.pick(before(false));
      return replace(told.with(at, { ...told[at]!, revision: told[at + 1]!.revision }));
    }
    case "goes back to a leader of before": {
      const at = random.pick(before(false));
      return replace(told.toSpliced(at + 2, 0, told[at]!));
    }
    case "leaves out a proclamation": {
      const inside = before(true).filter((at) => at > 0 && told[at - 1]!.key === told[at]!.key);
      return replace(told.toSpliced(random.pick(inside), 1));
    }
    case "tells a proclamation again": {
      const at = random.below(told.length);
      return replace(told.toSpliced(at, 0, told[at]!));
    }
    case "tells another value": {
      const at = random.below(told.length);
      return replace(told.with(at, { ...told[at]!, value: "another" }));
    }
  }
}

/** Somebody else who stands at the same revision. */
function waitingAt(log: Log, { key: leader, revision }: Observation): Observation | null {
  for (const key of new Set(log.events.map((event) => event.key))) {
    const last = key === leader ? undefined : log.lastOf(key, revision);
    if (last && last.value !== null) return observation(revision, key, last.value, last.revision, last.revision);
  }
  return null;
}
