/** The paths of the JSON gateway, below its prefix. Source: the HTTP annotations of etcd's `.proto` files. */
import type { DescMethod } from "@bufbuild/protobuf";
import { Auth, Cluster, KV, Lease, Maintenance, Watch } from "./gen/etcdserverpb_pb.js";
import { Election } from "./gen/v3electionpb_pb.js";
import { Lock } from "./gen/v3lockpb_pb.js";
import { METHODS } from "./methods.ts";
import type { Method } from "./service.ts";
import { nameOf } from "./service.ts";

const kv = KV.method;
const lease = Lease.method;
const cluster = Cluster.method;
const maintenance = Maintenance.method;
const auth = Auth.method;
const election = Election.method;

const PATHS: Record<string, DescMethod> = {
  "/kv/range": kv.range,
  "/kv/put": kv.put,
  "/kv/deleterange": kv.deleteRange,
  "/kv/txn": kv.txn,
  "/kv/compaction": kv.compact,
  "/watch": Watch.method.watch,
  "/lease/grant": lease.leaseGrant,
  "/lease/revoke": lease.leaseRevoke,
  "/lease/keepalive": lease.leaseKeepAlive,
  "/lease/timetolive": lease.leaseTimeToLive,
  "/lease/leases": lease.leaseLeases,
  "/kv/lease/revoke": lease.leaseRevoke,
  "/kv/lease/timetolive": lease.leaseTimeToLive,
  "/kv/lease/leases": lease.leaseLeases,
  "/cluster/member/add": cluster.memberAdd,
  "/cluster/member/remove": cluster.memberRemove,
  "/cluster/member/update": cluster.memberUpdate,
  "/cluster/member/list": cluster.memberList,
  "/cluster/member/promote": cluster.memberPromote,
  "/maintenance/alarm": maintenance.alarm,
  "/maintenance/status": maintenance.status,
  "/maintenance/defragment": maintenance.defragment,
  "/maintenance/hash": maintenance.hash,
  "/maintenance/hashkv": maintenance.hashKV,
  "/maintenance/snapshot": maintenance.snapshot,
  "/maintenance/transfer-leadership": maintenance.moveLeader,
  "/maintenance/downgrade": maintenance.downgrade,
  "/auth/enable": auth.authEnable,
  "/auth/disable": auth.authDisable,
  "/auth/status": auth.authStatus,
  "/auth/authenticate": auth.authenticate,
  "/auth/user/add": auth.userAdd,
  "/auth/user/get": auth.userGet,
  "/auth/user/list": auth.userList,
  "/auth/user/delete": auth.userDelete,
  "/auth/user/changepw": auth.userChangePassword,
  "/auth/user/grant": auth.userGrantRole,
  "/auth/user/revoke": auth.userRevokeRole,
  "/auth/role/add": auth.roleAdd,
  "/auth/role/get": auth.roleGet,
  "/auth/role/list": auth.roleList,
  "/auth/role/delete": auth.roleDelete,
  "/auth/role/grant": auth.roleGrantPermission,
  "/auth/role/revoke": auth.roleRevokePermission,
  "/lock/lock": Lock.method.lock,
  "/lock/unlock": Lock.method.unlock,
  "/election/campaign": election.campaign,
  "/election/proclaim": election.proclaim,
  "/election/leader": election.leader,
  "/election/observe": election.observe,
  "/election/resign": election.resign,
};

const AT: ReadonlyMap<string, Method | undefined> = new Map(
  Object.entries(PATHS).map(([path, method]) => [path, METHODS.get(nameOf(method))]),
);

const GATEWAY = /^\/v3(?:alpha|beta)?(\/[^?]*)/;

/** The path below the gateway's prefix; undefined: it is none of the gateway's. */
export const belowGateway = (pathAndQuery: string): string | undefined => GATEWAY.exec(pathAndQuery)?.[1];

export const methodAt = (below: string): Method | undefined => AT.get(below);
