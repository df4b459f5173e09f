/** The npm package `consul` 2.x, unmodified, as an application uses it. */
import { once } from "node:events";
import Consul from "consul";
import type { Edge } from "../../../edge.ts";
import { TOKEN } from "../../../edge.ts";

export function consulClient(edge: Edge, token: string = TOKEN): Consul {
  const { hostname, port } = new URL(edge.address);
  return new Consul({ host: hostname, port: Number(port), defaults: { token } });
}

/** A key as the client answers it; its own types leave out the session. */
export interface Pair {
  LockIndex: number;
  Key: string;
  Flags: number;
  Value: string | null;
  Session?: string;
  CreateIndex: number;
  ModifyIndex: number;
}

/** Changes that a watch tells, one at a time. */
export class Changes<T> implements Disposable {
  readonly #watch: ReturnType<Consul["watch"]>;
  readonly #pending: T[] = [];
  readonly errors: unknown[] = [];

  constructor(watch: ReturnType<Consul["watch"]>) {
    this.#watch = watch;
    watch.on("change", (data: T) => this.#pending.push(data));
    watch.on("error", (error: unknown) => this.errors.push(error));
  }

  async next(): Promise<T> {
    while (this.#pending.length === 0) await once(this.#watch, "change");
    return this.#pending.shift()!;
  }

  [Symbol.dispose](): void {
    this.#watch.end();
  }
}
