/**
 * A started server with clients at work, while it is killed and started again. All workloads share one server and its kills:
 * a kill comes when each of them has got on far enough, in the middle of whatever is going on.
 */
import { Edge, type Asked, type Reply } from "../../edge.ts";
import { NotApplied, Unanswered } from "../history.ts";
import { Random } from "../random.ts";

export interface Workload {
  readonly clients: number;
  /** One or a few calls, one after the other. Rejects only for what is a fault of the server or of the test. */
  step(client: number, random: Random): Promise<void>;
  /** Answers that told what became of a call, so far. */
  readonly progress: number;
  /** After the last step, on a server that stays. */
  finish(): Promise<void>;
}

/** However a call of the native API is carried: an answer, or `NotApplied` or `Unanswered`. */
export interface Caller {
  call(path: string, asked: Asked, expected?: readonly number[]): Promise<Reply>;
}

/** One after the other, again and again: so each transport has its part. */
export function inTurns<T>(choices: readonly T[]): () => T {
  let count = 0;
  return () => choices[count++ % choices.length]!;
}

export function callerInTurns(callers: readonly Caller[]): Caller {
  const next = inTurns(callers);
  return { call: (...call) => next().call(...call) };
}

export interface OrdealPlan {
  seed: number;
  kills: number;
  /** What the workloads get done before each kill, and after the last: so much each on average, an eighth of it at least. */
  progressPerLife: number;
}

/** How long it runs and with which seed: a longer run finds more (README.md). */
export function planFromEnvironment(): OrdealPlan {
  const { HOLDFAST_MODEL_SEED, HOLDFAST_MODEL_KILLS, HOLDFAST_MODEL_CALLS } = process.env;
  return {
    seed: Number(HOLDFAST_MODEL_SEED ?? 1),
    kills: Number(HOLDFAST_MODEL_KILLS ?? 2),
    progressPerLife: Number(HOLDFAST_MODEL_CALLS ?? 100),
  };
}

export class Ordeal implements Caller {
  readonly edge: Edge;
  /** At which revision the command of a request id was carried out, as the audit log has it. Complete after `run`. */
  readonly commits = new Map<string, number>();
  #up: Promise<void> = Promise.resolve();
  readonly #plan: OrdealPlan;
  #isOver = false;
  #progressed = Promise.withResolvers<void>();

  constructor(edge: Edge, plan: OrdealPlan) {
    this.edge = edge;
    this.#plan = plan;
  }

  get seed(): number {
    return this.#plan.seed;
  }

  /** Resolves at once while the server is up, else when it is again. */
  get up(): Promise<void> {
    return this.#up;
  }

  async run(workloads: readonly Workload[]): Promise<void> {
    const { seed, kills, progressPerLife } = this.#plan;
    const clients = workloads.flatMap((workload, at) =>
      Array.from({ length: workload.clients }, (_, client) =>
        this.#client(workload, client, seed * 1000 + at * 100 + client),
      ),
    );
    const all = Promise.all(clients);
    // It is awaited below; a client that fails while the server is being started fails then.
    all.catch(() => {});
    for (let life = 1; life <= kills + 1; life++) {
      const before = workloads.map(({ progress }) => progress);
      const done = (): number[] => workloads.map(({ progress }, at) => progress - before[at]!);
      const isEnough = (): boolean =>
        done().every((count) => count >= progressPerLife / 8) &&
        done().reduce((sum, count) => sum + count) >= progressPerLife * workloads.length;
      while (!isEnough()) await Promise.race([this.#progressed.promise, all]);
      if (life > kills) break;
      const up = Promise.withResolvers<void>();
      this.#up = up.promise;
      await this.edge.kill();
      await this.edge.boot();
      up.resolve();
    }
    this.#isOver = true;
    await all;
    await Promise.all(workloads.map((workload) => workload.finish()));
    await this.#readAudit();
  }

  /** The log says what became of every command, also of those that nobody was told of. */
  async #readAudit(): Promise<void> {
    for (let since: number | null = 0; since !== null;) {
      const { json } = await this.call(`${API}/audit?limit=1000&since=${since}`, {});
      for (const { requestId, revision } of json.entries as { requestId: string | null; revision: number }[])
        if (requestId !== null) this.commits.set(requestId, revision);
      since = json.after as number | null;
    }
  }

  async #client(workload: Workload, client: number, seed: number): Promise<void> {
    const random = new Random(seed);
    while (!this.#isOver) {
      await this.#up;
      await workload.step(client, random);
      const progressed = this.#progressed;
      this.#progressed = Promise.withResolvers();
      progressed.resolve();
    }
  }

  /** Any answer at all; else `NotApplied` when there was nobody to talk to, `Unanswered` when the talk broke off. */
  async send(path: string, asked: Asked): Promise<Reply> {
    try {
      return await this.edge.ask(path, { signal: AbortSignal.timeout(CALL_MS), ...asked });
    } catch (error) {
      if (isRefused(error)) throw new NotApplied("no connection");
      throw new Unanswered(String(error));
    }
  }

  /**
   * An answer of the native API that tells what became of the call; else as `send`. `expected`: statuses besides 2xx that are
   * answers. Any other is a fault.
   */
  async call(path: string, asked: Asked, expected: readonly number[] = []): Promise<Reply> {
    const reply = await this.send(path, asked);
    const { status, json, text } = reply;
    if ((status >= 200 && status < 300) || expected.includes(status)) return reply;
    if (status !== 503) throw new Error(`${asked.method ?? "GET"} ${path}: ${status} ${text}`);
    throw json?.outcome === "unknown" ? new Unanswered(text) : new NotApplied(text);
  }
}

/** The namespace of all workloads. */
export const API = "/api/v1/namespaces/default";
const CALL_MS = 20_000;

function isRefused(error: unknown): boolean {
  const cause = (error as { cause?: { code?: string } }).cause;
  return cause?.code === "ECONNREFUSED";
}
