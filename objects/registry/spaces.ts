/** The registry's records: what is kept, and the indexes over it. */
import type { Instance, Node, ServiceRecord } from "../model.ts";
import { JsonSpace } from "../store/txn.ts";

type Mark = Record<never, never>;

export const serviceSpace = new JsonSpace<ServiceRecord>("service");
/** Service, instance id. */
export const instanceSpace = new JsonSpace<Instance>("instance");
/** Node key. */
export const nodeSpace = new JsonSpace<Node>("node");
/** Node id → its name. */
export const nodeIdSpace = new JsonSpace<{ name: string }>("node_id");
/** Node key, instance id, service: the instances on a node. */
export const memberSpace = new JsonSpace<Mark>("member");
/** Service, and the service and id of an instance that the mesh reaches it by. */
export const meshSpace = new JsonSpace<Mark>("mesh");
/** Subject: who has checks that the prober runs. */
export const pulledSpace = new JsonSpace<Mark>("pulled");
/** Node key, subject: who has checks that the node's agent runs. */
export const agentCheckSpace = new JsonSpace<Mark>("agent_check");
/** Node key, check id, subject: whose check it is. */
export const checkIdSpace = new JsonSpace<Mark>("check_id");
/** Node key and instance id of the target, subject and check id: who is as well as the target is. */
export const aliasSpace = new JsonSpace<Mark>("alias");

/** Node names are one in any case. */
export const nodeKey = (name: string): string => name.toLowerCase();

/** Who has checks: an instance, or a node, whose `service` is empty and whose `id` is its key. */
export interface CheckSubject {
  service: string;
  id: string;
}

export const nodeSubject = (name: string): CheckSubject => ({ service: "", id: nodeKey(name) });
