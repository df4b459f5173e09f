/**
 * Durable Object: the prober of one namespace, named like it. It runs the checks that are pulled, near the instances.
 *
 * Wiring only. The namespace holds the list and the statuses; this object asks for the list, runs what is due and reports
 * what changed. The one alarm stands at or before the next due instant; runs and exchanges with the namespace go on
 * beside it, so that neither a slow check nor a slow namespace holds up the rest.
 *
 * Refuses to know: registry rules, callers, dialects.
 */
import { DurableObject } from "cloudflare:workers";
import { connect } from "cloudflare:sockets";
import { parseEgressPolicy } from "./egress.ts";
import type { EgressEnv, EgressPolicy } from "./egress.ts";
import { HoldfastError } from "./errors.ts";
import type { Outcome } from "./errors.ts";
import { runHttpCheck } from "./probing/http-check.ts";
import { reasonOf } from "./probing/output.ts";
import { Plan } from "./probing/plan.ts";
import type { ProbeList, ProbeResult, Remains, Run } from "./probing/plan.ts";
import { runTcpCheck } from "./probing/tcp-check.ts";
import type { RunResult } from "./probing/verdict.ts";

/** What the prober needs of the namespace object. */
export interface ProbeSource {
  probes(): Promise<Outcome<ProbeList>>;
  report(results: ProbeResult[]): Promise<Outcome<unknown>>;
}

export interface ProberEnv extends EgressEnv {
  NAMESPACE: { getByName(name: string): ProbeSource };
}

/** For diagnostics. */
export interface ProberState {
  namespace: string;
  /** The namespace's revision when it last gave its list. */
  revision: number;
  probeCount: number;
  /** Checks over the limit of one prober: they are not run. */
  ignoredCount: number;
  runningCount: number;
  /** Results that the namespace has yet to take. */
  unreportedCount: number;
  /** When the list was last pulled; null = not since this object woke. */
  syncedAt: number | null;
  alarmAt: number | null;
  lastError: string | null;
}

const ALARM_GRAIN_MS = 250;
/** An alarm that is later than this was held up by a restart or a failover: what it missed is not made up for at once. */
const LATE_MAX_MS = 5000;
const RESYNC_MS = 60_000;
const CALL_TIMEOUT_MS = 10_000;
const RETRY_MIN_MS = 1000;
const RETRY_MAX_MS = 30_000;
const REPORTS_PER_CALL_MAX = 256;
const REMAINS_KEY = "remains";

export class Prober extends DurableObject<ProberEnv> {
  #plan = new Plan();
  #policy: EgressPolicy | HoldfastError;
  #stale = true;
  #syncedAt: number | null = null;
  /** Until when everything due has been run: before the first list, what the pending alarm tells. */
  #sinceAt: number | null = null;
  #armedAt: number | null = null;
  #exchanging = false;
  #retryAt = 0;
  #retryMs = RETRY_MIN_MS;
  #lastError: string | null = null;
  #keptRemains: string;

  constructor(ctx: DurableObjectState, env: ProberEnv) {
    super(ctx, env);
    this.#policy = readPolicy(env);
    this.#keptRemains = JSON.stringify(this.#storedRemains());
  }

  /** A poke: the list of checks may have changed. Many pokes cost one pull. */
  async sync(): Promise<void> {
    this.#stale = true;
    await this.#recallAlarm();
    await this.#arm(Date.now());
  }

  async state(): Promise<ProberState> {
    return {
      namespace: this.ctx.id.name ?? "",
      revision: this.#plan.revision,
      probeCount: this.#plan.size,
      ignoredCount: this.#plan.ignoredCount,
      runningCount: this.#plan.runningCount,
      unreportedCount: this.#plan.reports(Infinity).length,
      syncedAt: this.#syncedAt,
      alarmAt: await this.ctx.storage.getAlarm(),
      lastError: this.#lastError,
    };
  }

  /** May come late, twice or for nothing: it only starts what is due. */
  override async alarm(info?: AlarmInvocationInfo): Promise<void> {
    this.#armedAt = null;
    this.#sinceAt ??= runUntil(info?.scheduledTime ?? null, Date.now());
    try {
      this.#launch();
      this.#exchange();
    } catch (error) {
      this.#lastError = reasonOf(error);
    }
    await this.#arm();
  }

  /** After a wake-up by a poke: what is overdue by the pending alarm still has to be run. */
  async #recallAlarm(): Promise<void> {
    if (this.#sinceAt !== null) return;
    const pendingAt = await this.ctx.storage.getAlarm();
    this.#sinceAt ??= runUntil(pendingAt, Date.now());
    this.#armedAt ??= pendingAt;
  }

  #launch(): void {
    for (const run of this.#plan.take(Date.now())) this.ctx.waitUntil(this.#run(run));
  }

  async #run(run: Run): Promise<void> {
    let result: RunResult;
    try {
      result = await this.#check(run);
    } catch (error) {
      result = { status: "critical", output: reasonOf(error) };
    }
    this.#plan.settle(run, result, Date.now());
    this.#keepRemains();
    this.#launch();
    this.#exchange();
    await this.#arm();
  }

  #check({ probe: { check, address } }: Run): Promise<RunResult> {
    const policy = this.#policy;
    if (policy instanceof HoldfastError) throw policy;
    switch (check.type) {
      case "http":
        return runHttpCheck(check, policy, (url, init) => fetch(url, init));
      case "tcp":
        return runTcpCheck(check, address, policy, (target, { tls }) =>
          connect(target, { secureTransport: tls ? "on" : "off", allowHalfOpen: false }),
        );
    }
  }

  /** Pulls the list and reports, one exchange at a time and not before its time after a failure. */
  #exchange(): void {
    const nowAt = Date.now();
    if (this.#exchanging || nowAt < this.#retryAt) return;
    if (!this.#mustPull(nowAt) && this.#plan.reports(1).length === 0) return;
    this.#exchanging = true;
    this.ctx.waitUntil(this.#pullAndReport());
  }

  #mustPull(nowAt: number): boolean {
    return this.#stale || this.#syncedAt === null || nowAt - this.#syncedAt >= RESYNC_MS;
  }

  async #pullAndReport(): Promise<void> {
    try {
      if (this.#mustPull(Date.now())) await this.#pull();
      await this.#report();
      this.#retryMs = RETRY_MIN_MS;
      this.#lastError = null;
    } catch (error) {
      this.#lastError = reasonOf(error);
      const askedMs = error instanceof HoldfastError ? (error.retryAfterMs ?? 0) : 0;
      this.#retryAt = Date.now() + Math.min(RETRY_MAX_MS, Math.max(askedMs, this.#retryMs));
      this.#retryMs = Math.min(RETRY_MAX_MS, this.#retryMs * 2);
    } finally {
      this.#exchanging = false;
    }
    this.#keepRemains();
    this.#launch();
    await this.#arm();
  }

  async #pull(): Promise<void> {
    this.#stale = false; // before the call: a poke during it may be about a later list
    try {
      const list = unwrap(await within(CALL_TIMEOUT_MS, this.#namespace().probes()));
      const nowAt = Date.now();
      // Only the first list of a wake-up looks back: what comes later is new.
      const first = this.#syncedAt === null;
      this.#plan.replace(list, first ? (this.#sinceAt ?? nowAt) : nowAt, first ? this.#storedRemains() : {});
      this.#syncedAt = nowAt;
    } catch (error) {
      this.#stale = true;
      throw error;
    }
  }

  async #report(): Promise<void> {
    for (;;) {
      const results = this.#plan.reports(REPORTS_PER_CALL_MAX);
      if (results.length === 0) return;
      unwrap(await within(CALL_TIMEOUT_MS, this.#namespace().report(results)));
      this.#plan.delivered(results);
    }
  }

  /** A new stub for every call: one that has failed once stays broken. */
  #namespace(): ProbeSource {
    const name = this.ctx.id.name;
    if (name === undefined) throw new HoldfastError("internal", "a prober is addressed by the name of its namespace");
    return this.env.NAMESPACE.getByName(name);
  }

  /** Sets the alarm when it has to come earlier; with nothing left to probe there is none. */
  async #arm(wantedAt = this.#nextAt()): Promise<void> {
    if (wantedAt === null) {
      if (this.#armedAt === null) return;
      this.#armedAt = null;
      await this.ctx.storage.deleteAlarm();
      return;
    }
    const at = Math.max(wantedAt, Date.now() + ALARM_GRAIN_MS);
    if (this.#armedAt !== null && this.#armedAt <= at) return;
    this.#armedAt = at;
    try {
      await this.ctx.storage.setAlarm(at);
    } catch (error) {
      this.#armedAt = null;
      throw error;
    }
  }

  #nextAt(): number | null {
    if (this.#syncedAt !== null && !this.#stale && this.#plan.size === 0) return null;
    const nowAt = Date.now();
    const pullAt = this.#syncedAt === null || this.#stale ? nowAt : this.#syncedAt + RESYNC_MS;
    // An exchange under way ends with an alarm of its own; this one is for the case that the object goes away meanwhile.
    const callAt = this.#exchanging ? nowAt + CALL_TIMEOUT_MS : Math.max(pullAt, this.#retryAt);
    const reportAt = this.#plan.reports(1).length > 0 && !this.#exchanging ? this.#retryAt : Infinity;
    return Math.min(callAt, reportAt, this.#plan.nextDueAt() ?? Infinity);
  }

  #storedRemains(): Remains {
    return this.ctx.storage.kv.get<Remains>(REMAINS_KEY) ?? {};
  }

  /** Written only when it changed: while all checks stay as they are, a run costs no row. */
  #keepRemains(): void {
    if (this.#syncedAt === null) return;
    const remains = this.#plan.remains();
    const text = JSON.stringify(remains);
    if (text === this.#keptRemains) return;
    this.#keptRemains = text;
    if (text === "{}") this.ctx.storage.kv.delete(REMAINS_KEY);
    else this.ctx.storage.kv.put(REMAINS_KEY, remains);
  }
}

/** The instant up to which everything had been run when this alarm was set: it may stand one grain behind a due check. */
function runUntil(alarmAt: number | null, nowAt: number): number {
  return Math.max(Math.min(alarmAt ?? nowAt, nowAt), nowAt - LATE_MAX_MS) - ALARM_GRAIN_MS;
}

/** A policy that cannot be read must not open a door, nor take the object down: each check then says why it fails. */
function readPolicy(env: EgressEnv): EgressPolicy | HoldfastError {
  try {
    return parseEgressPolicy(env);
  } catch (error) {
    return error instanceof HoldfastError ? error : new HoldfastError("internal", reasonOf(error));
  }
}

function unwrap<T>(outcome: Outcome<T>): T {
  if (!outcome.ok) throw HoldfastError.fromValue(outcome.error);
  return outcome.value;
}

async function within<T>(timeoutMs: number, call: Promise<T>): Promise<T> {
  let timer: ReturnType<typeof setTimeout> | undefined;
  const timeout = new Promise<never>((_, reject) => {
    timer = setTimeout(
      () => reject(new HoldfastError("deadline_exceeded", `the namespace did not answer within ${timeoutMs} ms`)),
      timeoutMs,
    );
  });
  try {
    return await Promise.race([call, timeout]);
  } finally {
    clearTimeout(timer);
  }
}
