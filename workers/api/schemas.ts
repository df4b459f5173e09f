/** The wire's shapes: what validates a request and what the OpenAPI document says are the same. */
import { z } from "@hono/zod-openapi";

const seconds = (what: string) => z.number().finite().min(0).describe(`${what}, in seconds`);
const names = z.record(z.string(), z.string());

export const locality = z.strictObject({
  region: z.string().optional(),
  zone: z.string().optional(),
  cluster: z.string().optional(),
});

const checkCommon = {
  id: z.string().optional().describe("Unique within the instance; default: its type"),
  name: z.string().optional(),
  notes: z.string().optional(),
  successThreshold: z.number().int().optional().describe("Results in a row to turn passing; default 1"),
  failureThreshold: z.number().int().optional().describe("Results in a row to turn critical; default 1"),
  warningThreshold: z
    .number()
    .int()
    .optional()
    .describe("Failures in a row to turn warning; default: failureThreshold"),
  deregisterAfter: seconds("Deregister the instance after it has been critical this long").nullish(),
  status: z.enum(["passing", "warning", "critical"]).optional().describe("Until the first result; default critical"),
  output: z.string().optional(),
};
const pulled = {
  interval: seconds("Between two runs").optional(),
  timeout: seconds("For one run").optional(),
};

const target = {
  host: z.string().optional().describe("Default: the instance's address"),
  port: z.number().int().optional().describe("Default: the instance's default port"),
};
const tls = z.boolean().optional();
const verified = {
  tls: tls.describe("Default: true for h2ping, false for grpc"),
  tlsSkipVerify: z.boolean().optional().describe("Any certificate will do"),
  tlsServerName: z.string().optional().describe("The name the certificate is for; default: the host"),
};

export const checkInput = z
  .discriminatedUnion("type", [
    z.strictObject({ type: z.literal("ttl"), ttl: seconds("Critical without a result for this long"), ...checkCommon }),
    z.strictObject({
      type: z.literal("http"),
      url: z.string(),
      method: z.string().optional(),
      headers: names.optional(),
      body: z.string().optional(),
      redirects: z.boolean().optional().describe("Follow redirects; default true"),
      ...pulled,
      ...checkCommon,
    }),
    z.strictObject({ type: z.literal("tcp"), tls, ...target, ...pulled, ...checkCommon }),
    z.strictObject({ type: z.literal("udp"), ...target, ...pulled, ...checkCommon }),
    z.strictObject({
      type: z.literal("grpc"),
      grpcService: z.string().optional().describe("The service asked about; default: the server"),
      ...verified,
      ...target,
      ...pulled,
      ...checkCommon,
    }),
    z.strictObject({ type: z.literal("h2ping"), ...verified, ...target, ...pulled, ...checkCommon }),
    z.strictObject({
      type: z.literal("script"),
      args: z.array(z.string()).describe("A command and its arguments, run by an agent that allows scripts"),
      ...pulled,
      ...checkCommon,
    }),
    z.strictObject({
      type: z.literal("alias"),
      node: z.string().optional(),
      instance: z.string().optional().describe("The id of an instance on that node; default: the node alone"),
      ...checkCommon,
    }),
    z.strictObject({ type: z.literal("status"), ...checkCommon }),
  ])
  .openapi("CheckInput");

/** One shape of all kinds, as the converter takes it. */
export type CheckInput = Partial<Record<"ttl" | "interval" | "timeout", number | undefined>> & {
  type: "ttl" | "http" | "tcp" | "udp" | "grpc" | "h2ping" | "script" | "alias" | "status";
  deregisterAfter?: number | null | undefined;
};

const instanceFields = {
  address: z.string().describe("An IP address or a host name"),
  port: z.number().int().nullish().describe("Short for ports.default"),
  ports: z.record(z.string(), z.number().int()).optional().describe("Ports by name"),
  node: z.string().optional().describe("The machine it runs on"),
  protocol: z.string().optional().describe("http (default), https, grpc, tcp"),
  weight: z.number().int().optional().describe("Share of the traffic, 0 to 65535; default 1"),
  warningWeight: z.number().int().optional().describe("The same while it is in warning; default: weight"),
  meshFor: z
    .string()
    .optional()
    .describe(
      "The service that the mesh reaches through it: as its proxy, or its own. Absent = it is outside the mesh",
    ),
  tags: z.array(z.string()).optional(),
  meta: names.optional(),
  locality: locality.optional(),
  adminState: z.enum(["up", "draining", "maintenance", "out_of_service"]).optional(),
  private: z.boolean().optional().describe("Its address is never shown outside its namespace"),
  ttl: seconds("Time to live without a heartbeat; without it the instance is persistent").nullish(),
  lease: z.string().optional().describe("A granted lease to live on, instead of a ttl"),
  checks: z.array(checkInput).optional(),
};

export const instanceInput = z.strictObject(instanceFields).openapi("InstanceInput");
export type InstanceInput = z.infer<typeof instanceInput>;

export const batchInput = z
  .strictObject({
    instances: z.array(z.strictObject({ service: z.string(), id: z.string(), ...instanceFields })).max(1000),
  })
  .openapi("InstanceBatch");

const { lease: _lease, ...patchable } = instanceFields;
export const instancePatch = z
  .strictObject({ ...patchable, meta: z.record(z.string(), z.string().nullable()) })
  .partial()
  .openapi("InstancePatch");

export const beat = z
  .strictObject({
    check: z.string().optional().describe("One check of type ttl; default: the ttl and all such checks"),
    status: z.enum(["passing", "warning", "critical"]).optional(),
    output: z.string().optional(),
  })
  .openapi("Heartbeat");

export const checkOutput = z
  .looseObject({
    id: z.string(),
    name: z.string(),
    type: z.enum(["ttl", "http", "tcp", "udp", "grpc", "h2ping", "script", "alias", "status"]),
    status: z.enum(["passing", "warning", "critical"]),
    output: z.string(),
    since: z.iso.datetime().describe("When the status last changed"),
  })
  .openapi("Check");

export const instanceOutput = z
  .object({
    service: z.string(),
    id: z.string(),
    node: z.string(),
    address: z.string(),
    port: z.number().int().nullable(),
    ports: z.record(z.string(), z.number().int()),
    protocol: z.string(),
    weight: z.number().int(),
    warningWeight: z.number().int().optional(),
    meshFor: z.string().optional(),
    virtualIp: z
      .string()
      .optional()
      .describe("By which callers mean the service in meshFor, whatever its instances are"),
    tags: z.array(z.string()),
    meta: names,
    locality: z.object({ region: z.string(), zone: z.string(), cluster: z.string() }),
    status: z.enum(["passing", "warning", "critical", "unknown"]),
    nodeStatus: z.enum(["passing", "warning", "critical", "unknown"]).describe("Of the node it runs on"),
    adminState: z.enum(["up", "draining", "maintenance", "out_of_service"]),
    ephemeral: z.boolean(),
    private: z.boolean(),
    suspect: z.boolean().describe("Overdue, and kept by self-preservation"),
    ttl: z.number().nullable(),
    checks: z.array(checkOutput),
    reach: z.string(),
    origin: z.string(),
    registeredAt: z.iso.datetime(),
    createRevision: z.number().int(),
    modRevision: z.number().int(),
  })
  .openapi("Instance");

export const nodeInput = z
  .strictObject({
    id: z.string().optional().describe("A UUID; default: the one it has"),
    address: z.string().describe("An IP address or a host name"),
    addresses: names.optional().describe("Further addresses by name: lan, wan"),
    meta: names.optional(),
    locality: locality.optional(),
    checks: z.array(checkInput).optional().describe("Default: those it has"),
  })
  .openapi("NodeInput");

export const nodeOutput = z
  .object({
    name: z.string(),
    id: z.string(),
    address: z.string(),
    addresses: names,
    meta: names,
    locality: z.object({ region: z.string(), zone: z.string(), cluster: z.string() }),
    status: z.enum(["passing", "warning", "critical", "unknown"]).describe("The worst of its checks"),
    checks: z.array(checkOutput),
    implicit: z.boolean().describe("Nobody registered it: it is known by its instances"),
    createRevision: z.number().int(),
    modRevision: z.number().int(),
  })
  .openapi("Node");

export const checkReport = z
  .strictObject({ status: z.enum(["passing", "warning", "critical"]), output: z.string().optional() })
  .openapi("CheckReport");

/** Whose check it is: an instance's, or, with an empty service and the node's key as id, a node's. */
const checkSubject = { service: z.string(), id: z.string() };

export const agentResult = z
  .strictObject({ ...checkSubject, check: z.string(), ...checkReport.shape })
  .openapi("AgentResult");

export const agentTask = z
  .object({ ...checkSubject, address: z.string().describe("Of the instance, or the node"), check: checkOutput })
  .openapi("AgentTask");

export const serviceOutput = z
  .object({
    name: z.string(),
    class: z.enum(["single", "balanced", "global"]),
    instanceCount: z.number().int(),
    healthyCount: z.number().int(),
    tags: z.array(z.string()),
    modRevision: z.number().int(),
  })
  .openapi("Service");

export const serviceDetail = serviceOutput
  .extend({ virtualIp: z.string().nullable().describe("It always means the service; null = it has none") })
  .openapi("ServiceDetail");

export const resolveOutput = z
  .object({
    name: z.string(),
    class: z.string(),
    revision: z.number().int().describe("Of the last change below the service; 0 when it is unknown"),
    selfPreservation: z.boolean(),
    instances: z.array(instanceOutput),
  })
  .openapi("Resolved");

export const recordOutput = z
  .object({
    key: z.string(),
    keyBase64: z.string().optional().describe("Only when the key is not UTF-8"),
    value: z.string().optional().describe("base64"),
    createRevision: z.number().int(),
    modRevision: z.number().int(),
    version: z.number().int(),
    lease: z.string().nullable(),
  })
  .openapi("KeyValue");

const keyFields = { key: z.string().optional(), keyBase64: z.string().optional() };
const rangeFields = {
  ...keyFields,
  prefix: z.boolean().optional().describe("All keys that begin so"),
};

const compare = z.strictObject({
  ...rangeFields,
  target: z.enum(["value", "version", "createRevision", "modRevision", "lease"]),
  operator: z.enum(["=", "!=", "<", ">"]),
  operand: z.union([z.string(), z.number()]).optional(),
  operandBase64: z.string().optional(),
});

const putOperation = z.strictObject({
  type: z.literal("put"),
  ...keyFields,
  value: z.string().optional(),
  valueBase64: z.string().optional(),
  lease: z.string().optional(),
  previous: z.boolean().optional(),
});
const deleteOperation = z.strictObject({ type: z.literal("delete"), ...rangeFields, previous: z.boolean().optional() });
const rangeOperation = z.strictObject({
  type: z.literal("range"),
  ...rangeFields,
  limit: z.number().int().min(1).optional(),
  keys: z.boolean().optional().describe("Without values"),
  reverse: z.boolean().optional(),
});

export type TxnWireOperation =
  | z.infer<typeof putOperation>
  | z.infer<typeof deleteOperation>
  | z.infer<typeof rangeOperation>
  | ({ type: "txn" } & TxnWire);
export interface TxnWire {
  compare?: z.infer<typeof compare>[] | undefined;
  then?: TxnWireOperation[] | undefined;
  else?: TxnWireOperation[] | undefined;
}

const operation: z.ZodType<TxnWireOperation> = z
  .lazy(() => z.union([putOperation, deleteOperation, rangeOperation, nestedTxn]))
  .openapi("TxnOperation", { type: "object" });
const txnFields = {
  compare: z.array(compare).max(128).optional(),
  then: z.array(operation).max(128).optional(),
  else: z.array(operation).max(128).optional(),
};
const nestedTxn = z.strictObject({ type: z.literal("txn"), ...txnFields });
export const txnInput = z.strictObject(txnFields).openapi("Txn");

export const txnOutput = z
  .object({ succeeded: z.boolean(), results: z.array(z.looseObject({ type: z.string() })) })
  .openapi("TxnResult");

export const leaseInput = z
  .strictObject({ ttl: seconds("Time to live"), id: z.string().optional().describe("1 to 2^63-1, in decimal") })
  .openapi("LeaseInput");

export const settings = z.strictObject({
  selfPreservation: z.strictObject({ threshold: z.number(), minimum: z.number().int() }).partial().optional(),
  history: z.strictObject({ revisions: z.number().int(), seconds: z.number() }).partial().optional(),
  audit: z.strictObject({ entries: z.number().int(), seconds: z.number() }).partial().optional(),
  policy: z
    .strictObject({
      default: z.enum(["allow", "deny"]).describe("What holds where no policy of a caller says anything"),
      keyList: z.boolean().describe("Reading keys as a range takes the right to list them, not only that to read each"),
    })
    .partial()
    .optional(),
});

export const problem = z
  .looseObject({
    type: z.string(),
    title: z.string(),
    status: z.number().int(),
    code: z.string().describe("Stable: the same mistake has the same code"),
    detail: z.string(),
    field: z.string().optional().describe("The field or parameter at fault"),
  })
  .openapi("Problem");
