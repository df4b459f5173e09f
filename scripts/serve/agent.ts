/** The agent's listeners inside `serve`. Only those whose dialect is built are started; the other ports stay untouched. */
import { startDnsListener } from "../agent/dns.ts";
import type { AgentListener } from "./options.ts";
import { freePort, type Transport } from "./ports.ts";

export interface AgentTarget {
  /** The address the listeners bind to. */
  host: string;
  edge: string;
  token: string | null;
}

export interface RunningListener {
  name: AgentListener;
  port: number;
  close(): Promise<void>;
}

interface ListenerKind {
  transports: readonly Transport[];
  start(target: AgentTarget & { port: number }): Promise<{ port: number; close(): Promise<void> }>;
}

const LISTENERS: Partial<Record<AgentListener, ListenerKind>> = {
  dns: { transports: ["tcp", "udp"], start: startDnsListener },
  etcd: {
    transports: ["tcp"],
    // HTTP/2 takes Node a moment to load, and nobody needs it where the port is off.
    start: async (target) => (await import("../agent/grpc/listener.ts")).startGrpcListener(target),
  },
};

type Ports = Readonly<Record<AgentListener, number>>;

/** CommandError when a port that is going to be listened on is taken. */
export async function checkAgentPorts(host: string, ports: Ports): Promise<void> {
  for (const [name, kind] of enabled(ports)) await freePort(host, ports[name], kind.transports);
}

/** All or none: when one cannot start, those before it are closed again. */
export async function startAgent(target: AgentTarget, ports: Ports): Promise<RunningListener[]> {
  const running: RunningListener[] = [];
  try {
    for (const [name, kind] of enabled(ports)) {
      running.push({ name, ...(await kind.start({ ...target, port: ports[name] })) });
    }
    return running;
  } catch (error) {
    await Promise.all(running.map((listener) => listener.close()));
    throw error;
  }
}

function enabled(ports: Ports): [AgentListener, ListenerKind][] {
  return (Object.entries(LISTENERS) as [AgentListener, ListenerKind][]).filter(([name]) => ports[name] !== 0);
}
