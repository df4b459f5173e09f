/** What workloads have in common: a recorder, and request ids by which the audit log names their commands. */
import { type Call, Recorder, settled } from "../history.ts";
import { Random } from "../random.ts";
import type { Ordeal, Workload } from "./ordeal.ts";

export abstract class RecordedWorkload<I extends { kind: string }, O> implements Workload {
  abstract readonly clients: number;
  progress = 0;
  readonly name: string;
  readonly recorder = new Recorder<I, O>();
  protected readonly ordeal: Ordeal;
  readonly #aborts: Random;

  constructor(name: string, ordeal: Ordeal) {
    this.name = name;
    this.ordeal = ordeal;
    this.#aborts = new Random(ordeal.seed + name.length);
  }

  abstract step(client: number, random: Random): Promise<void>;

  async finish(): Promise<void> {}

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

  /** The answer, if there was one. `act` is given the headers of a command. */
  protected async record(
    client: number,
    input: I,
    act: (headers: Record<string, string>) => Promise<O>,
  ): Promise<O | null> {
    const abort = abortSometimes(this.#aborts);
    const { output } = await this.recorder.record(client, input, (id) =>
      act({ "idempotency-key": this.#requestId(id), ...abort }),
    );
    if (output) this.progress++;
    return output;
  }

  #requestId(id: number): string {
    return `model-${this.name}-${id}`;
  }
}

/** Ends the object in the middle of a commit, sometimes; `workers/edge.ts` knows the header. Whoever is in the air fails, too. */
function abortSometimes(random: Random): Record<string, string> {
  if (!random.chance(0.006)) return {};
  return { "x-holdfast-test-abort": random.pick(["before_commit", "after_commit"]) };
}
