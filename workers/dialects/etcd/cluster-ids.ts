/** The ids by which clients know a cluster and its one member: 64 bits that follow from the namespace's name for ever. */
import { createHash } from "node:crypto";
import type { NamespaceClient } from "../../request/namespace-client.ts";

export interface ClusterIds {
  cluster: bigint;
  member: bigint;
}

/** There is one leader for ever, elected in the second term, as that of a fresh cluster is. */
export const RAFT_TERM = 2n;

const KEPT_MAX = 1000;
const kept = new Map<string, ClusterIds>();

export function clusterIdsOf({ namespace, datacenter }: Pick<NamespaceClient, "namespace" | "datacenter">): ClusterIds {
  const name = `${namespace}@${datacenter}`;
  let ids = kept.get(name);
  if (!ids) {
    if (kept.size >= KEPT_MAX) kept.clear();
    kept.set(name, (ids = { cluster: idOf(`cluster ${name}`), member: idOf(`member ${name}`) }));
  }
  return ids;
}

const idOf = (name: string): bigint => createHash("sha256").update(`holdfast etcd ${name}`).digest().readBigUInt64BE();
