/**
 * One namespace as the edge sees it: typed calls to its object, with admission, retries and errors put right.
 *
 * A new stub for each attempt, because one that has failed stays broken. Only reads are repeated: what became of a command
 * whose answer was lost, nobody can tell.
 */
import { waitUntil } from "cloudflare:workers";
import type {
  CommandInput,
  CommandName,
  CommandOutput,
  QueryInput,
  QueryName,
  QueryOutput,
} from "../../objects/commands.ts";
import type { Changes, ChangesInput } from "../../objects/core.ts";
import type { Heartbeat, HeartbeatResult } from "../../objects/renewals.ts";
import type { ClaimKind, Fence } from "../../objects/fences.ts";
import type { Outcome } from "../../objects/errors.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { Holding } from "../../objects/locks/arbiter.ts";
import type { Caller } from "../../objects/model.ts";
import type {
  ExecuteInput,
  Failpoint,
  IndexedValue,
  NamespaceStatus,
  ReadOptions,
  ReceiveOptions,
  SnapshotPart,
} from "../../objects/namespace.ts";
import type { Stored } from "../../objects/policy/records.ts";
import type { Received } from "../../objects/queues/receive.ts";
import type { Session } from "../../objects/sessions/sessions.ts";
import type { SnapshotCursor, SpacedRecord } from "../../objects/store/backend.ts";
import { CALL_BYTES_MAX } from "../../objects/calls.ts";
import { isLight } from "../../objects/weight.ts";
import type { Line } from "./line.ts";
import type { BatchedCall } from "../../objects/calls.ts";
import { batcherOf } from "./batching.ts";
import type { Carrier } from "./batching.ts";
import { gateOf } from "./admission.ts";
import type { Gate } from "./admission.ts";
import type { Bindings } from "./bindings.ts";
import type { Namespace, WatchInput } from "../hosted/namespace.ts";
import { datacenterOf, datacentersOf, objectName } from "./datacenter.ts";

/** A value, and the namespace's revision as of it. */
export interface Answer<T> {
  value: T;
  revision: number;
}

export interface CommandOptions {
  caller: Caller;
  /** The caller may repeat the call with the same id and gets the first result. */
  requestId?: string | undefined;
  /** It is carried out only if this is held. */
  fence?: Fence | undefined;
  /** In tests. */
  failpoint?: Failpoint | undefined;
}

/** A call that waits, and how to end that. */
export interface Following {
  answer: Promise<Answer<Changes>>;
  leave: () => void;
}

const ATTEMPTS = 3;
const PAUSE_MS = 50;

export class NamespaceClient {
  readonly namespace: string;
  readonly datacenter: string;
  readonly #env: Bindings;
  readonly #name: string;
  /** Where a new object is made. */
  readonly #place: DurableObjectNamespaceGetDurableObjectOptions | undefined;
  readonly #gate: Gate;
  readonly #line: Line | undefined;

  /** `line`: what is asked waits there for its place instead of being refused. */
  constructor(env: Bindings, namespace: string, datacenter = datacenterOf(env), line?: Line) {
    this.#env = env;
    this.namespace = namespace;
    this.datacenter = datacenter;
    this.#name = objectName(env, namespace, datacenter);
    const locationHint = datacentersOf(env).hints.get(datacenter);
    this.#place = locationHint && { locationHint };
    this.#gate = gateOf(this.#name);
    this.#line = line;
  }

  execute<N extends CommandName>(
    command: N,
    input: CommandInput<N>,
    options: CommandOptions,
  ): Promise<Answer<CommandOutput<N>>> {
    const { caller, requestId, fence, failpoint } = options;
    // What is absent would be told as such.
    const call = {
      command,
      input,
      caller,
      ...(requestId !== undefined && { requestId }),
      ...(fence && { fence }),
      ...(failpoint && { failpoint }),
    } as ExecuteInput;
    return this.#admitted(() => this.#send({ method: "execute", args: [call] }), false);
  }

  query<N extends QueryName>(
    name: N,
    input: QueryInput<N>,
    options: { strong?: boolean } = {},
  ): Promise<Answer<QueryOutput<N>>> {
    return this.#admitted(() => this.#send({ method: "query", args: [name, input as never, options] }), true);
  }

  heartbeat(beats: Heartbeat[]): Promise<Answer<HeartbeatResult>> {
    return this.#admitted(() => this.#send({ method: "heartbeat", args: [beats] }), true);
  }

  renewLease(id: string): Promise<Answer<{ id: string; ttlMs: number }>> {
    return this.#admitted(() => this.#send({ method: "renewLease", args: [id] }), true);
  }

  renewLeases(ids: string[]): Promise<Answer<{ ended: string[] }>> {
    return this.#admitted(() => this.#stub().renewLeases(ids), true);
  }

  renewClaim(kind: ClaimKind, holding: Holding): Promise<Answer<{ id: string; ttlMs: number }>> {
    return this.#admitted(() => this.#send({ method: "renewClaim", args: [kind, holding] }), true);
  }

  renewSession(id: string): Promise<Answer<Stored<Session>>> {
    return this.#admitted(() => this.#send({ method: "renewSession", args: [id] }), true);
  }

  /** Answered `isHeldUp` by `user.credentials`, once there have been too many. */
  guessedWrong(user: string | null): Promise<Answer<null>> {
    return this.#admitted(() => this.#stub().guessedWrong(user) as Promise<Outcome<null>>, false);
  }

  /** Waits up to `waitMs` (at most 60,000) for the first event; not counted by admission, since waiting costs nothing. */
  changes(input: ChangesInput, waitMs = 0): Promise<Answer<Changes>> {
    return this.#call(() => this.#stub().changes(input, waitMs) as Promise<Outcome<Changes>>, true);
  }

  /** Changes as server-sent events, written by the object; not counted by admission either. */
  watch(input: WatchInput): Promise<Answer<ReadableStream<Uint8Array>>> {
    return this.#call(() => this.#stub().watch(input) as Promise<Outcome<ReadableStream<Uint8Array>>>, true);
  }

  /** As `changes`, until it is called off: then it answers at once what there is by then. */
  follow(input: ChangesInput, waitMs: number): Following {
    const place = crypto.randomUUID();
    let isLeft = false;
    let stub: DurableObjectStub<Namespace>;
    const act = (): Promise<Outcome<Changes>> => {
      stub = this.#stub();
      return stub.changes(input, isLeft ? 0 : waitMs, place) as Promise<Outcome<Changes>>;
    };
    const answer = this.#call(act, true);
    const leave = (): void => {
      if (isLeft) return;
      isLeft = true;
      // By the same stub, so that it comes after the call.
      waitUntil(stub.leave(place).catch(() => {}));
    };
    return { answer, leave };
  }

  /** A query with the index of what it read; waits for a larger one when `since` is given (up to `waitMs`, not admitted). */
  read<N extends QueryName>(
    name: N,
    input: QueryInput<N>,
    options: ReadOptions,
  ): Promise<Answer<IndexedValue<QueryOutput<N>>>> {
    if (!options.since)
      return this.#admitted(() => this.#send({ method: "read", args: [name, input as never, options] }), true);
    return this.#call(
      () => this.#stub().read(name, input as never, options) as Promise<Outcome<IndexedValue<QueryOutput<N>>>>,
      true,
    );
  }

  /**
   * Messages of a topic, as soon as there are some. Waiting is not counted by admission, and ends when the client goes:
   * its place in the line is given up.
   */
  async receive(
    input: CommandInput<"queue.receive">,
    { caller, requestId, fence, failpoint }: CommandOptions,
    { waitMs, signal }: { waitMs: number; signal: AbortSignal },
  ): Promise<Answer<Received>> {
    const call: ExecuteInput<"queue.receive"> = {
      command: "queue.receive",
      input,
      caller,
      requestId,
      fence,
      failpoint,
    };
    const receive = (options?: ReceiveOptions): Promise<Outcome<Received>> =>
      this.#stub().receive(call, options) as Promise<Outcome<Received>>;
    const answer = await this.#admitted(() => receive(), false);
    if (answer.value.messages.length > 0 || waitMs === 0 || signal.aborted) return answer;
    const place = crypto.randomUUID();
    const waiting = this.#call(() => receive({ waitMs, place }), false);
    const gone = new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    const over = Promise.race([waiting, gone]).catch(() => {});
    waitUntil(
      over.then(async () => {
        if (signal.aborted) await this.#env.NAMESPACE.getByName(this.#name, this.#place).leave(place);
      }),
    );
    return waiting;
  }

  status(): Promise<Answer<NamespaceStatus>> {
    return this.#admitted(() => this.#stub().status(), true);
  }

  compact(revision: number, caller: Caller): Promise<Answer<null>> {
    return this.#call(() => this.#stub().compact(revision, caller), false);
  }

  snapshotPage(cursor: { revision: number; after: SnapshotCursor | null } | null): Promise<Answer<SnapshotPart>> {
    return this.#call(() => this.#stub().snapshotPage(cursor) as Promise<Outcome<SnapshotPart>>, true);
  }

  restoreBegin(force: boolean): Promise<Answer<{ restore: number }>> {
    return this.#call(() => this.#stub().restoreBegin(force), false);
  }

  restoreStage(restore: number, records: SpacedRecord[]): Promise<Answer<null>> {
    return this.#call(() => this.#stub().restoreStage(restore, records), false);
  }

  restoreCommit(
    restore: number,
    origin: { namespace: string; revision: number; count: number },
    options: { force: boolean; caller: Caller },
  ): Promise<Answer<{ records: number }>> {
    return this.#call(() => this.#stub().restoreCommit(restore, origin, options), false);
  }

  async #admitted<T>(act: () => Promise<Outcome<T>>, isRepeatable: boolean): Promise<Answer<T>> {
    if (this.#line) return this.#inLine(this.#line, act, isRepeatable);
    const entered = this.#gate.enter(Date.now());
    const answer = this.#call(act, isRepeatable);
    const leave = (): void => this.#gate.leave(entered, Date.now());
    // Also when the client has hung up meanwhile, which ends everything else of its request.
    waitUntil(answer.then(leave, leave));
    return answer;
  }

  async #inLine<T>(line: Line, act: () => Promise<Outcome<T>>, isRepeatable: boolean): Promise<Answer<T>> {
    const entered = await line.enter(this.#gate);
    try {
      return await this.#call(act, isRepeatable);
    } finally {
      this.#gate.leave(entered, Date.now());
      line.leave();
    }
  }

  /** With those of other requests, when there are some and it is small enough to travel with them. */
  #send<T>(call: BatchedCall): Promise<Outcome<T>> {
    // More of a socket's calls are at hand, or soon will be.
    if ((this.#line || this.#gate.isShared) && isLight(call.args, CALL_BYTES_MAX)) {
      return batcherOf(this.#name).call(call, () => this.#stub() as unknown as Carrier, this.#line) as Promise<
        Outcome<T>
      >;
    }
    return (this.#stub() as unknown as Methods<T>)[call.method](...call.args);
  }

  #stub(): DurableObjectStub<Namespace> {
    return this.#env.NAMESPACE.getByName(this.#name, this.#place);
  }

  /** `act` makes a stub of its own. */
  async #call<T>(act: () => Promise<Outcome<T>>, isRepeatable: boolean): Promise<Answer<T>> {
    for (let attempt = 1; ; attempt++) {
      let outcome: Outcome<T>;
      try {
        outcome = await act();
      } catch (error) {
        if (isRepeatable && attempt < ATTEMPTS && isTransient(error)) {
          await scheduler.wait(PAUSE_MS * attempt * (0.5 + Math.random()));
          continue;
        }
        throw translated(error, isRepeatable);
      }
      // Answers are plain data; what the runtime keeps of the call can go at once.
      (outcome as Partial<Disposable>)[Symbol.dispose]?.();
      if (!outcome.ok) throw HoldfastError.fromValue(outcome.error);
      return { value: outcome.value, revision: outcome.revision };
    }
  }
}

/** The object's own methods, whichever it is. */
type Methods<T> = Record<BatchedCall["method"], (...args: BatchedCall["args"]) => Promise<Outcome<T>>>;

/** Marks the platform sets on errors of a call to an object. */
interface PlatformError {
  retryable?: boolean;
  overloaded?: boolean;
}

function isTransient(error: unknown): boolean {
  const { overloaded } = error as PlatformError;
  return overloaded !== true;
}

function translated(error: unknown, isRead: boolean): HoldfastError {
  const message = error instanceof Error ? error.message : String(error);
  if (message.includes("SQLITE_FULL")) {
    return new HoldfastError("quota_exceeded", "the namespace's storage is full; reads and deletions go on");
  }
  const what = isRead
    ? "the namespace could not be reached"
    : "the namespace broke off; the command may or may not have run";
  console.warn("call to the namespace failed:", message);
  return new HoldfastError("unavailable", what, isRead ? undefined : { outcome: "unknown" }, 1000);
}
