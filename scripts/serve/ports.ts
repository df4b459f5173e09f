/** Whether a port is free, told before anything is started, so that a taken one costs one line and no half start. */
import dgram from "node:dgram";
import { lookup } from "node:dns/promises";
import { once } from "node:events";
import net from "node:net";
import { setTimeout as sleep } from "node:timers/promises";
import { CommandError } from "../cli/exit.ts";

export type Transport = "tcp" | "udp";

/** The runtime of a killed predecessor takes a moment to leave its port. */
const TRIES = 10;
const RETRY_AFTER_MS = 100;

const REASONS: Record<string, string> = {
  EADDRINUSE: "is taken",
  EACCES: "needs more rights than this process has",
  EADDRNOTAVAIL: "cannot be opened: the address is not one of this machine",
};

/** The IP address of a host name; CommandError when there is none. */
export async function addressOf(host: string): Promise<string> {
  try {
    return (await lookup(host)).address;
  } catch {
    throw new CommandError(`--host: "${host}" is not an address of this machine`);
  }
}

/** The port itself, or for 0 one that is free now. Throws a CommandError of one line when it cannot be had. */
export async function freePort(address: string, port: number, transports: readonly Transport[]): Promise<number> {
  for (let tries = 1; ; tries++) {
    try {
      let chosen = port;
      for (const transport of transports) chosen = await tryBind(address, chosen, transport);
      return chosen;
    } catch (error) {
      const code = String((error as NodeJS.ErrnoException).code);
      if (code === "EADDRINUSE" && tries < TRIES) {
        await sleep(RETRY_AFTER_MS);
        continue;
      }
      throw new CommandError(`port ${port} on ${address} ${REASONS[code] ?? `cannot be opened (${code})`}`);
    }
  }
}

async function tryBind(address: string, port: number, transport: Transport): Promise<number> {
  if (transport === "tcp") {
    const server = net.createServer();
    server.listen({ host: address, port, exclusive: true });
    await once(server, "listening");
    const chosen = (server.address() as net.AddressInfo).port;
    server.close();
    await once(server, "close");
    return chosen;
  }
  const socket = dgram.createSocket(net.isIPv6(address) ? "udp6" : "udp4");
  socket.bind({ address, port, exclusive: true });
  await once(socket, "listening");
  const chosen = socket.address().port;
  socket.close();
  await once(socket, "close");
  return chosen;
}

/** Addresses that only this machine can reach. */
export function isLoopback(address: string): boolean {
  return net.isIPv6(address) ? address === "::1" : /^127\.\d+\.\d+\.\d+$/.test(address);
}

/** An origin at which this machine reaches a listener bound to `address`. */
export function originOf(address: string, port: number): string {
  if (address === "0.0.0.0") return `http://127.0.0.1:${port}`;
  if (address === "::") return `http://[::1]:${port}`;
  return `http://${net.isIPv6(address) ? `[${address}]` : address}:${port}`;
}
