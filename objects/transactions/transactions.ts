/**
 * Changes of keys and of the registry as one: all of them, or none; with reads of both between them.
 *
 * Every operation is tried, so that the answer tells all that fail, each with its place and why.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { ErrorValue } from "../errors.ts";
import type { KeyEntry } from "../kv/entries.ts";
import type { KeyRead, KeyWrite } from "../kv/operations.ts";
import { readKeys, writeKeys } from "../kv/operations.ts";
import { RANGE_BYTES_MAX } from "../kv/key.ts";
import { TXN_OPERATIONS_MAX } from "../kv/txn.ts";
import type { CheckSpec } from "../registry/check-spec.ts";
import type { RegisteredInstance, RegisteredNode } from "../model.ts";
import { findNode } from "../registry/nodes.ts";
import type { InstanceName } from "../registry/registry.ts";
import type { RegistryStep, StepResult } from "../registry/steps.ts";
import { applyStep, instancesNamed } from "../registry/steps.ts";
import type { OwnedCheck } from "../registry/views.ts";
import { checksNamed } from "../registry/views.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { OverlayTxn } from "../store/txn.ts";

export type RegistryRead =
  /** By name or id. */
  | { type: "node.get"; name: string }
  /** The first that is there. */
  | { type: "instance.get"; node: string; ids: string[] }
  | { type: "check.get"; node: string; check: string };

/** Checks by their id on a node, whosoever they are. */
export type CheckWrite =
  /** Of the first of these instances that is there; of the node itself when none is named. */
  | { type: "check.set"; node: string; instances: string[]; check: CheckSpec; cas?: number | undefined }
  | { type: "check.remove"; node: string; check: string; cas?: number | undefined };

export type ReadOperation = KeyRead | RegistryRead;
export type Operation = KeyWrite | RegistryStep | CheckWrite | ReadOperation;

/** What one operation wrote or read. */
export interface OperationResult {
  keys?: KeyEntry[];
  step?: StepResult;
  node?: RegisteredNode;
  instance?: RegisteredInstance;
  check?: OwnedCheck;
}

export interface Failure {
  /** The operation's place. */
  index: number;
  error: ErrorValue;
}

export interface Transacted {
  /** One for each operation; empty when there are failures. */
  results: OperationResult[];
  /** When there are any, nothing has happened. */
  failures: Failure[];
}

/** Codes: `invalid_argument`; what single operations throw is told as their failure. */
export function transact(txn: Txn, context: Context, operations: Operation[]): Transacted {
  const attempt = new OverlayTxn(txn, txn.revision, txn);
  const outcome = tryAll(operations, (operation) => apply(attempt, context, operation));
  if (outcome.failures.length > 0) return outcome;
  for (const { space, key, after } of attempt.changes()) {
    if (after) txn.put(space, key, after.value, after.lease);
    else txn.delete(space, key);
  }
  return outcome;
}

/** The same for operations that change nothing. */
export function readTogether(reader: Reader, operations: ReadOperation[]): Transacted {
  return tryAll(operations, (operation) => read(reader, operation));
}

function tryAll<O>(operations: O[], act: (operation: O) => OperationResult): Transacted {
  if (operations.length > TXN_OPERATIONS_MAX) {
    throw invalid("operations", `must have at most ${TXN_OPERATIONS_MAX} entries`);
  }
  const results: OperationResult[] = [];
  const failures: Failure[] = [];
  let bytes = 0;
  for (const [index, operation] of operations.entries()) {
    try {
      const result = act(operation);
      for (const { key, value } of result.keys ?? []) bytes += key.length + value.length;
      if (bytes > RANGE_BYTES_MAX) throw new HoldfastError("too_large", "more than one answer carries");
      results.push(result);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      failures.push({ index, error: error.toValue() });
    }
  }
  return failures.length > 0 ? { results: [], failures } : { results, failures };
}

function apply(txn: Txn, context: Context, operation: Operation): OperationResult {
  switch (operation.type) {
    case "key.set":
    case "key.acquire":
    case "key.release":
    case "key.delete":
    case "key.deleteTree":
      return { keys: writeKeys(txn, context, operation) };
    case "node.put":
    case "node.ensure":
    case "node.delete":
    case "instance.put":
    case "instance.delete":
    case "check.put":
    case "check.delete":
    case "check.report":
      return { step: applyStep(txn, context, operation) };
    case "check.set":
      return setCheck(txn, context, operation);
    case "check.remove": {
      const [found] = checksNamed(txn, operation);
      const { check, cas } = operation;
      const owner = found && found.service !== "" ? nameOf(found) : { node: operation.node };
      return { step: applyStep(txn, context, { type: "check.delete", owner, check, cas }) };
    }
    default:
      return read(txn, operation);
  }
}

function setCheck(txn: Txn, context: Context, operation: CheckWrite & { type: "check.set" }): OperationResult {
  const { node, instances, check, cas } = operation;
  const owner = instances.length === 0 ? { node } : nameOf(firstInstance(txn, node, instances));
  const step = applyStep(txn, context, { type: "check.put", owner, check, cas });
  const [written] = checksNamed(txn, { node, check: check.id ?? "" });
  return { step, ...(written && { check: written }) };
}

const nameOf = ({ service, id }: InstanceName): InstanceName => ({ service, id });

function firstInstance(reader: Reader, node: string, ids: string[]): RegisteredInstance {
  for (const id of ids) {
    const [instance] = instancesNamed(reader, node, id);
    if (instance) return instance;
  }
  throw absent("instance");
}

function read(reader: Reader, operation: ReadOperation): OperationResult {
  switch (operation.type) {
    case "node.get": {
      const node = findNode(reader, operation);
      if (!node) throw absent("node");
      return { node };
    }
    case "instance.get":
      return { instance: firstInstance(reader, operation.node, operation.ids) };
    case "check.get": {
      const [check] = checksNamed(reader, operation);
      if (!check) throw absent("check");
      return { check };
    }
    default:
      return { keys: readKeys(reader, operation) };
  }
}

const absent = (what: string): HoldfastError => new HoldfastError("not_found", `there is no such ${what}`, { what });
