/** Elections, whoever holds them: clients campaign, proclaim, resign, and some forget that they lead. And those of the native API. */
import { Unanswered } from "../history.ts";
import type { ElectionInput, ElectionOutput, Leader } from "../models/election.ts";
import type { Random } from "../random.ts";
import { API, type Caller, type Ordeal } from "./ordeal.ts";
import { RecordedWorkload } from "./workload.ts";

const TTL_MS = 3000;
export const ELECTIONS = ["first", "second"];

export interface Term {
  election: string;
  candidacy: string;
  token: number;
}

export interface Candidate {
  election: string;
  candidacy: string;
  value: string;
  ttlMs: number;
  waitMs: number;
}

type Headers = Record<string, string>;

/** Each is one call, recorded as such; `headers` are those of a command. */
export interface ElectionService {
  /** A command may be given again under its id. */
  readonly knowsRequestIds: boolean;
  /** The token; null = not elected. */
  campaign(candidate: Candidate, headers: Headers): Promise<number | null>;
  proclaim(term: Term, value: string, headers: Headers): Promise<boolean>;
  renew(term: Term): Promise<boolean>;
  /** Null: the answer does not tell whether it led. */
  resign(term: Term, headers: Headers): Promise<boolean | null>;
  leader(election: string): Promise<Leader | null>;
}

export class ElectionWorkload extends RecordedWorkload<ElectionInput, ElectionOutput> {
  readonly clients = 2 * ELECTIONS.length;
  readonly #service: ElectionService;
  readonly #terms = new Map<number, Term>();
  readonly #former: Term[] = [];
  #count = 0;

  constructor(name: string, ordeal: Ordeal, service: ElectionService) {
    super(name, ordeal);
    this.#service = service;
  }

  /** Leads when everybody is done, whoever still does; its token. */
  async lead(election: string): Promise<number> {
    const candidate = { election, candidacy: `c${this.#count++}`, value: "last", ttlMs: 60_000, waitMs: 30_000 };
    const token = await this.#service.campaign(candidate, {});
    if (token === null) throw new Error(`nobody else was to lead ${election}`);
    return token;
  }

  protected override isRepeatable(): boolean {
    return this.#service.knowsRequestIds;
  }

  async step(client: number, random: Random): Promise<void> {
    const value = `${this.name}-v${this.#count++}`;
    const term = this.#terms.get(client);
    if (random.chance(0.25)) return this.#leader(client, random.pick(ELECTIONS));
    if (!term) {
      if (this.#former.length > 0 && random.chance(0.2))
        return this.#proclaim(client, random.pick(this.#former), value);
      return this.#campaign(client, random.pick(ELECTIONS), value, random.pick([0, 200]));
    }
    if (random.chance(0.3)) return this.#proclaim(client, term, value);
    if (random.chance(0.3)) return this.#renew(client, term);
    this.#terms.delete(client);
    this.#former.push(term);
    if (!random.chance(0.03)) await this.#resign(client, term);
  }

  async #campaign(client: number, election: string, value: string, waitMs: number): Promise<void> {
    const candidate = { election, candidacy: `c${this.#count++}`, value, ttlMs: TTL_MS };
    const output = await this.record(client, { kind: "campaign", ...candidate }, async (headers) => ({
      token: await this.#service.campaign({ ...candidate, waitMs }, headers),
    }));
    if (output && "token" in output && output.token !== null)
      this.#terms.set(client, { election, candidacy: candidate.candidacy, token: output.token });
  }

  async #proclaim(client: number, term: Term, value: string): Promise<void> {
    await this.record(client, { kind: "proclaim", ...term, value }, async (headers) => ({
      done: await this.#service.proclaim(term, value, headers),
    }));
  }

  async #renew(client: number, term: Term): Promise<void> {
    const { election, candidacy } = term;
    const output = await this.record(client, { kind: "renew", election, candidacy, ttlMs: TTL_MS }, async () => ({
      done: await this.#service.renew(term),
    }));
    if (output && "done" in output && !output.done) this.#terms.delete(client);
  }

  async #resign(client: number, term: Term): Promise<void> {
    await this.record(client, { kind: "resign", ...term }, async (headers) => ({
      done: await this.#service.resign(term, headers),
    }));
  }

  async #leader(client: number, election: string): Promise<void> {
    await this.record(client, { kind: "leader", election }, async () => ({
      leader: await this.#service.leader(election),
    }));
  }
}

/** Over HTTP and the stream. */
export class NativeElections implements ElectionService {
  readonly knowsRequestIds = true;
  readonly #caller: Caller;

  constructor(caller: Caller) {
    this.#caller = caller;
  }

  async campaign({ election, candidacy, value, ttlMs, waitMs }: Candidate, headers: Headers): Promise<number | null> {
    const body = { owner: candidacy, ttl: ttlMs / 1000, value, wait: waitMs / 1000 };
    const { status, json, text } = await this.#post(election, "campaign", body, headers, [409, 410]);
    // Given again when its place in line had lapsed; whether it had come to the front before, the answer does not tell.
    if (status === 410) throw new Unanswered(text);
    if (status === 409 && json.reason !== "held") throw new Error(`campaign: ${JSON.stringify(json)}`);
    return status === 409 ? null : (json.token as number);
  }

  proclaim(term: Term, value: string, headers: Headers): Promise<boolean> {
    return this.#asHolder(term, "proclaim", { value }, headers);
  }

  renew(term: Term): Promise<boolean> {
    return this.#asHolder(term, "renew", {}, {});
  }

  resign(term: Term, headers: Headers): Promise<boolean> {
    return this.#asHolder(term, "resign", {}, headers);
  }

  async leader(election: string): Promise<Leader | null> {
    const { json } = await this.#caller.call(`${API}/elections/${election}`, {});
    const leader = json.leader as { owner: string; token: number; value: string } | null;
    return leader && { candidacy: leader.owner, token: leader.token, value: leader.value };
  }

  async #asHolder({ election, candidacy, token }: Term, verb: string, more: object, headers: Headers) {
    const { status } = await this.#post(election, verb, { owner: candidacy, token, ...more }, headers);
    return status !== 409;
  }

  #post(election: string, verb: string, body: object, headers: Headers, expected = [409]) {
    return this.#caller.call(`${API}/elections/${election}/${verb}`, { method: "POST", body, headers }, expected);
  }
}
