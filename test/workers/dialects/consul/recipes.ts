/**
 * Consul's lock and semaphore as its clients build them, by the requests they send: the npm client of version 2 has neither.
 * Source: developer.hashicorp.com/consul/tutorials (sessions, semaphore) and what the Go client does.
 */
import type { Edge, Reply } from "../../../edge.ts";
import type { Pair } from "./client.ts";

const LOCK_FLAGS = "3304740253564472344";
const SEMAPHORE_FLAGS = "16210313421097356768";

const put = (edge: Edge, path: string, body: unknown = ""): Promise<Reply> =>
  edge.ask(`/v1${path}`, { method: "PUT", body });

export async function createSession(edge: Edge, body: object = {}): Promise<string> {
  return (await put(edge, "/session/create", { TTL: "10s", LockDelay: "0s", ...body })).json.ID;
}

export class Lock {
  readonly #edge: Edge;
  readonly #key: string;
  readonly session: string;

  private constructor(edge: Edge, key: string, session: string) {
    this.#edge = edge;
    this.#key = key;
    this.session = session;
  }

  static async open(edge: Edge, key: string): Promise<Lock> {
    return new Lock(edge, key, await createSession(edge, { Name: "Consul API Lock" }));
  }

  /** Waits until it is held. */
  async lock(value = ""): Promise<void> {
    let index = "0";
    for (;;) {
      const found = await this.#edge.ask(`/v1/kv/${this.#key}?wait=15000ms&index=${index}`);
      index = found.headers.get("x-consul-index")!;
      const pair: Pair | undefined = found.json?.[0];
      if (pair?.Session !== undefined && pair.Session !== this.session) continue;
      const path = `/kv/${this.#key}?flags=${LOCK_FLAGS}&acquire=${this.session}`;
      if ((await put(this.#edge, path, value)).text === "true") return;
    }
  }

  /** Resolves when it is held no more. */
  async lost(): Promise<void> {
    let index = "0";
    for (;;) {
      const found = await this.#edge.ask(`/v1/kv/${this.#key}?consistent&index=${index}`);
      if (found.json?.[0].Session !== this.session) return;
      index = found.headers.get("x-consul-index")!;
    }
  }

  async unlock(): Promise<string> {
    return (await put(this.#edge, `/kv/${this.#key}?flags=${LOCK_FLAGS}&release=${this.session}`)).text;
  }
}

interface Holders {
  Limit: number;
  Holders: Record<string, true>;
}

export class Semaphore {
  readonly #edge: Edge;
  readonly #prefix: string;
  readonly #limit: number;
  readonly session: string;

  private constructor(edge: Edge, prefix: string, limit: number, session: string) {
    this.#edge = edge;
    this.#prefix = prefix;
    this.#limit = limit;
    this.session = session;
  }

  static async open(edge: Edge, prefix: string, limit: number): Promise<Semaphore> {
    const session = await createSession(edge, { Name: "Consul API Semaphore", Behavior: "delete" });
    return new Semaphore(edge, prefix, limit, session);
  }

  /** Waits until there is a place. */
  async acquire(): Promise<void> {
    const contender = `/kv/${this.#prefix}/${this.session}?flags=${SEMAPHORE_FLAGS}&acquire=${this.session}`;
    if ((await put(this.#edge, contender, "me")).text !== "true") throw new Error("not even a contender");
    let index = "0";
    for (;;) {
      const found = await this.#edge.ask(`/v1/kv/${this.#prefix}?recurse&wait=15000ms&index=${index}`);
      index = found.headers.get("x-consul-index")!;
      if (await this.#enter(found.json as Pair[])) return;
    }
  }

  /** The list of those who live, and the record of those who are in: the dead among them are left out. */
  async #enter(pairs: Pair[]): Promise<boolean> {
    const record = pairs.find(({ Key }) => Key === `${this.#prefix}/.lock`);
    const living = new Set(pairs.map(({ Session }) => Session));
    const { Holders: known }: Holders = record
      ? JSON.parse(Buffer.from(record.Value!, "base64").toString())
      : { Limit: this.#limit, Holders: {} };
    const holders = Object.fromEntries(Object.entries(known).filter(([session]) => living.has(session)));
    if (Object.keys(holders).length >= this.#limit) return false;
    holders[this.session] = true;
    return this.#write(holders, record?.ModifyIndex ?? 0);
  }

  async #write(holders: Holders["Holders"], cas: number): Promise<boolean> {
    const body = { Limit: this.#limit, Holders: holders } satisfies Holders;
    const path = `/kv/${this.#prefix}/.lock?flags=${SEMAPHORE_FLAGS}&cas=${cas}`;
    return (await put(this.#edge, path, body)).text === "true";
  }

  async release(): Promise<void> {
    for (;;) {
      const [record]: Pair[] = (await this.#edge.ask(`/v1/kv/${this.#prefix}/.lock`)).json;
      const { Holders: holders }: Holders = JSON.parse(Buffer.from(record!.Value!, "base64").toString());
      delete holders[this.session];
      if (await this.#write(holders, record!.ModifyIndex)) break;
    }
    await this.#edge.ask(`/v1/kv/${this.#prefix}/${this.session}`, { method: "DELETE" });
  }

  /** The process ends without a word. */
  async die(): Promise<void> {
    await put(this.#edge, `/session/destroy/${this.session}`);
  }
}
