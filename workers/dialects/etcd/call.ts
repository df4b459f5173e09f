/**
 * One call of a method and what handlers need: the namespace, who asks, what they may do, and the header of every answer.
 *
 * Rights are asked for with `authorize`, each part of a composite as if it stood alone. It is never kept by a call: a
 * stream that asks again gets the rights of then.
 */
import type { MessageInitShape } from "@bufbuild/protobuf";
import type { CommandInput, CommandName, CommandOutput } from "../../../objects/commands.ts";
import type { Caller } from "../../../objects/model.ts";
import { identify, identifyKept } from "../../request/authorizer.ts";
import type { Authorizer } from "../../request/authorizer.ts";
import type { Bindings } from "../../request/bindings.ts";
import type { Asking } from "../../request/caller.ts";
import { sourceOf } from "../../request/caller.ts";
import { datacenterOf } from "../../request/datacenter.ts";
import type { Line } from "../../request/line.ts";
import type { Answer } from "../../request/namespace-client.ts";
import { NamespaceClient } from "../../request/namespace-client.ts";
import type { Demand } from "../../request/permission.ts";
import { assertDemands } from "../../request/permission.ts";
import { authorizerInOpenMode, prolongInUse } from "./auth/logins.ts";
import type { ClusterIds } from "./cluster-ids.ts";
import { clusterIdsOf, RAFT_TERM } from "./cluster-ids.ts";
import { credentialOf } from "./credential.ts";
import { requestTooLarge, userNameIsEmpty } from "./errors.ts";
import type { ResponseHeaderSchema } from "./gen/etcdserverpb_pb.js";

/** etcd's default for a request that writes. */
export const REQUEST_BYTES_MAX = 1_572_864;

/** What a call carries besides its message: of HTTP its headers, of gRPC those of the call. */
export type Metadata = Asking["headers"];

/** Aborted when the caller is gone, or has called it off. It may be made when it is first asked for. */
interface Ending {
  readonly signal: AbortSignal;
}

export interface CallParts {
  /** What brought it: the HTTP request, or the one that opened the tunnel. */
  request: Asking & Ending;
  metadata: Metadata;
  env: Bindings;
  namespace: string;
  /** Absent: it ends with the request. */
  ending?: Ending;
  /** Where calls that share a socket wait for their places. */
  line?: Line;
}

export type Header = MessageInitShape<typeof ResponseHeaderSchema>;

export interface Identity {
  caller: Caller;
  authorizer: Authorizer;
}

export class Call {
  readonly env: Bindings;
  readonly namespace: string;
  readonly client: NamespaceClient;
  readonly ids: ClusterIds;
  readonly metadata: Metadata;
  readonly request: Asking;
  readonly #ending: Ending;
  /** Of the request as a protobuf message; set where it is large. */
  messageBytes = 0;

  constructor({ request, metadata, env, namespace, ending = request, line }: CallParts) {
    this.request = request;
    this.metadata = metadata;
    this.env = env;
    this.namespace = namespace;
    this.#ending = ending;
    this.client = new NamespaceClient(env, namespace, datacenterOf(env), line);
    this.ids = clusterIdsOf(this.client);
  }

  get signal(): AbortSignal {
    return this.#ending.signal;
  }

  /** As every answer begins. A fresh store has revision 1, before anything was written. */
  header(revision: number): Header {
    return { ...this.headerWithoutRevision, revision: BigInt(Math.max(1, revision)) };
  }

  get headerWithoutRevision(): Header {
    return { clusterId: this.ids.cluster, memberId: this.ids.member, raftTerm: RAFT_TERM };
  }

  /** Who asks, as of now. Codes: `unauthenticated`, `permission_denied`, `unavailable`. */
  async identify(): Promise<Identity> {
    const { request, env, namespace } = this;
    const token = credentialOf(this.metadata);
    const isOpen = env.HOLDFAST_OPEN === "1";
    const authorizer =
      (isOpen ? await authorizerInOpenMode(request, token, env, namespace) : null) ??
      identifyKept(request, token, env, namespace) ??
      (await identify(request, token, env, { namespace, dialect: DIALECT })).authorizer;
    const source = sourceOf(request, env);
    if (token !== null) prolongInUse(token, authorizer, { env, namespace, source });
    return { caller: callerNamed(authorizer.principal, source), authorizer };
  }

  /** Asks for all of it; the demands are only made for who may not do everything. Codes: as `identify`. */
  async authorize(demands: () => readonly Demand[] | Promise<readonly Demand[]>): Promise<Caller> {
    const { caller, authorizer } = await this.identify();
    if (authorizer.isUnbounded) return caller;
    const asked = await demands();
    // What demands nothing, an empty transaction, is still not for nobody.
    if (asked.length === 0 && authorizer.principal === "anonymous") throw userNameIsEmpty();
    assertDemands(authorizer, asked);
    return caller;
  }

  /** Where any caller will do who is one. Codes: as `identify`. */
  async assertKnown(): Promise<void> {
    const { authorizer } = await this.identify();
    if (!authorizer.isUnbounded && authorizer.principal === "anonymous") throw userNameIsEmpty();
  }

  async execute<N extends CommandName>(
    command: N,
    input: CommandInput<N>,
    demands: () => readonly Demand[] | Promise<readonly Demand[]>,
  ): Promise<Answer<CommandOutput<N>>> {
    const caller = await this.authorize(demands);
    return this.client.execute(command, input, { caller });
  }

  /** Of requests that write; reads may be as large as a message. */
  assertRequestSize(): void {
    if (this.messageBytes > REQUEST_BYTES_MAX) throw requestTooLarge();
  }
}

const DIALECT = "etcd";

let last: Caller = { principal: "", source: "", dialect: DIALECT };

/** The same object as before where it is the same caller: of calls that travel together it is then told once. */
function callerNamed(principal: string, source: string): Caller {
  if (last.principal !== principal || last.source !== source) last = { principal, source, dialect: DIALECT };
  return last;
}
