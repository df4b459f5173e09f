/** An election over HTTP and the stream: clients campaign, proclaim, resign, and some forget that they lead. */
import type { ElectionInput, ElectionOutput } from "../models/election.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

const TTL_MS = 3000;
export const ELECTIONS = ["first", "second"];

interface Term {
  election: string;
  candidacy: string;
  token: number;
}

export class ElectionWorkload extends RecordedWorkload<ElectionInput, ElectionOutput> {
  readonly clients = 5;
  readonly #terms = new Map<number, Term>();
  readonly #former: Term[] = [];
  #count = 0;

  constructor(ordeal: Ordeal, callers: readonly Caller[]) {
    super("elections", ordeal, callers);
  }

  /** Leads when everybody is done, whoever still does; the revision since when. */
  async lead(election: string): Promise<number> {
    const body = { owner: "last", ttl: 60, value: "last", wait: 30 };
    const { json } = await this.ordeal.call(`${API}/elections/${election}/campaign`, { method: "POST", body });
    return json.token as number;
  }

  async step(client: number, random: Random): Promise<void> {
    const value = `v${this.#count++}`;
    const term = this.#terms.get(client);
    if (random.chance(0.25)) return this.#leader(client, random.pick(ELECTIONS));
    if (!term) {
      if (this.#former.length > 0 && random.chance(0.2))
        return this.#proclaim(client, random.pick(this.#former), value);
      return this.#campaign(client, random.pick(ELECTIONS), value, random.pick([0, 0.2]));
    }
    if (random.chance(0.3)) return this.#proclaim(client, term, value);
    if (random.chance(0.3)) return this.#renew(client, term);
    this.#terms.delete(client);
    this.#former.push(term);
    if (!random.chance(0.03)) await this.#resign(client, term);
  }

  async #campaign(client: number, election: string, value: string, wait: number): Promise<void> {
    const candidacy = `c${this.#count++}`;
    const body = { owner: candidacy, ttl: TTL_MS / 1000, value, wait };
    const output = await this.record(
      client,
      { kind: "campaign", election, candidacy, value, ttlMs: TTL_MS },
      async (headers) => {
        const { status, json } = await this.#post(election, "campaign", body, headers);
        if (status === 409 && json.reason !== "held") throw new Error(`campaign: ${JSON.stringify(json)}`);
        return { token: status === 409 ? null : (json.token as number) };
      },
    );
    if (output && "token" in output && output.token !== null)
      this.#terms.set(client, { election, candidacy, token: output.token });
  }

  async #proclaim(client: number, term: Term, value: string): Promise<void> {
    await this.record(client, { kind: "proclaim", ...term, value }, (headers) =>
      this.#asHolder(term, "proclaim", { value }, headers),
    );
  }

  async #renew(client: number, term: Term): Promise<void> {
    const { election, candidacy } = term;
    const output = await this.record(client, { kind: "renew", election, candidacy, ttlMs: TTL_MS }, () =>
      this.#asHolder(term, "renew", {}, {}),
    );
    if (output && "done" in output && !output.done) this.#terms.delete(client);
  }

  async #resign(client: number, term: Term): Promise<void> {
    await this.record(client, { kind: "resign", ...term }, (headers) => this.#asHolder(term, "resign", {}, headers));
  }

  async #leader(client: number, election: string): Promise<void> {
    await this.record(client, { kind: "leader", election }, async () => {
      const { json } = await this.call(`${API}/elections/${election}`, {});
      const leader = json.leader as { owner: string; token: number; value: string } | null;
      return { leader: leader && { candidacy: leader.owner, token: leader.token, value: leader.value } };
    });
  }

  async #asHolder({ election, candidacy, token }: Term, verb: string, more: object, headers: Record<string, string>) {
    const { status } = await this.#post(election, verb, { owner: candidacy, token, ...more }, headers);
    return { done: status !== 409 };
  }

  #post(election: string, verb: string, body: object, headers: Record<string, string>) {
    return this.call(`${API}/elections/${election}/${verb}`, { method: "POST", body, headers }, [409]);
  }
}
