/**
 * Every command and query a namespace answers, by name: the table between RPC and the rooms.
 *
 * A command may write and becomes a commit; its name is what the audit log says. A query only reads.
 */
import { listAudit, verifyAudit } from "./audit/audit.ts";
import type { Authority, Holder, IssuedCertificate } from "./authority/authority.ts";
import { authorityOf, certificateOf, issueCertificate, putAuthority } from "./authority/authority.ts";
import type { EnterInput, LeaveInput } from "./barriers/barriers.ts";
import {
  closeGate,
  describeBarrier,
  enterBarrier,
  findParty,
  leaveBarrier,
  listBarriers,
  openGate,
} from "./barriers/barriers.ts";
import type { NodeCoordinate } from "./coordinates/coordinates.ts";
import { coordinatesOf, listCoordinates, nearnessOf, updateCoordinates } from "./coordinates/coordinates.ts";
import type { SetCounterInput } from "./counters/counters.ts";
import {
  addToCounter,
  deleteCounter,
  findCounter,
  listCounters,
  nextInSequence,
  setCounter,
} from "./counters/counters.ts";
import type { CampaignInput } from "./elections/elections.ts";
import * as elections from "./elections/elections.ts";
import { endLease, endSession } from "./endings.ts";
import type { ErrorValue } from "./errors.ts";
import type { Fence } from "./fences.ts";
import type { FireInput } from "./events/events.ts";
import { fire, listEvents } from "./events/events.ts";
import type { KeysInput, ListInput, LockInput, SetInput } from "./kv/entries.ts";
import { acquire, entryOf, listEntries, listKeys, release, setEntry } from "./kv/entries.ts";
import { KV } from "./kv/key.ts";
import type { DeleteInput, PutInput } from "./kv/kv.ts";
import { put, remove } from "./kv/kv.ts";
import type { RangeInput, RangeSource } from "./kv/range.ts";
import { countOf, rangeOf } from "./kv/range.ts";
import type { TxnInput } from "./kv/txn.ts";
import { hasPuts, transact } from "./kv/txn.ts";
import type { Deadlines } from "./leases/deadlines.ts";
import type { GrantInput } from "./leases/leases.ts";
import { describeLease, grantLease, listLeases } from "./leases/leases.ts";
import type { Holding, ShownToken, WithdrawInput } from "./locks/arbiter.ts";
import type { AcquireInput, ReleaseInput } from "./locks/locks.ts";
import * as locks from "./locks/locks.ts";
import type { LookupInput } from "./lookups/lookups.ts";
import { deleteLookup, findLookup, listLookups, putLookup, resolveLookup } from "./lookups/lookups.ts";
import type { Caller, HealthStatus } from "./model.ts";
import * as authMethods from "./policy/auth-methods.ts";
import type { Guesses } from "./policy/guesses.ts";
import { NOBODY } from "./policy/guesses.ts";
import * as logins from "./policy/logins.ts";
import * as policies from "./policy/policies.ts";
import { resolvePrincipal } from "./policy/principal.ts";
import type { PageInput } from "./policy/records.ts";
import * as roles from "./policy/roles.ts";
import * as tokens from "./policy/tokens.ts";
import * as users from "./policy/users.ts";
import type { ReceiveInput } from "./queues/receive.ts";
import { receive } from "./queues/receive.ts";
import type { SendInput } from "./queues/send.ts";
import { send } from "./queues/send.ts";
import type { ExtendInput, NackInput, ReceiptsInput } from "./queues/settle.ts";
import { ack, extend, nack } from "./queues/settle.ts";
import * as topics from "./queues/topics.ts";
import type { NodeInstancesInput } from "./registry/nodes.ts";
import { findNode, instancesOn, listNodes } from "./registry/nodes.ts";
import type { CheckReport, InstanceName, InstancePatch } from "./registry/registry.ts";
import {
  deregister,
  deregisterService,
  describeInstance,
  register,
  registerMany,
  report,
  update,
} from "./registry/registry.ts";
import { instanceSpace } from "./registry/spaces.ts";
import type { InstanceSpec } from "./registry/spec.ts";
import type { RegistryStep } from "./registry/steps.ts";
import { applySteps, instancesNamed } from "./registry/steps.ts";
import type { AgentInput, InstancePage, KnownView, MeshInput, ViewInput } from "./registry/views.ts";
import {
  agentChecks,
  checksNamed,
  describeService,
  listAddresses,
  listChecks,
  listInstances,
  listServices,
  meshInstances,
  viewOf,
  serviceRange,
  viewSince,
} from "./registry/views.ts";
import type { AccessMatchInput } from "./rules/access.ts";
import { accessMatching } from "./rules/access.ts";
import type { DeleteRuleInput, IngressInput, ListRulesInput, PutRuleInput, RuleName } from "./rules/rules.ts";
import { deleteRule, findRule, ingressesFor, listRules, putRule, rulesAround } from "./rules/rules.ts";
import type { Document } from "./settings/documents.ts";
import { findDocument, putDocument } from "./settings/documents.ts";
import type { SessionInput } from "./sessions/sessions.ts";
import { createSession, describeSession, listSessions } from "./sessions/sessions.ts";
import type { SettingsPatch } from "./settings/settings.ts";
import { settingsOf, updateSettings } from "./settings/settings.ts";
import type { Store } from "./store/store.ts";
import type { Context, KeyRange, Place, RangeOptions, Space, StoredRecord, Txn } from "./store/txn.ts";
import type { Operation, ReadOperation } from "./transactions/transactions.ts";
import { readTogether, transact as transactAll } from "./transactions/transactions.ts";
import type { ManualInput, SettleInput } from "./virtual-ips/settle.ts";
import { setManual, settle } from "./virtual-ips/settle.ts";
import { findVirtualIp } from "./virtual-ips/virtual-ip.ts";

export const COMMANDS = {
  "registry.register": (txn: Txn, context: Context, input: InstanceSpec) => register(txn, context, input),
  "registry.registerMany": (txn: Txn, context: Context, input: InstanceSpec[]) => registerMany(txn, context, input),
  "registry.update": (txn: Txn, context: Context, input: InstancePatch) => update(txn, context, input),
  "registry.deregister": (txn: Txn, context: Context, input: InstanceName) => deregister(txn, context, input),
  "registry.deregisterService": (txn: Txn, context: Context, input: { service: string; limit?: number }) =>
    deregisterService(txn, context, input),
  "registry.report": (txn: Txn, context: Context, input: CheckReport[]) => report(txn, context, input),
  "registry.apply": (txn: Txn, context: Context, input: RegistryStep[]) => applySteps(txn, context, input),
  "kv.put": (txn: Txn, context: Context, input: PutInput) => put(txn, context, input),
  "kv.delete": (txn: Txn, context: Context, input: DeleteInput) => remove(txn, context, input),
  "kv.txn": (txn: Txn, context: Context, input: TxnInput) => transact(txn, context, input),
  "kv.set": (txn: Txn, _context: Context, input: SetInput) => setEntry(txn, input),
  "kv.acquire": (txn: Txn, context: Context, input: LockInput) => acquire(txn, context, input),
  "kv.release": (txn: Txn, _context: Context, input: LockInput) => release(txn, input),
  "transaction.run": (txn: Txn, context: Context, input: Operation[]) => transactAll(txn, context, input),
  "session.create": (txn: Txn, context: Context, input: SessionInput) => createSession(txn, context, input),
  "session.destroy": (txn: Txn, context: Context, { id }: { id: string }) => ({
    existed: endSession(txn, context, id),
  }),
  "event.fire": (txn: Txn, context: Context, input: FireInput) => fire(txn, context, input),
  "leases.grant": (txn: Txn, context: Context, input: GrantInput) => grantLease(txn, context, input),
  "leases.revoke": (txn: Txn, context: Context, { id }: { id: string }) => endLease(txn, context, id),
  "lock.acquire": (txn: Txn, context: Context, input: AcquireInput) => locks.acquireLock(txn, context, input),
  "lock.withdraw": (txn: Txn, context: Context, input: WithdrawInput) =>
    locks.withdrawLock(txn, context, input, endLease),
  "lock.release": (txn: Txn, context: Context, input: ReleaseInput) => locks.releaseLock(txn, context, input, endLease),
  "election.campaign": (txn: Txn, context: Context, input: CampaignInput) => elections.campaign(txn, context, input),
  "election.withdraw": (txn: Txn, context: Context, input: WithdrawInput) =>
    elections.withdrawCandidate(txn, context, input, endLease),
  "election.proclaim": (txn: Txn, context: Context, input: Holding & { value: string }) =>
    elections.proclaim(txn, context, input),
  "election.resign": (txn: Txn, context: Context, input: Holding) => elections.resign(txn, context, input, endLease),
  "barrier.enter": (txn: Txn, context: Context, input: EnterInput) => enterBarrier(txn, context, input),
  "barrier.leave": (txn: Txn, context: Context, input: LeaveInput) => leaveBarrier(txn, context, input, endLease),
  "barrier.close": (txn: Txn, context: Context, input: { name: string }) => closeGate(txn, context, input),
  "barrier.open": (txn: Txn, context: Context, input: { name: string }) => openGate(txn, context, input),
  "counter.add": (txn: Txn, context: Context, input: { name: string; delta: string }) =>
    addToCounter(txn, context, input),
  "counter.next": (txn: Txn, context: Context, input: { name: string; count: number }) =>
    nextInSequence(txn, context, input),
  "counter.set": (txn: Txn, context: Context, input: SetCounterInput) => setCounter(txn, context, input),
  "counter.delete": (txn: Txn, context: Context, input: { name: string; cas?: number | undefined }) =>
    deleteCounter(txn, context, input),
  "coordinates.update": (txn: Txn, context: Context, input: NodeCoordinate[]) => updateCoordinates(txn, context, input),
  "lookup.put": (txn: Txn, context: Context, input: LookupInput) => putLookup(txn, context, input),
  "lookup.delete": (txn: Txn, context: Context, input: { id: string; cas?: number | undefined }) =>
    deleteLookup(txn, context, input),
  "document.put": (txn: Txn, context: Context, input: Document & { cas?: number | undefined }) =>
    putDocument(txn, context, input),
  "settings.update": (txn: Txn, context: Context, input: SettingsPatch) => updateSettings(txn, context, input),
  "policy.put": (txn: Txn, context: Context, input: policies.PolicyInput) => policies.putPolicy(txn, context, input),
  "policy.delete": (txn: Txn, context: Context, input: { id: string; cas?: number | undefined }) =>
    policies.deletePolicy(txn, context, input),
  "role.put": (txn: Txn, context: Context, input: roles.RoleInput) => roles.putRole(txn, context, input),
  "role.delete": (txn: Txn, context: Context, input: { id: string; cas?: number | undefined }) =>
    roles.deleteRole(txn, context, input),
  "role.grant": (txn: Txn, context: Context, input: roles.RoleGrant) => roles.grantToRole(txn, context, input),
  "role.revoke": (txn: Txn, context: Context, input: { name: string; place: roles.Place }) =>
    roles.revokeFromRole(txn, context, input),
  "user.create": (txn: Txn, context: Context, input: users.UserInput) => users.createUser(txn, context, input),
  "user.put": (txn: Txn, context: Context, input: users.UserPut) => users.putUser(txn, context, input),
  "user.setPassword": (txn: Txn, context: Context, input: { name: string; password: string | null }) =>
    users.setPassword(txn, context, input),
  "user.delete": (txn: Txn, context: Context, input: { name: string; cas?: number | undefined }) =>
    users.deleteUser(txn, context, input),
  "user.grant": (txn: Txn, context: Context, input: users.UserGrant) => users.grantToUser(txn, context, input),
  "user.revoke": (txn: Txn, context: Context, input: users.UserGrant) => users.revokeFromUser(txn, context, input),
  "login.turnOn": (txn: Txn, context: Context, input: { administrator: string }) =>
    logins.turnLoginsOn(txn, context, input),
  "login.turnOff": (txn: Txn, _context: Context, _input: Record<never, never>) => logins.turnLoginsOff(txn),
  "login.begin": (txn: Txn, context: Context, input: logins.LoginInput) => logins.logIn(txn, context, input),
  "login.prolong": (txn: Txn, context: Context, input: { accessor: string; lifeMs: number }) =>
    logins.prolongLogin(txn, context, input),
  "token.bootstrap": (
    txn: Txn,
    context: Context,
    input: Pick<tokens.TokenInput, "accessor" | "secret" | "description">,
  ) => tokens.bootstrap(txn, context, input),
  "token.create": (txn: Txn, context: Context, input: tokens.TokenInput) => tokens.createToken(txn, context, input),
  "token.update": (txn: Txn, context: Context, input: tokens.TokenUpdate) => tokens.updateToken(txn, context, input),
  "token.clone": (txn: Txn, context: Context, input: tokens.CloneInput) => tokens.cloneToken(txn, context, input),
  "token.delete": (txn: Txn, context: Context, input: { accessor: string }) => tokens.deleteToken(txn, context, input),
  "authMethod.put": (txn: Txn, context: Context, input: authMethods.AuthMethodInput) =>
    authMethods.putAuthMethod(txn, context, input),
  "authMethod.delete": (txn: Txn, context: Context, input: { name: string; cas?: number | undefined }) =>
    tokens.deleteAuthMethod(txn, context, input),
  "bindingRule.put": (txn: Txn, context: Context, input: authMethods.BindingRuleInput) =>
    authMethods.putBindingRule(txn, context, input),
  "bindingRule.delete": (txn: Txn, context: Context, input: { id: string; cas?: number | undefined }) =>
    authMethods.deleteBindingRule(txn, context, input),
  "rule.put": (txn: Txn, context: Context, input: PutRuleInput) => putRule(txn, context, input),
  "rule.delete": (txn: Txn, context: Context, input: DeleteRuleInput) => deleteRule(txn, context, input),
  "virtualIp.settle": (txn: Txn, context: Context, input: SettleInput) => settle(txn, context, input),
  "virtualIp.setManual": (txn: Txn, context: Context, input: ManualInput) => setManual(txn, context, input),
  "queue.send": (txn: Txn, context: Context, input: SendInput) => send(txn, context, input),
  "queue.receive": (txn: Txn, context: Context, input: ReceiveInput) => receive(txn, context, input),
  "queue.ack": (txn: Txn, context: Context, input: ReceiptsInput) => ack(txn, context, input),
  "queue.nack": (txn: Txn, context: Context, input: NackInput) => nack(txn, context, input),
  "queue.extend": (txn: Txn, context: Context, input: ExtendInput) => extend(txn, context, input),
  "queue.purge": (txn: Txn, context: Context, input: { topic: string }) => topics.purge(txn, context, input),
  "queue.delete": (txn: Txn, context: Context, input: { topic: string }) => topics.deleteTopic(txn, context, input),
  "queue.configure": (txn: Txn, context: Context, input: topics.ConfigureInput) =>
    topics.configure(txn, context, input),
  "authority.put": (txn: Txn, context: Context, input: { authority: Authority; cas: number }) =>
    putAuthority(txn, context, input),
  "authority.issue": (txn: Txn, context: Context, input: { certificate: IssuedCertificate; cas: number }) =>
    issueCertificate(txn, context, input),
} satisfies Record<string, (txn: Txn, context: Context, input: never) => unknown>;

export type CommandName = keyof typeof COMMANDS;
export type CommandInput<N extends CommandName> = Parameters<(typeof COMMANDS)[N]>[2];
export type CommandOutput<N extends CommandName> = ReturnType<(typeof COMMANDS)[N]>;

/** Commands that make room. */
const SHRINKING: ReadonlySet<CommandName> = new Set([
  "registry.deregister",
  "registry.deregisterService",
  "kv.delete",
  "leases.revoke",
  "lock.withdraw",
  "lock.release",
  "election.withdraw",
  "election.resign",
  "barrier.leave",
  "barrier.open",
  "counter.delete",
  "session.destroy",
  "lookup.delete",
  "settings.update",
  "policy.delete",
  "role.delete",
  "role.revoke",
  "user.delete",
  "user.revoke",
  "login.turnOff",
  "token.delete",
  "authMethod.delete",
  "bindingRule.delete",
  "rule.delete",
  // Whoever is to empty a queue writes down what is in flight.
  "queue.receive",
  "queue.ack",
  "queue.nack",
  "queue.extend",
  "queue.purge",
  "queue.delete",
]);

/** Whether it runs even when the store is full. */
export const makesRoom = ({ command, input }: Pick<Call, "command" | "input">): boolean =>
  SHRINKING.has(command) || (command === "kv.txn" && !hasPuts(input as TxnInput));

/** The record that a command begins with, as its input tells, whose validity is still to be seen. */
export function foreseenOf({ command, input }: Call): Place | null {
  switch (command) {
    case "registry.register": {
      const { service, id } = input as InstanceName;
      return { space: instanceSpace.name, key: instanceSpace.key(String(service), String(id)) };
    }
    case "kv.put":
      return { space: KV, key: (input as PutInput).key };
    default:
      return null;
  }
}

/** What a query reads from. */
export interface QueryContext {
  store: Store;
  deadlines: Deadlines;
  guesses: Guesses;
  selfPreservation: boolean;
  now: number;
}

/** Pages of one listing are all read at the revision of the first. */
interface AtRevision {
  revision?: number | undefined;
}

const rangesAt =
  (store: Store, revision: number) =>
  (space: Space, range: KeyRange, options: RangeOptions): StoredRecord[] =>
    store.rangeAt(space, range, revision, options);

const keysAt = (store: Store, revision: number): RangeSource => ({
  range: (range, options) => store.rangeAt(KV, range, revision, options),
  ...(revision === store.revision && { count: (range) => store.count(KV, range) }),
});

export const QUERIES = {
  /** For who wants to know only whether something changed. */
  "store.nothing": (_context: QueryContext, _input: Record<never, never>) => null,
  "registry.view": ({ store, selfPreservation }: QueryContext, input: ViewInput) =>
    viewOf(store, input, { revision: store.revision, selfPreservation }),
  "registry.viewSince": ({ store, selfPreservation }: QueryContext, input: KnownView) =>
    store.isKnownUnchanged(() => serviceRange(input.service), input.asOf)
      ? null
      : viewSince(store, input, { revision: store.revision, compacted: store.compacted, selfPreservation }),
  "registry.instances": ({ store }: QueryContext, input: { after?: InstancePage["after"] }) =>
    listInstances(store, input),
  "registry.services": ({ store }: QueryContext, input: { after?: string | null }) => listServices(store, input),
  "registry.service": ({ store }: QueryContext, input: { service: string }) => describeService(store, input),
  "registry.instance": ({ store }: QueryContext, input: InstanceName) => describeInstance(store, input),
  "nodes.get": ({ store }: QueryContext, input: { name: string }) => findNode(store, input),
  "nodes.list": ({ store }: QueryContext, input: { after?: string | null }) => listNodes(store, input),
  "nodes.instances": ({ store }: QueryContext, input: NodeInstancesInput) => instancesOn(store, input),
  "nodes.instance": ({ store }: QueryContext, { node, id }: { node: string; id: string }) =>
    instancesNamed(store, node, id),
  "nodes.check": ({ store }: QueryContext, input: { node: string; check: string }) => checksNamed(store, input),
  "registry.addresses": ({ store }: QueryContext, input: { after?: InstancePage["after"] }) =>
    listAddresses(store, input),
  "registry.mesh": ({ store }: QueryContext, input: MeshInput) => meshInstances(store, input),
  "registry.checks": (
    { store }: QueryContext,
    input: { after?: { service: string; id: string } | null; status?: HealthStatus | undefined },
  ) => listChecks(store, input),
  "registry.agentChecks": ({ store }: QueryContext, input: AgentInput) => agentChecks(store, input),
  "kv.range": ({ store }: QueryContext, input: RangeInput & AtRevision) => {
    const { revision = store.revision } = input;
    return { ...rangeOf(input, keysAt(store, revision)), revision };
  },
  "kv.count": ({ store }: QueryContext, { range, revision = store.revision }: { range: KeyRange } & AtRevision) => ({
    count: countOf(range, keysAt(store, revision)),
  }),
  "kv.entry": ({ store }: QueryContext, { key }: { key: Uint8Array }) => entryOf(store, key),
  "kv.entries": ({ store }: QueryContext, input: ListInput & AtRevision) => {
    const { revision = store.revision } = input;
    return { ...listEntries(input, rangesAt(store, revision)), revision };
  },
  "kv.keys": ({ store }: QueryContext, input: KeysInput & AtRevision) => {
    const { revision = store.revision } = input;
    return { ...listKeys(input, rangesAt(store, revision)), revision };
  },
  "transaction.read": ({ store }: QueryContext, input: ReadOperation[]) => readTogether(store, input),
  "session.get": ({ store }: QueryContext, input: { id: string }) => describeSession(store, input),
  "session.list": ({ store }: QueryContext, input: PageInput & { node?: string | undefined }) =>
    listSessions(store, input),
  "event.list": ({ store }: QueryContext, input: { name?: string | undefined }) => listEvents(store, input),
  "leases.get": ({ store, deadlines, now }: QueryContext, { id }: { id: string }) =>
    describeLease(store, deadlines, now, id),
  "leases.list": ({ store, deadlines }: QueryContext, { after = null }: { after?: string | null }) =>
    listLeases(store, deadlines, after),
  "lock.get": ({ store }: QueryContext, input: { name: string }) => locks.describeLock(store, input),
  "lock.list": ({ store }: QueryContext, input: PageInput) => locks.listLocks(store, input),
  /** One claim, held or waiting; null when it is gone. */
  "lock.claim": ({ store }: QueryContext, input: { name: string; owner: string }) => locks.findLockClaim(store, input),
  /** Whether the token holds the lock; with an owner, which a shared lock needs, that owner's. */
  "lock.check": ({ store }: QueryContext, input: ShownToken) => locks.locks.isHeld(store, input, "owner"),
  "election.get": ({ store }: QueryContext, input: { name: string }) => elections.describeElection(store, input),
  "election.list": ({ store }: QueryContext, input: PageInput) => elections.listElections(store, input),
  "election.leader": ({ store }: QueryContext, input: { name: string }) => elections.findLeader(store, input),
  "election.candidate": ({ store }: QueryContext, input: { name: string; owner: string }) =>
    elections.findCandidate(store, input),
  "barrier.get": ({ store }: QueryContext, input: { name: string }) => describeBarrier(store, input),
  "barrier.list": ({ store }: QueryContext, input: PageInput) => listBarriers(store, input),
  "barrier.party": ({ store }: QueryContext, input: { name: string; owner: string }) => findParty(store, input),
  "counter.get": ({ store }: QueryContext, input: { name: string }) => findCounter(store, input),
  "counter.list": ({ store }: QueryContext, input: PageInput) => listCounters(store, input),
  "coordinates.list": ({ store }: QueryContext, input: { after?: string | null }) => listCoordinates(store, input),
  "coordinates.of": ({ store }: QueryContext, input: { node: string }) => coordinatesOf(store, input),
  "coordinates.near": ({ store }: QueryContext, input: { node: string; others: string[] }) => nearnessOf(store, input),
  "lookup.get": ({ store }: QueryContext, input: { id: string }) => findLookup(store, input.id) ?? null,
  "lookup.list": ({ store }: QueryContext, input: PageInput) => listLookups(store, input),
  "lookup.resolve": ({ store }: QueryContext, input: { name: string }) => resolveLookup(store, input),
  "document.get": ({ store }: QueryContext, input: { name: string }) => findDocument(store, input),
  "settings.get": ({ store }: QueryContext, _input: Record<never, never>) => settingsOf(store),
  "audit.list": ({ store }: QueryContext, input: { since?: number; limit?: number }) => listAudit(store, input),
  "audit.verify": ({ store }: QueryContext, input: { since?: number }) => verifyAudit(store, input),
  "policy.get": ({ store }: QueryContext, input: { id: string } | { name: string }) =>
    policies.describePolicy(store, input),
  "policy.list": ({ store }: QueryContext, input: PageInput) => policies.listPolicies(store, input),
  "policy.resolve": ({ store, now }: QueryContext, input: { secretHash: string | null }) =>
    resolvePrincipal(store, input, now),
  "role.get": ({ store }: QueryContext, input: { id: string } | { name: string }) => roles.describeRole(store, input),
  "role.list": ({ store }: QueryContext, input: PageInput & { policy?: string | undefined }) =>
    roles.listRoles(store, input),
  "user.get": ({ store }: QueryContext, input: { name: string }) => users.describeUser(store, input),
  "user.list": ({ store }: QueryContext, input: PageInput) => users.listUsers(store, input),
  "user.credentials": ({ store, guesses, now }: QueryContext, input: { name: string }) => {
    const credentials = users.credentialsOf(store, input);
    return { ...credentials, isHeldUp: guesses.isHeldUp(credentials.user?.id ?? NOBODY, now) };
  },
  "login.state": ({ store }: QueryContext, _input: Record<never, never>) => logins.describeLogins(store),
  "token.get": ({ store, now }: QueryContext, input: { accessor: string } | { secretHash: string }) =>
    tokens.describeToken(store, input, now),
  "token.list": ({ store, now }: QueryContext, input: PageInput & tokens.TokenFilter) =>
    tokens.listTokens(store, input, now),
  "authMethod.get": ({ store }: QueryContext, input: { name: string }) => authMethods.describeAuthMethod(store, input),
  "authMethod.list": ({ store }: QueryContext, input: PageInput) => authMethods.listAuthMethods(store, input),
  "bindingRule.get": ({ store }: QueryContext, input: { id: string }) => authMethods.describeBindingRule(store, input),
  "bindingRule.list": ({ store }: QueryContext, input: PageInput & { method?: string | undefined }) =>
    authMethods.listBindingRules(store, input),
  "rule.get": ({ store }: QueryContext, input: RuleName) => findRule(store, input) ?? null,
  "rule.list": ({ store }: QueryContext, input: ListRulesInput) => listRules(store, input),
  "rule.around": ({ store }: QueryContext, input: { service: string }) => rulesAround(store, input),
  "rule.ingresses": ({ store }: QueryContext, input: IngressInput) => ingressesFor(store, input),
  "rule.access": ({ store }: QueryContext, input: AccessMatchInput) => accessMatching(store, input),
  "virtualIp.get": ({ store }: QueryContext, input: { service: string }) => findVirtualIp(store, input),
  "queue.stats": ({ store }: QueryContext, input: { topic: string }) => topics.statsOf(store, input),
  "queue.list": ({ store }: QueryContext, input: PageInput) => topics.listTopics(store, input),
  "authority.get": ({ store }: QueryContext, _input: Record<never, never>) => authorityOf(store),
  "authority.certificate": ({ store }: QueryContext, input: Holder) => certificateOf(store, input),
} satisfies Record<string, (context: QueryContext, input: never) => unknown>;

export type QueryName = keyof typeof QUERIES;
export type QueryInput<N extends QueryName> = Parameters<(typeof QUERIES)[N]>[1];
export type QueryOutput<N extends QueryName> = ReturnType<(typeof QUERIES)[N]>;

/** One command as it crosses RPC. */
export interface Call<N extends CommandName = CommandName> {
  command: N;
  input: CommandInput<N>;
  caller: Caller;
  /** Given by a caller who may repeat the call after a lost answer. */
  requestId?: string | undefined;
  /** It is carried out only if this is held. */
  fence?: Fence | undefined;
}

export type Result<T> = { ok: true; value: T } | { ok: false; error: ErrorValue };
