/** What workloads have in common: a recorder, and request ids by which the audit log names their commands. */
import { type Call, NotApplied, Recorder, settled, Unanswered } from "../history.ts";
import { Random } from "../random.ts";
import type { Ordeal, Workload } from "./ordeal.ts";

export abstract class RecordedWorkload<I extends { kind: string }, O> implements Workload {
  abstract readonly clients: number;
  progress = 0;
  /** First tries that got no answer. */
  unanswered = 0;
  readonly name: string;
  readonly recorder = new Recorder<I, O>();
  protected readonly ordeal: Ordeal;
  readonly #random: Random;

  constructor(name: string, ordeal: Ordeal) {
    this.name = name;
    this.ordeal = ordeal;
    this.#random = new Random(ordeal.seed + name.length);
  }

  abstract step(client: number, random: Random): Promise<void>;

  async finish(): Promise<void> {}

  /** Whether a call may be given again under its request id. */
  protected isRepeatable(_input: I): boolean {
    return true;
  }

  /** After the ordeal: without the calls that nobody answered and that never had an effect, as the audit log has it. */
  get history(): Call<I, O>[] {
    return this.settledBy((call) => this.commitOf(call) !== null);
  }

  settledBy(wasCarriedOut: (call: Call<I, O>) => boolean): Call<I, O>[] {
    return settled(this.recorder.calls, wasCarriedOut);
  }

  /** At which revision a command was carried out, whether it was answered or not; null = never, or it was none. */
  commitOf({ id }: Call<I, O>): number | null {
    return this.ordeal.commits.get(this.#requestId(id)) ?? null;
  }

  /**
   * The answer, if there was one. `act` is given the headers of a command. Of those that got none, half are given again until
   * they get one: it is the first one's, and however often they are given, they are carried out once (K6).
   */
  protected async record(
    client: number,
    input: I,
    act: (headers: Record<string, string>) => Promise<O>,
  ): Promise<O | null> {
    const abort = abortSometimes(this.#random);
    const repeats = this.isRepeatable(input) && this.#random.chance(0.5);
    const { output } = await this.recorder.record(client, input, async (id) => {
      const key = { "idempotency-key": this.#requestId(id) };
      try {
        return await act({ ...key, ...abort });
      } catch (error) {
        if (!(error instanceof Unanswered)) throw error;
        this.unanswered++;
        if (!repeats) throw error;
        return await this.#again(() => act(key));
      }
    });
    if (output) this.progress++;
    return output;
  }

  async #again(act: () => Promise<O>): Promise<O> {
    for (let tries = 0; tries < TRIES_MAX; tries++) {
      await this.ordeal.up;
      try {
        return await act();
      } catch (error) {
        // That this one was not carried out says nothing of the first.
        if (!(error instanceof Unanswered || error instanceof NotApplied)) throw error;
      }
    }
    throw new Unanswered("nor when it was given again");
  }

  #requestId(id: number): string {
    return `model-${this.name}-${id}`;
  }
}

const TRIES_MAX = 5;

/** Ends the object in the middle of a commit, sometimes; `workers/edge.ts` knows the header. Whoever is in the air fails, too. */
function abortSometimes(random: Random): Record<string, string> {
  if (!random.chance(0.006)) return {};
  return { "x-holdfast-test-abort": random.pick(["before_commit", "after_commit"]) };
}
