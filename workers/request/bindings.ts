/** What the Worker is given: its objects, and its settings as text. */
import type { Directory } from "../../objects/directory.ts";
import type { EgressEnv } from "../../objects/egress.ts";
import type { Prober } from "../../objects/prober.ts";
import type { Namespace } from "../hosted/namespace.ts";

export interface Bindings extends EgressEnv {
  NAMESPACE: DurableObjectNamespace<Namespace>;
  DIRECTORY: DurableObjectNamespace<Directory>;
  PROBER: DurableObjectNamespace<Prober>;
  /** A secret. Without it, and without HOLDFAST_OPEN, nothing is answered. */
  HOLDFAST_ROOT_TOKEN?: string;
  /** `1`: no token needed. Only `serve` on loopback sets it. */
  HOLDFAST_OPEN?: string;
  /** `1`: this Worker runs on one machine, where no platform vouches for a client's address. */
  HOLDFAST_LOCAL?: string;
  /** `dc1=weur,dc2=enam`: all there are, with hints where their objects are made (datacenter.ts). */
  HOLDFAST_DATACENTERS?: string;
  /** The one that this edge answers for; absent = the first of them. */
  HOLDFAST_DATACENTER?: string;
  /** The node that this machine is; absent = `holdfast`. */
  HOLDFAST_NODE?: string;
  /** `1`: the agent of this machine runs script checks. */
  HOLDFAST_ENABLE_SCRIPT_CHECKS?: string;
  /** `1`: failpoints may be asked for by header. */
  HOLDFAST_TEST?: string;
}
