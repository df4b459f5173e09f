/**
 * Several changes of the registry as one: all of them, or none.
 *
 * Each step may demand a revision (`cas`) of what it changes. When steps fail, the error tells the first of them by its
 * place, and nothing has happened.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { Check, HealthStatus, RegisteredInstance, RegisteredNode } from "../model.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import type { CheckSpec } from "./check-spec.ts";
import { assertOutput, checksFrom } from "./check-spec.ts";
import { CHECKS_MAX } from "./limits.ts";
import { deleteNode, ensureNode, nodeNamed, putNode } from "./nodes.ts";
import type { NodeSpec } from "./nodes.ts";
import { deregister, register, registered, within } from "./registry.ts";
import type { CheckSubject } from "./spaces.ts";
import { instanceSpace, memberSpace, nodeKey, nodeSpace, nodeSubject } from "./spaces.ts";
import type { InstanceSpec } from "./spec.ts";
import { aliasState, checksOf, putChecks, setCheck } from "./write.ts";

export type CheckOwner = { node: string } | { service: string; id: string };

/** Only if what is changed is at this revision; 0 = only if it does not exist. */
interface Compared {
  cas?: number | undefined;
}

export type RegistryStep =
  | ({ type: "node.put"; node: NodeSpec } & Compared)
  | { type: "node.ensure"; node: NodeSpec }
  | ({ type: "node.delete"; name: string } & Compared)
  /** An instance of the same id on the same node under another service name is replaced by it. */
  | ({
      type: "instance.put";
      instance: InstanceSpec;
      /** Checks that the registration does not name stay. */
      keepChecks?: boolean;
    } & Compared)
  | ({ type: "instance.delete"; node: string; id: string } & Compared)
  | ({
      type: "check.put";
      owner: CheckOwner;
      check: CheckSpec;
      /** A check of that id goes on with what it has found. */
      keepState?: boolean;
    } & Compared)
  | ({ type: "check.delete"; owner: CheckOwner; check: string } & Compared)
  | { type: "check.report"; owner: CheckOwner; check: string; status: HealthStatus; output: string };

export interface StepResult {
  /** What the step is about was there before. */
  existed: boolean;
  node?: RegisteredNode | undefined;
  instance?: RegisteredInstance | undefined;
}

const STEPS_MAX = 256;

/** Codes: those of the steps, `conflict` for a `cas` that does not hold, `not_found` for a check's owner. */
export function applySteps(txn: Txn, context: Context, steps: RegistryStep[]): StepResult[] {
  if (steps.length > STEPS_MAX) throw invalid("steps", `must have at most ${STEPS_MAX} entries`);
  return steps.map((step, index) => within(`steps[${index}]`, () => applyStep(txn, context, step)));
}

export function applyStep(txn: Txn, context: Context, step: RegistryStep): StepResult {
  switch (step.type) {
    case "node.put":
    case "node.ensure": {
      const { name } = step.node;
      const before = nodeNamed(txn, String(name));
      if (step.type === "node.put") assertRevision(before?.modRevision, step.cas);
      (step.type === "node.put" ? putNode : ensureNode)(txn, context, step.node);
      return { existed: before !== undefined, node: nodeNamed(txn, name) };
    }
    case "node.delete":
      assertRevision(nodeNamed(txn, step.name)?.modRevision, step.cas);
      return { existed: deleteNode(txn, context, step.name) };
    case "instance.put":
      return putInstanceStep(txn, context, step);
    case "instance.delete": {
      const found = instancesNamed(txn, step.node, step.id);
      assertRevision(found[0]?.modRevision, step.cas);
      for (const instance of found) deregister(txn, context, instance);
      return { existed: found.length > 0 };
    }
    case "check.put":
      return putCheck(txn, context, step);
    case "check.delete": {
      const subject = subjectOf(step.owner);
      assertCheckRevision(txn, subject, step.check, step.cas);
      const existed = checksOf(txn, subject)?.some(({ id }) => id === step.check) ?? false;
      if (existed) putChecks(txn, context.now, subject, (checks) => checks.filter(({ id }) => id !== step.check));
      return { existed, ...ownerOf(txn, subject) };
    }
    case "check.report": {
      assertOutput("output", step.output);
      const subject = subjectOf(step.owner);
      const existed = setCheck(txn, context.now, subject, step.check, step.status, step.output);
      return { existed, ...ownerOf(txn, subject) };
    }
  }
}

/** The instances of one id on a node; more than one only where they were registered without regard to it. */
export function instancesNamed(reader: Reader, node: string, id: string): RegisteredInstance[] {
  return memberSpace.under(reader, [nodeKey(node), id]).flatMap(({ key }) => {
    const record = instanceSpace.record(reader, memberSpace.parts(key)[2]!, id);
    return record ? [registered(instanceSpace.decode(record), record)] : [];
  });
}

function putInstanceStep(
  txn: Txn,
  context: Context,
  { instance: spec, keepChecks = false, cas }: RegistryStep & { type: "instance.put" },
): StepResult {
  const { service, id, node = "" } = spec;
  const found = instanceSpace.get(txn, String(service), String(id));
  const record = instanceSpace.record(txn, String(service), String(id));
  assertRevision(record?.modRevision, cas);
  const given = (spec.checks ?? []).map(withAlias(txn));
  const instance = register(txn, context, {
    ...spec,
    ...(spec.inheritsAddress && { address: nodeSpace.get(txn, nodeKey(node))?.address ?? spec.address }),
    checks: keepChecks ? withKept(given, found?.checks ?? []) : given,
  });
  for (const other of node === "" ? [] : instancesNamed(txn, node, id)) {
    if (other.service !== service) deregister(txn, context, other);
  }
  return { existed: found !== undefined, instance };
}

/** Those that are known stay in their order, so that the same registration again is no change. */
function withKept(given: CheckSpec[], known: readonly Check[]): CheckSpec[] {
  const byId = new Map(given.map((check) => [check.id, check]));
  const ids = new Set(known.map(({ id }) => id));
  const kept = known.map((check) => byId.get(check.id) ?? definitionOf(check));
  return [...kept, ...given.filter(({ id }) => id === undefined || !ids.has(id))];
}

const definitionOf = ({ status: _status, output: _output, sinceAt: _sinceAt, ...definition }: Check): CheckSpec =>
  definition;

/** An alias begins as its target is. */
const withAlias =
  (txn: Txn) =>
  (spec: CheckSpec): CheckSpec =>
    spec.type === "alias" ? { ...spec, ...aliasState(txn, spec.node ?? "", spec.instance ?? "") } : spec;

function putCheck(
  txn: Txn,
  context: Context,
  { owner, check: spec, keepState = false, cas }: RegistryStep & { type: "check.put" },
): StepResult {
  const subject = subjectOf(owner);
  const earlier = checksOf(txn, subject);
  if (!earlier) throw new HoldfastError("not_found", "whose check it is does not exist", { field: "owner" });
  if (spec.id !== undefined) assertCheckRevision(txn, subject, spec.id, cas);
  const { instance, node } = ownerOf(txn, subject);
  const target = instance ?? { address: node!.address, ports: {} };
  const [check] = checksFrom([withAlias(txn)(spec)], target, context.now, earlier, keepState) as [Check];
  const existed = earlier.some(({ id }) => id === check.id);
  if (!existed && earlier.length >= CHECKS_MAX) throw invalid("checks", `must have at most ${CHECKS_MAX} entries`);
  const unchanged = earlier.some((found) => JSON.stringify(found) === JSON.stringify(check));
  if (!unchanged) {
    putChecks(txn, context.now, subject, (checks) => [...checks.filter(({ id }) => id !== check.id), check]);
  }
  return { existed, ...ownerOf(txn, subject) };
}

const subjectOf = (owner: CheckOwner): CheckSubject => ("node" in owner ? nodeSubject(owner.node) : owner);

function ownerOf(txn: Txn, { service, id }: CheckSubject): Pick<StepResult, "node" | "instance"> {
  if (service === "") return { node: nodeNamed(txn, id) };
  const record = instanceSpace.record(txn, service, id);
  return { instance: record && registered(instanceSpace.decode(record), record) };
}

/** A check has its owner's revision, as far as it exists. */
function assertCheckRevision(txn: Txn, subject: CheckSubject, check: string, cas: number | undefined): void {
  const exists = checksOf(txn, subject)?.some(({ id }) => id === check) ?? false;
  const record =
    subject.service === "" ? nodeSpace.record(txn, subject.id) : instanceSpace.record(txn, subject.service, subject.id);
  assertRevision(exists ? record?.modRevision : undefined, cas);
}

function assertRevision(revision: number | undefined, cas: number | undefined): void {
  if (cas === undefined || (revision ?? 0) === cas) return;
  throw new HoldfastError("conflict", `expected revision ${cas}, but it is ${revision ?? 0}`, {
    field: "cas",
    revision: revision ?? 0,
  });
}
