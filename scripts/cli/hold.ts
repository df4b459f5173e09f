/**
 * Keeps an instance registered for as long as it is wanted: renews its lease, and registers it anew when the edge has
 * forgotten it. Knows no terminal and no signals.
 */
import { ApiError, type HoldfastClient, type InstanceInput } from "./client.ts";
import { EXIT, exitCodeOf } from "./exit.ts";
import { waited } from "./pause.ts";

export interface HoldOptions {
  client: HoldfastClient;
  service: string;
  id: string;
  /** With a `ttl`. */
  instance: InstanceInput & { ttl: number };
  /** Ends the holding. The instance stays registered: who asked for the end decides what becomes of it. */
  signal: AbortSignal;
  /** Something changed: the edge was lost, found again, or had forgotten the instance. */
  onNote: (note: string) => void;
}

/** Three tries fit into one lease. */
const RENEWALS_PER_TTL = 3;
const INTERVAL_MS_MAX = 60_000;

/**
 * Renews an instance that was just registered until the signal. Rejects when the edge refuses it for good (token,
 * limits); an edge that is out of reach is waited for.
 */
export async function hold(options: HoldOptions): Promise<void> {
  const { client, service, id, instance, signal } = options;
  const intervalMs = Math.min((instance.ttl * 1000) / RENEWALS_PER_TTL, INTERVAL_MS_MAX);
  let isLost = false;
  while (await waited(intervalMs, signal)) {
    try {
      await renewOrRegister(options);
      if (isLost) options.onNote(`${client.address} is back; ${service}/${id} is held again`);
      isLost = false;
    } catch (error) {
      if (!(error instanceof ApiError) || exitCodeOf(error.code, error.status) !== EXIT.unavailable) throw error;
      if (!isLost) options.onNote(`${error.message}; trying on`);
      isLost = true;
    }
  }
}

async function renewOrRegister({ client, service, id, instance, onNote }: HoldOptions): Promise<void> {
  try {
    await client.heartbeat(service, id);
  } catch (error) {
    const isForgotten = error instanceof ApiError && (error.code === "not_found" || error.code === "expired");
    if (!isForgotten) throw error;
    await client.register(service, id, instance);
    onNote(`${service}/${id} had lapsed and is registered again`);
  }
}
