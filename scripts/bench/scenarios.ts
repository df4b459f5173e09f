/** All benchmarks by name. */
import type { Row } from "./measure.ts";
import { consulBlocking, consulHealth, consulHealthStale } from "./scenarios/consul.ts";
import { leasesExpiring, lockHandover, locksHeld } from "./scenarios/coordination.ts";
import { etcdGrpcPut, etcdPut, etcdRange } from "./scenarios/etcd.ts";
import { consulLock } from "./scenarios/locks.ts";
import { queue, queueKill } from "./scenarios/queues.ts";
import { kvPut, register, resolve, route } from "./scenarios/requests.ts";
import { memory, overload, start } from "./scenarios/limits.ts";
import { changeVisible, heartbeats, watchFanout } from "./scenarios/registry.ts";

export interface BenchOptions {
  /** Of one round of one side. */
  seconds: number;
}

export type Scenario = (options: BenchOptions) => Promise<Row[]>;

export const scenarios: Record<string, Scenario> = {
  start,
  resolve,
  "kv-put": kvPut,
  register,
  route,
  heartbeats,
  "watch-fanout": watchFanout,
  "change-visible": changeVisible,
  "consul-health-stale": consulHealthStale,
  "consul-health": consulHealth,
  "consul-blocking": consulBlocking,
  "consul-lock": consulLock,
  "lock-handover": lockHandover,
  "locks-held": locksHeld,
  queue,
  "queue-kill": queueKill,
  "leases-expiring": leasesExpiring,
  "etcd-put": etcdPut,
  "etcd-range": etcdRange,
  "etcd-grpc-put": etcdGrpcPut,
  overload,
  memory,
};
