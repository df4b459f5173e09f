/**
 * What a caller asks of a view, and the answer: which instances, in which order, how many.
 *
 * Pure: the same for HTTP and for whoever else asks. Knows no cache.
 */
import { invalid } from "../../objects/errors.ts";
import type { RegisteredInstance, ServiceView } from "../../objects/model.ts";
import { isHealthy } from "../../objects/model.ts";

export interface ResolveQuery {
  /** Only instances that are up and not critical. Default true. */
  healthy: boolean;
  /** All of them must be carried. */
  tags: string[];
  zone: string | null;
  /** `zone`, or `region/zone`: nearest first. */
  near: string | null;
  /** So many, drawn by weight without repetition; null = all. */
  pick: number | null;
}

export const PICK_MAX = 1000;

/** Codes: `invalid_argument` naming the parameter. */
export function readResolveQuery(params: URLSearchParams): ResolveQuery {
  return {
    healthy: flag(params, "healthy", true),
    tags: params.getAll("tag"),
    zone: params.get("zone"),
    near: params.get("near"),
    pick: params.has("pick") ? whole(params, "pick", 1, PICK_MAX) : null,
  };
}

export function flag(params: URLSearchParams, name: string, absent: boolean): boolean {
  const value = params.get(name);
  if (value === null) return absent;
  if (value === "" || value === "true" || value === "1") return true;
  if (value === "false" || value === "0") return false;
  throw invalid(name, "must be true or false");
}

export function whole(params: URLSearchParams, name: string, min: number, max: number): number {
  const text = params.get(name) ?? "";
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || value < min || value > max) {
    throw invalid(name, `must be a whole number from ${min} to ${max}`);
  }
  return value;
}

/** `random` gives numbers from 0 to below 1. */
export function selectInstances(view: ServiceView, query: ResolveQuery, random: () => number): RegisteredInstance[] {
  let found = view.instances.filter(
    (instance) =>
      (!query.healthy || isHealthy(instance)) &&
      (query.zone === null || instance.locality.zone === query.zone) &&
      query.tags.every((tag) => instance.tags.includes(tag)),
  );
  if (query.pick !== null) found = draw(found, query.pick, random);
  return query.near === null ? found : nearestFirst(found, query.near);
}

/** Weighted drawing without repetition (Efraimidis and Spirakis): the largest of u^(1/weight). */
function draw(instances: RegisteredInstance[], count: number, random: () => number): RegisteredInstance[] {
  const keyed = instances.map((instance) => ({
    instance,
    key: Math.log(1 - random()) / Math.max(instance.weight, 1e-9),
  }));
  keyed.sort((a, b) => b.key - a.key);
  return keyed.slice(0, count).map(({ instance }) => instance);
}

function nearestFirst(instances: RegisteredInstance[], near: string): RegisteredInstance[] {
  const [first = "", second] = near.split("/");
  const distance = ({ locality: { region, zone } }: RegisteredInstance): number => {
    if (second === undefined) return zone === first ? 0 : region === first ? 1 : 2;
    if (region !== first) return 2;
    return zone === second ? 0 : 1;
  };
  return instances.toSorted((a, b) => distance(a) - distance(b));
}
