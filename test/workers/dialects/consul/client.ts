/** The npm package `consul`, unmodified, against a started server. */
import Consul from "consul";
import type { Edge } from "../../../edge.ts";
import { TOKEN } from "../../../edge.ts";

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

export function consulOf(edge: Edge, token: string | null = TOKEN): Consul {
  const { hostname, port } = new URL(edge.address);
  return new Consul({ host: hostname, port: Number(port), ...(token !== null && { defaults: { token } }) });
}
