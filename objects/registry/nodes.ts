/** Nodes: the machines that instances run on, with addresses, metadata and checks of their own. */
import { dropCoordinates } from "../coordinates/coordinates.ts";
import { HoldfastError, invalid } from "../errors.ts";
import type { Locality, Node, RegisteredInstance, RegisteredNode } from "../model.ts";
import type { Context, Reader, StoredRecord, Txn } from "../store/txn.ts";
import type { CheckSpec } from "./check-spec.ts";
import { checksFrom } from "./check-spec.ts";
import {
  assertAddress,
  assertName,
  assertText,
  assertTextMap,
  META_PAIRS_MAX,
  META_VALUE_CHARACTERS_MAX,
  NAME_CHARACTERS_MAX,
} from "./limits.ts";
import { registered } from "./registry.ts";
import { instanceSpace, memberSpace, nodeIdSpace, nodeKey, nodeSpace } from "./spaces.ts";
import { localityFrom } from "./spec.ts";
import { membersOf, putNodeRecord, removeInstance, removeNodeRecord } from "./write.ts";

export interface NodeSpec {
  name: string;
  /** A UUID; absent or "" = the one it has. */
  id?: string | undefined;
  address: string;
  addresses?: Record<string, string> | undefined;
  meta?: Record<string, string> | undefined;
  locality?: Partial<{ [field in keyof Locality]: string | undefined }> | undefined;
  /** Absent = those it has. */
  checks?: CheckSpec[] | undefined;
  extra?: Record<string, unknown> | undefined;
}

const UUID = /^[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}$/;
const ADDRESSES_MAX = 64;

/**
 * Registers a node, or replaces its registration. An id moves with its node to another name; a name whose node has
 * another id is refused. The same registration again is no change. Codes: `invalid_argument`, `already_exists`.
 */
export function putNode(txn: Txn, context: Context, spec: NodeSpec): void {
  const { name, address, addresses = {}, meta = {}, extra = {} } = spec;
  assertName("node", name);
  assertAddress("address", address);
  assertTextMap("addresses", addresses, ADDRESSES_MAX, NAME_CHARACTERS_MAX);
  assertTextMap("meta", meta, META_PAIRS_MAX, META_VALUE_CHARACTERS_MAX);
  const before = nodeSpace.get(txn, nodeKey(name));
  const id = (spec.id ?? "").toLowerCase() || (before?.id ?? "");
  claimId(txn, context, name, id, before);
  const node: Node = {
    name: before?.implicit === false ? before.name : name,
    id,
    address,
    addresses,
    meta,
    locality: localityFrom(spec.locality),
    status: before?.status ?? "passing",
    checks: spec.checks
      ? checksFrom(spec.checks, { address, ports: {} }, context.now, before?.checks ?? []).map((check) => ({
          ...check,
          // A node does not end by a check.
          deregisterAfterMs: null,
        }))
      : (before?.checks ?? []),
    implicit: false,
    extra,
  };
  if (before && JSON.stringify(before) === JSON.stringify(node)) return;
  putNodeRecord(txn, context.now, before, node);
}

/** Registers a node that nobody has registered yet. */
export function ensureNode(txn: Txn, context: Context, spec: NodeSpec): void {
  const before = nodeSpace.get(txn, nodeKey(String(spec.name)));
  if (!before || before.implicit) putNode(txn, context, spec);
}

/** Removes a node with everything on it. False when there was none. */
export function deleteNode(txn: Txn, context: Context, name: string): boolean {
  assertText("node", name, NAME_CHARACTERS_MAX);
  for (const { service, id } of membersOf(txn, name)) {
    const instance = instanceSpace.get(txn, service, id);
    if (instance) removeInstance(txn, context.now, instance);
  }
  const node = nodeSpace.get(txn, nodeKey(name));
  if (!node) return false;
  if (node.id !== "") nodeIdSpace.delete(txn, node.id);
  removeNodeRecord(txn, context.now, node);
  dropCoordinates(txn, name);
  return true;
}

function claimId(txn: Txn, context: Context, name: string, id: string, before: Node | undefined): void {
  if (id === "") return;
  if (!UUID.test(id)) throw invalid("node.id", "must be a UUID");
  if (before && before.id !== "" && before.id !== id) {
    throw new HoldfastError("already_exists", `node "${before.name}" has another id`, {
      field: "node.id",
      node: before.name,
      id: before.id,
    });
  }
  const owner = nodeIdSpace.get(txn, id)?.name;
  if (owner !== undefined && nodeKey(owner) !== nodeKey(name)) deleteNode(txn, context, owner);
  if (owner !== name) nodeIdSpace.put(txn, [id], { name });
}

export function registeredNode(record: StoredRecord): RegisteredNode {
  const { createRevision, modRevision } = record;
  return { ...nodeSpace.decode(record), createRevision, modRevision };
}

export function nodeNamed(reader: Reader, name: string): RegisteredNode | undefined {
  const record = nodeSpace.record(reader, nodeKey(name));
  return record && registeredNode(record);
}

const ID_PREFIX_MIN = 4;

/** By name, by id, or by the beginning of an id that only one node has. */
export function findNode(reader: Reader, { name }: { name: string }): RegisteredNode | null {
  assertText("node", name, NAME_CHARACTERS_MAX);
  const named = nodeNamed(reader, name);
  if (named || name.length < ID_PREFIX_MIN || !/^[0-9a-f-]+$/i.test(name)) return named ?? null;
  const from = nodeIdSpace.key(name.toLowerCase());
  const found = reader.range(nodeIdSpace.name, { from, to: nodeIdSpace.key(`${name.toLowerCase()}~`) }, { limit: 2 });
  return found.length === 1 ? (nodeNamed(reader, nodeIdSpace.decode(found[0]!).name) ?? null) : null;
}

const PAGE = 2500;

export interface NodePage {
  nodes: RegisteredNode[];
  /** The key after which to continue; null at the end. */
  after: string | null;
}

export function listNodes(reader: Reader, { after = null }: { after?: string | null }): NodePage {
  const records = nodeSpace.under(reader, [], {
    limit: PAGE + 1,
    ...(after !== null && { after: nodeSpace.key(after) }),
  });
  const page = records.slice(0, PAGE);
  return {
    nodes: page.map(registeredNode),
    after: records.length > PAGE ? nodeSpace.parts(page.at(-1)!.key)[0]! : null,
  };
}

export interface NodeInstances {
  instances: RegisteredInstance[];
  /** Continue with it; null at the end. */
  after: { service: string; id: string } | null;
}

export interface NodeInstancesInput {
  name: string;
  after?: NodeInstances["after"];
}

/** The instances on a node; "" = those that named none. */
export function instancesOn(reader: Reader, { name, after = null }: NodeInstancesInput): NodeInstances {
  if (name === "") return nodelessInstances(reader, after);
  const node = nodeKey(name);
  const records = memberSpace.under(reader, [node], {
    limit: PAGE + 1,
    ...(after && { after: memberSpace.key(node, after.id, after.service) }),
  });
  const page = records.slice(0, PAGE).map(({ key }) => {
    const [, id = "", service = ""] = memberSpace.parts(key);
    return { service, id };
  });
  return {
    instances: page.flatMap(({ service, id }) => {
      const record = instanceSpace.record(reader, service, id);
      return record ? [registered(instanceSpace.decode(record), record)] : [];
    }),
    after: records.length > PAGE ? page.at(-1)! : null,
  };
}

function nodelessInstances(reader: Reader, after: NodeInstances["after"]): NodeInstances {
  const records = instanceSpace.under(reader, [], {
    limit: PAGE + 1,
    ...(after && { after: instanceSpace.key(after.service, after.id) }),
  });
  const page = records.slice(0, PAGE).map((record) => registered(instanceSpace.decode(record), record));
  const last = page.at(-1);
  return {
    instances: page.filter(({ node }) => node === ""),
    after: records.length > PAGE ? { service: last!.service, id: last!.id } : null,
  };
}
