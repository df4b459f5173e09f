/** A short way to ask the JSON gateway. */
import type { Asked, Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";
import { closedPort } from "../../../scripts/agent/checks/servers.ts";

/** By which port it is asked: the edge's own, or the agent's, where clients of etcd expect it. */
export const asked = { atAgent: false };

export async function startGateway(): Promise<Edge> {
  if (!asked.atAgent) return Edge.start(["--no-agent"]);
  const port = await closedPort();
  const edge = await Edge.start(["--etcd-port", String(port)]);
  edge.via = `http://127.0.0.1:${port}`;
  return edge;
}

export const b64 = (text: string): string => Buffer.from(text).toString("base64");

/** Bodies are sent as they are where they are text. */
export const ask = (edge: Edge, path: string, body: unknown = {}, more: Asked = {}): Promise<Reply> =>
  edge.ask(`/v3${path}`, { method: "POST", body: typeof body === "string" ? body : JSON.stringify(body), ...more });

/** The reply, where there is nothing wrong. */
export async function told(edge: Edge, path: string, body?: unknown, more?: Asked): Promise<Reply["json"]> {
  const reply = await ask(edge, path, body, more);
  if (reply.status !== 200) throw new Error(`${path}: ${reply.status} ${reply.text}`);
  return reply.json;
}

export interface Refusal {
  status: number;
  code: number;
  message: string;
}

/** Both forms of the error agree, or there is none. */
export async function refusal(edge: Edge, path: string, body?: unknown, more?: Asked): Promise<Refusal | "none"> {
  const { status, json } = await ask(edge, path, body, more);
  if (status === 200) return "none";
  if (json?.error !== json?.message) throw new Error(`two messages: ${JSON.stringify(json)}`);
  return { status, code: json.code, message: json.message };
}

export const invalid = (message: string): Refusal => ({ status: 400, code: 3, message });
export const outOfRange = (message: string): Refusal => ({ status: 400, code: 11, message });
export const notFound = (message: string): Refusal => ({ status: 404, code: 5, message });
export const precondition = (message: string): Refusal => ({ status: 400, code: 9, message });
