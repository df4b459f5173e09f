/** The lines that tell what listens where. */
import net from "node:net";
import type { RunningListener } from "./agent.ts";

const DESCRIPTIONS: Record<string, string> = { dns: "udp and tcp", etcd: "grpc and http" };

export function surfaceLines(edge: string, host: string, listeners: readonly RunningListener[]): string[] {
  const at = net.isIPv6(host) ? `[${host}]` : host;
  const rows = [
    ["api", `${edge}/api/v1`, "reference: /api/docs"],
    ["consul", `${edge}/v1`, "CONSUL_HTTP_ADDR"],
    ["gateway", `${edge}/route/<service>/`, ""],
    ["doh", `${edge}/dns-query`, ""],
    ...listeners.map(({ name, port }) => [name, `${at}:${port}`, DESCRIPTIONS[name] ?? ""]),
  ];
  const width = Math.max(...rows.map(([, address = ""]) => address.length));
  return rows.map(([name = "", address = "", note = ""]) =>
    `  ${name.padEnd(8)} ${address.padEnd(width)}  ${note}`.trimEnd(),
  );
}
