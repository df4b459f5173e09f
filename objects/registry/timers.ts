/** Deadlines that follow from an instance's record: its time to live, its pushed checks, and its end when long critical. */
import type { Timer } from "../leases/deadlines.ts";
import type { Check, Instance } from "../model.ts";
import type { CheckSubject } from "./spaces.ts";

export function instanceTimers(instance: Instance): Timer[] {
  const timers: Timer[] = [];
  if (instance.ttlMs !== null) {
    timers.push({
      key: instanceTimerKey(instance.service, instance.id),
      kind: "instance",
      ttlMs: instance.ttlMs,
      sinceAt: instance.renewedAt,
    });
  }
  return [...timers, ...checkTimers(instance, instance.checks)];
}

export function checkTimers(subject: CheckSubject, checks: Check[]): Timer[] {
  return checks.map((check) => checkTimer(subject, check)).filter((timer) => timer !== null);
}

function checkTimer({ service, id }: CheckSubject, check: Check): Timer | null {
  if (check.status === "critical") {
    if (check.deregisterAfterMs === null) return null;
    const key = deregisterTimerKey(service, id, check.id);
    return { key, kind: "deregister", ttlMs: check.deregisterAfterMs, sinceAt: check.sinceAt };
  }
  if (check.type !== "ttl") return null;
  return { key: checkTimerKey(service, id, check.id), kind: "check", ttlMs: check.ttlMs, sinceAt: check.sinceAt };
}

// Names hold no NUL, so these keys can be taken apart again.
export const instanceTimerKey = (service: string, id: string): string => `instance\0${service}\0${id}`;
export const checkTimerKey = (service: string, id: string, check: string): string =>
  `check\0${service}\0${id}\0${check}`;
const deregisterTimerKey = (service: string, id: string, check: string): string =>
  `deregister\0${service}\0${id}\0${check}`;

export function subjectOf(timerKey: string): { service: string; id: string; check: string } {
  const [, service = "", id = "", check = ""] = timerKey.split("\0");
  return { service, id, check };
}
