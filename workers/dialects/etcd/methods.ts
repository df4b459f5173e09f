/** Every method that is served, by its full name: what the gateway and the gRPC tunnel call. */
import { KV } from "./gen/etcdserverpb_pb.js";
import type { MethodTable } from "./service.ts";
import { implement } from "./service.ts";
import { kv } from "./services/kv.ts";

export const METHODS: MethodTable = new Map([implement(KV, kv)].flat());
