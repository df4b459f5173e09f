/** What the DNS tests share: instances, a resolver that keeps its views in memory, and dns-packet as the client. */
import { Buffer } from "node:buffer";
import { decode, encode } from "dns-packet";
import type { DecodedPacket, Packet, RecordType } from "dns-packet";
import { HoldfastError } from "../../../../objects/errors.ts";
import type { RegisteredInstance, RegisteredNode, ServiceView } from "../../../../objects/model.ts";
import { answerQuery } from "../../../../workers/dialects/dns/answer.ts";
import type { DnsDeps, LookedUp } from "../../../../workers/dialects/dns/answer.ts";
import { consulZone, ownZone } from "../../../../workers/dialects/dns/zone.ts";
import type { ResolvedView, ResolveOptions, Resolver } from "../../../../workers/resolver/types.ts";

export function instance(id: string, address: string, overrides: Partial<RegisteredInstance> = {}): RegisteredInstance {
  return {
    service: "web",
    id,
    node: "",
    address,
    ports: { default: 8080 },
    protocol: "http",
    weight: 10,
    tags: [],
    meta: {},
    locality: { region: "", zone: "", cluster: "" },
    status: "passing",
    nodeStatus: "passing",
    inheritsAddress: false,
    adminState: "up",
    ephemeral: false,
    private: false,
    suspect: false,
    ttlMs: null,
    checks: [],
    reach: "direct",
    origin: "api",
    extra: {},
    renewedAt: 0,
    registeredAt: 0,
    createRevision: 1,
    modRevision: 1,
    ...overrides,
  };
}

/** The resolver's contract over a map: an unknown service is an empty view at revision 0. */
export class MemoryResolver implements Resolver {
  readonly asked: string[] = [];
  unavailable = false;
  stale = false;
  selfPreservation = false;
  readonly nodes = new Map<string, RegisteredNode>();
  readonly lookups = new Map<string, LookedUp>();
  readonly virtualIps = new Map<string, string>();
  private readonly views = new Map<string, RegisteredInstance[]>();

  add(service: string, instances: RegisteredInstance[], namespace = "default", datacenter = "dc1"): this {
    this.views.set(
      `${namespace}/${service}${at(datacenter)}`,
      instances.map((one) => ({ ...one, service })),
    );
    return this;
  }

  servicesAt(namespace: string, datacenter: string, address: string, showPrivate: boolean): string[] {
    const found = [...this.views].filter(
      ([name, instances]) =>
        name === `${namespace}/${instances[0]?.service}${at(datacenter)}` &&
        instances.some((one) => one.address === address && !one.inheritsAddress && (showPrivate || !one.private)),
    );
    return found.map(([, instances]) => instances[0]!.service);
  }

  async resolve(namespace: string, service: string, options: ResolveOptions = {}): Promise<ResolvedView> {
    const name = `${namespace}/${service}${at(options.datacenter ?? "dc1")}`;
    this.asked.push(name);
    if (this.unavailable) throw new HoldfastError("unavailable", "the owner is out of reach");
    const instances = this.views.get(name);
    const view: ServiceView = {
      service,
      class: "balanced",
      modRevision: instances === undefined ? 0 : 1,
      revision: 1,
      instances: instances ?? [],
      nodes: {},
      selfPreservation: this.selfPreservation,
    };
    return { view, ageSeconds: this.stale ? 42 : 0, stale: this.stale };
  }
}

/** Only what is elsewhere says so. */
const at = (datacenter: string): string => (datacenter.toLowerCase() === "dc1" ? "" : `@${datacenter}`);

const place = (namespace: string, datacenter: string, name: string): string =>
  `${namespace}/${name.toLowerCase()}${at(datacenter)}`;

export function depsFor(resolver: Resolver, overrides: Partial<DnsDeps> = {}): DnsDeps {
  const memory = resolver instanceof MemoryResolver ? resolver : new MemoryResolver();
  return {
    resolver,
    findNode: async (...named) => memory.nodes.get(place(...named)) ?? null,
    findNodesAt: async (namespace, datacenter, address) =>
      [...memory.nodes]
        .filter(([key, one]) => key === place(namespace, datacenter, one.name) && one.address === address)
        .map(([, { name }]) => name),
    findServicesAt: async (...asked) => memory.servicesAt(...asked),
    findStanding: async (standing, namespace, datacenter, service) =>
      (await memory.resolve(namespace, `${standing}:${service}`, { datacenter })).view,
    findVirtualIp: async (...named) => memory.virtualIps.get(place(...named)) ?? null,
    runLookup: async (...named) => memory.lookups.get(place(...named)) ?? null,
    zones: [ownZone("holdfast", 5), consulZone("consul")],
    namespace: "default",
    datacenters: { own: "dc1", names: ["dc1", "dc2"] },
    transport: "tcp",
    showPrivate: false,
    random: () => 0.5,
    ...overrides,
  };
}

/** dns-packet decodes these, its types do not say so. */
export type Answered = DecodedPacket & { rcode: string; opcode: string };

export function query(name: string, type: RecordType, overrides: Packet = {}): Uint8Array {
  return encode({ type: "query", id: 4711, flags: 0x0100, questions: [{ name, type }], ...overrides });
}

export function optRecord(udpPayloadSize: number, ednsVersion = 0, flags = 0): NonNullable<Packet["additionals"]> {
  const options: [] = [];
  return [{ type: "OPT", name: ".", udpPayloadSize, ednsVersion, flags, extendedRcode: 0, flag_do: false, options }];
}

export const read = (bytes: Uint8Array): Answered => decode(Buffer.from(bytes)) as Answered;

export async function ask(deps: DnsDeps, name: string, type: RecordType, overrides: Packet = {}): Promise<Answered> {
  return read(await answerQuery(query(name, type, overrides), deps));
}

/** The data of the answers, sorted, since answers come shuffled. */
export function dataOf(answered: Answered): unknown[] {
  return (answered.answers ?? []).map((record) => ("data" in record ? record.data : null)).toSorted();
}
