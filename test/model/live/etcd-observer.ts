/** An observer by etcd's Election service that keeps whatever it is told, connection by connection. */
import { Election } from "../../../workers/dialects/etcd/gen/v3electionpb_pb.js";
import { Unanswered } from "../history.ts";
import type { Observation } from "../terms.ts";
import { bytes, type EtcdTransport, text } from "./etcd-transport.ts";
import { Follower } from "./follower.ts";
import type { Ordeal } from "./ordeal.ts";

export class EtcdObserver extends Follower {
  readonly #connections: Observation[][] = [];
  readonly #transport: EtcdTransport;
  readonly #name: Uint8Array;

  constructor(ordeal: Ordeal, transport: EtcdTransport, name: string) {
    super(ordeal, 0);
    this.#transport = transport;
    this.#name = bytes(name);
    this.start();
  }

  /** Everything it was told, once that was of the leader with this token, or of a later one. */
  async until(token: number): Promise<readonly (readonly Observation[])[]> {
    await this.follow(token);
    return this.#connections;
  }

  protected override async connect(_since: number, signal: AbortSignal): Promise<void> {
    const observations: Observation[] = [];
    this.#connections.push(observations);
    try {
      const answers = this.#transport.stream(Election.method.observe, [{ name: this.#name }], signal);
      for await (const { header, kv } of answers) {
        const createRevision = Number(kv!.createRevision);
        observations.push({
          revision: Number(header!.revision),
          key: text(kv!.key),
          value: text(kv!.value),
          createRevision,
          modRevision: Number(kv!.modRevision),
        });
        this.advance(createRevision);
      }
    } catch (error) {
      if (!(error instanceof Unanswered)) throw error;
    }
  }
}
