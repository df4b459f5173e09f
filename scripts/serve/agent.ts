/** The agent's listeners inside `serve`. Only those whose dialect is built are started; the other ports stay untouched. */
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

type Start = (target: AgentTarget & { port: number }) => Promise<{ port: number; close(): Promise<void> }>;

interface ListenerKind {
  transports: readonly Transport[];
  /** Its code, read when it is needed. */
  load(): Promise<Start>;
}

const LISTENERS: Partial<Record<AgentListener, ListenerKind>> = {
  dns: { transports: ["tcp", "udp"], load: async () => (await import("../agent/dns.ts")).startDnsListener },
  etcd: { transports: ["tcp"], load: async () => (await import("../agent/grpc/listener.ts")).startGrpcListener },
};

type Ports = Readonly<Record<AgentListener, number>>;

/** CommandError when a port that is going to be listened on is taken. */
export async function checkAgentPorts(host: string, ports: Ports): Promise<void> {
  for (const [name, kind] of enabled(ports)) await freePort(host, ports[name], kind.transports);
}

/** Reads the code of the listeners, for when they are to be started: it takes longer than starting them. */
export function loadAgent(ports: Ports): void {
  // What is wrong with it is told when it is started.
  for (const [, kind] of enabled(ports)) kind.load().catch(() => {});
}

/** All or none: when one cannot start, those before it are closed again. */
export async function startAgent(target: AgentTarget, ports: Ports): Promise<RunningListener[]> {
  const running: RunningListener[] = [];
  try {
    for (const [name, kind] of enabled(ports)) {
      const start = await kind.load();
      running.push({ name, ...(await start({ ...target, port: ports[name] })) });
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
