/** A counter over HTTP and the stream. */
import type { Reply } from "../../edge.ts";
import type { CounterInput, CounterOutput } from "../models/counter.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

const COUNTERS = ["one", "two"];

export class CounterWorkload extends RecordedWorkload<CounterInput, CounterOutput> {
  readonly clients = 4;
  readonly #caller: Caller;

  constructor(ordeal: Ordeal, caller: Caller) {
    super("counters", ordeal);
    this.#caller = caller;
  }

  async step(client: number, random: Random): Promise<void> {
    const counter = random.pick(COUNTERS);
    const path = `${API}/counters/${counter}`;
    const delta = 1 + random.below(1000);
    if (random.chance(0.4)) {
      await this.record(client, { kind: "read", counter }, async () => valueOf(await this.#caller.call(path, {})));
      return;
    }
    await this.record(client, { kind: "add", counter, delta }, async (headers) =>
      valueOf(await this.#caller.call(`${path}/add`, { method: "POST", body: { delta }, headers })),
    );
  }
}

const valueOf = ({ json }: Reply): CounterOutput => ({ value: Number(json.value) });
