/**
 * Which instance gets the next request: weighted round robin over the usable instances of one view.
 *
 * Pure: the clock and randomness are handed in, nothing is sent. Equal weights are a plain rotation, O(1) a pick; unequal
 * ones an earliest-deadline-first schedule, O(log n). Both start at a random place, or every new isolate would send its
 * first request to the same instance. State hangs on the view object and goes with it.
 *
 * An instance that self-preservation keeps (`suspect`) is used when no other is left, and one whose connection failed a
 * moment ago after those.
 *
 * Source: deadlines as in Envoy's EDF scheduler, the random start as in gRPC's.
 */
import { isHealthy, portOf } from "../../objects/model.ts";
import type { Instance, ServiceView } from "../../objects/model.ts";

/** Where one instance is reached, with what this isolate remembers of it. */
export interface Endpoint {
  readonly instanceId: string;
  readonly protocol: "http" | "https";
  /** A name or an address; IPv6 in brackets. */
  readonly host: string;
  readonly port: number;
  /** `http://10.0.0.1:8080` */
  readonly origin: string;
  /** 1 to 65535 */
  readonly weight: number;
  /** Its connection failed: tried last until then. 0 when it did not. */
  avoidUntilAt: number;
  /** The egress guard that let this endpoint pass. */
  admittedBy: unknown;
}

/** Why a healthy instance cannot be used by the gateway. */
export type Unusable = "protocol" | "reach" | "port" | "address";

export interface Balancer {
  readonly regular: Schedule;
  readonly suspect: Schedule;
  readonly healthyCount: number;
  /** The first reason found, when healthy instances were left out. */
  readonly unusable: Unusable | null;
}

/** `deadlines` is null when all weights are equal: then `cursor` goes round. */
export interface Schedule {
  readonly endpoints: readonly Endpoint[];
  cursor: number;
  readonly deadlines: Float64Array | null;
  /** Order of insertion: ties are first in, first out. */
  readonly tickets: Float64Array;
  /** A binary heap of positions in `endpoints`. */
  readonly heap: Uint32Array;
  nextTicket: number;
}

/** How long an instance whose connection failed is tried last. */
export const AVOID_MS = 5000;
/** Draws from the schedule before it is searched: an avoided instance loses its turn. */
const DRAWS_MAX = 4;

const HOST_NAME = /^[A-Za-z0-9_](?:[A-Za-z0-9._-]{0,252})$/;
const IPV6 = /^[0-9A-Fa-f:.]{2,45}$/;

const balancers = new WeakMap<ServiceView, Map<string | undefined, Balancer>>();

/** The balancer of a view and port name, made at its first use. */
export function balancerFor(view: ServiceView, port: string | undefined, random: () => number): Balancer {
  let byPort = balancers.get(view);
  const known = byPort?.get(port);
  if (known !== undefined) return known;
  const made = createBalancer(view, port, random);
  // A port that no instance has is not kept: the name may be the client's.
  if (made.regular.endpoints.length + made.suspect.endpoints.length === 0) return made;
  if (byPort === undefined) balancers.set(view, (byPort = new Map()));
  byPort.set(port, made);
  return made;
}

export function createBalancer(view: ServiceView, port: string | undefined, random: () => number): Balancer {
  const regular: Endpoint[] = [];
  const suspect: Endpoint[] = [];
  let healthyCount = 0;
  let unusable: Unusable | null = null;
  for (const instance of view.instances) {
    if (!isHealthy(instance)) continue;
    healthyCount++;
    const endpoint = toEndpoint(instance, port);
    if (typeof endpoint === "string") unusable ??= endpoint;
    else (instance.suspect ? suspect : regular).push(endpoint);
  }
  return {
    regular: createSchedule(regular, random),
    suspect: createSchedule(suspect, random),
    healthyCount,
    unusable,
  };
}

/** The next endpoint that is not in `tried`; undefined when all are. */
export function pick(balancer: Balancer, tried: readonly Endpoint[], now: number): Endpoint | undefined {
  const { regular, suspect } = balancer;
  const isFresh = (endpoint: Endpoint): boolean => endpoint.avoidUntilAt <= now && !tried.includes(endpoint);
  const isUntried = (endpoint: Endpoint): boolean => !tried.includes(endpoint);
  return draw(regular, isFresh) ?? draw(suspect, isFresh) ?? draw(regular, isUntried) ?? draw(suspect, isUntried);
}

/** Remembers how the connection to an endpoint went. */
export function remember(endpoint: Endpoint, isConnectionFailed: boolean, now: number): void {
  if (isConnectionFailed) endpoint.avoidUntilAt = now + AVOID_MS;
  else if (endpoint.avoidUntilAt !== 0) endpoint.avoidUntilAt = 0;
}

function toEndpoint(instance: Instance, portName: string | undefined): Endpoint | Unusable {
  if (instance.protocol !== "http" && instance.protocol !== "https") return "protocol";
  if (instance.reach !== "direct") return "reach";
  const port = portOf(instance, portName);
  if (port === undefined || !Number.isInteger(port) || port < 1 || port > 65_535) return "port";
  const host = toHost(instance.address);
  if (host === null) return "address";
  return {
    instanceId: instance.id,
    protocol: instance.protocol,
    host,
    port,
    origin: `${instance.protocol}://${host}:${port}`,
    weight: instance.weight,
    avoidUntilAt: 0,
    admittedBy: undefined,
  };
}

/** As it stands in a URL. Registrants write addresses, so nothing that would end the host gets through. */
function toHost(address: string): string | null {
  if (HOST_NAME.test(address)) return address;
  const bare = address.startsWith("[") && address.endsWith("]") ? address.slice(1, -1) : address;
  return bare.includes(":") && IPV6.test(bare) ? `[${bare}]` : null;
}

function draw(schedule: Schedule, accepts: (endpoint: Endpoint) => boolean): Endpoint | undefined {
  const { endpoints } = schedule;
  const count = endpoints.length;
  for (let i = Math.min(count, DRAWS_MAX); i > 0; i--) {
    const endpoint = next(schedule)!;
    if (accepts(endpoint)) return endpoint;
  }
  // Rotated, so that what stands behind a dead block does not take all of its load.
  const start = count === 0 ? 0 : schedule.nextTicket++ % count;
  for (let i = 0; i < count; i++) {
    const endpoint = endpoints[(start + i) % count]!;
    if (accepts(endpoint)) return endpoint;
  }
  return undefined;
}

export function createSchedule(endpoints: readonly Endpoint[], random: () => number): Schedule {
  const count = endpoints.length;
  const isEven = endpoints.every((endpoint) => endpoint.weight === endpoints[0]!.weight);
  const size = isEven ? 0 : count;
  const schedule: Schedule = {
    endpoints,
    cursor: Math.floor(random() * count),
    deadlines: isEven ? null : new Float64Array(size),
    tickets: new Float64Array(size),
    heap: new Uint32Array(size),
    nextTicket: count,
  };
  for (let i = 0; i < size; i++) {
    schedule.deadlines![i] = random() / endpoints[i]!.weight;
    schedule.tickets[i] = i;
    schedule.heap[i] = i;
  }
  for (let i = (size >> 1) - 1; i >= 0; i--) siftDown(schedule, i);
  return schedule;
}

/** The endpoint whose turn it is; undefined when there is none. */
export function next(schedule: Schedule): Endpoint | undefined {
  const { endpoints, deadlines, heap } = schedule;
  if (deadlines === null) {
    if (schedule.cursor >= endpoints.length) schedule.cursor = 0;
    return endpoints[schedule.cursor++];
  }
  const index = heap[0]!;
  const endpoint = endpoints[index]!;
  deadlines[index] = deadlines[index]! + 1 / endpoint.weight;
  schedule.tickets[index] = schedule.nextTicket++;
  siftDown(schedule, 0);
  return endpoint;
}

function siftDown(schedule: Schedule, from: number): void {
  const { heap } = schedule;
  let at = from;
  for (;;) {
    let least = at;
    const left = 2 * at + 1;
    if (left < heap.length && isBefore(schedule, heap[left]!, heap[least]!)) least = left;
    if (left + 1 < heap.length && isBefore(schedule, heap[left + 1]!, heap[least]!)) least = left + 1;
    if (least === at) return;
    const moved = heap[at]!;
    heap[at] = heap[least]!;
    heap[least] = moved;
    at = least;
  }
}

function isBefore({ deadlines, tickets }: Schedule, a: number, b: number): boolean {
  const difference = deadlines![a]! - deadlines![b]!;
  return difference < 0 || (difference === 0 && tickets[a]! < tickets[b]!);
}
