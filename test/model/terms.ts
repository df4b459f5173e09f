/**
 * Who holds a lock or leads an election of etcd's, by the log of the keys in its queue: of those there are, the one that was made
 * first. And whether an observer was told so. Rules E1, E2.
 */
import type { Violation } from "./history.ts";
import type { Log } from "./witness.ts";

export interface Term {
  key: string;
  /** The revision that made the key. */
  created: number;
  /** In front from this revision on, */
  from: number;
  /** and not any more at this one. */
  until: number;
}

/** In order; the log is of one queue, or of several if their names are in the keys' paths. */
export function termsOf(log: Log): Term[] {
  const queues = Map.groupBy(log.events, ({ key }) => key.slice(0, key.lastIndexOf("/")));
  return [...queues.values()].flatMap((events) => {
    const terms: Term[] = [];
    const standing = new Map<string, number>();
    for (const changes of Map.groupBy(events, ({ revision }) => revision).values()) {
      const { revision } = changes[0]!;
      // A map keeps the order in which its keys were made.
      for (const { key, value } of changes) {
        if (value === null) standing.delete(key);
        else if (!standing.has(key)) standing.set(key, revision);
      }
      const [first] = standing;
      const last = terms.at(-1);
      if (last?.until === Infinity && last.key === first?.[0] && last.created === first[1]) continue;
      if (last?.until === Infinity) last.until = revision;
      if (first) terms.push({ key: first[0], created: first[1], from: revision, until: Infinity });
    }
    return terms;
  });
}

/** What an observer was told by one message. */
export interface Observation {
  /** Of the state that it tells of. */
  revision: number;
  key: string;
  value: string;
  createRevision: number;
  modRevision: number;
}

/** Each connection begins with whoever leads then. The log is of the queue's keys. Leaders may be passed over, what one says not. */
export function checkObserver(connections: readonly (readonly Observation[])[], log: Log): Violation[] {
  const violations: Violation[] = [];
  const terms = termsOf(log);
  let last: Observation | undefined;
  for (const [number, observations] of connections.entries()) {
    let before: Observation | undefined;
    for (const observed of observations) {
      const { revision, key, value, createRevision, modRevision } = observed;
      const broken = (rule: string, what: string): void =>
        void violations.push({ rule, what: `connection ${number}, at revision ${revision}: "${key}" ${what}` });
      const term = terms.find((one) => one.key === key && one.created === createRevision);
      if (!term || revision < term.from || revision >= term.until) broken("E1", "did not lead");
      const record = log.lastOf(key, revision);
      if (record?.revision !== modRevision || record.value !== value)
        broken("E2", `had not "${value}" of ${modRevision}, but "${record?.value ?? ""}" of ${record?.revision ?? 0}`);
      if (last && (revision < last.revision || createRevision < last.createRevision))
        broken("E2", `comes after "${last.key}" at revision ${last.revision}`);
      if (before?.modRevision === modRevision) broken("E2", "comes twice");
      if (before?.key === key && log.countUpTo(key, modRevision) !== log.countUpTo(key, before.modRevision) + 1)
        broken("E2", `comes with ${modRevision} right after ${before.modRevision}, and something is left out`);
      last = observed;
      before = observed;
    }
  }
  return violations;
}
