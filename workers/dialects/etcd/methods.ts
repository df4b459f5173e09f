/** Every method that is served, by its full name: what the gateway and the gRPC tunnel call. */
import { Auth, Cluster, KV, Lease, Maintenance, Watch } from "./gen/etcdserverpb_pb.js";
import { Health } from "./gen/health_pb.js";
import { Election } from "./gen/v3electionpb_pb.js";
import { Lock } from "./gen/v3lockpb_pb.js";
import type { MethodTable } from "./service.ts";
import { implement } from "./service.ts";
import { auth } from "./services/auth.ts";
import { cluster } from "./services/cluster.ts";
import { election } from "./services/election.ts";
import { health } from "./services/health.ts";
import { kv } from "./services/kv.ts";
import { lease } from "./services/lease.ts";
import { lock } from "./services/lock.ts";
import { maintenance } from "./services/maintenance.ts";
import { watch } from "./services/watch.ts";

export const METHODS: MethodTable = new Map(
  [
    implement(KV, kv),
    implement(Lease, lease),
    implement(Cluster, cluster),
    implement(Maintenance, maintenance),
    implement(Auth, auth),
    implement(Watch, watch),
    implement(Lock, lock),
    implement(Election, election),
    implement(Health, health),
  ].flat(),
);
