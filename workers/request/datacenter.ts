/**
 * The datacenters of the installation: which one this edge answers for, which others there are, and where their objects
 * live. Each has objects of its own for every namespace.
 *
 * The first that is named is the primary one: what the installation has once is kept there, such as tokens and rules.
 *
 * `HOLDFAST_DATACENTERS=dc1=weur,dc2=enam` names them, with an optional hint of Cloudflare's each. The edge answers for
 * `HOLDFAST_DATACENTER`, which may be one that the list does not name; without it, for the list's first.
 */
import { HoldfastError } from "../../objects/errors.ts";
import type { Bindings } from "./bindings.ts";

const DEFAULT = "dc1";
const NAME = /^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/;
/** Source: developers.cloudflare.com/durable-objects/reference/data-location. */
const HINTS = ["wnam", "enam", "sam", "weur", "eeur", "apac", "oc", "afr", "me"] as const;
export const DATACENTERS_MAX = 64;

export interface Datacenters {
  own: string;
  primary: string;
  /** Its own first, the others in the order of the list. */
  names: string[];
  hints: ReadonlyMap<string, DurableObjectLocationHint>;
}

let parsed: { list: string | undefined; own: string | undefined; datacenters: Datacenters } | undefined;

/** Codes: `unavailable`, when the settings make no sense. */
export function datacentersOf(env: Bindings): Datacenters {
  const { HOLDFAST_DATACENTERS: list, HOLDFAST_DATACENTER: own } = env;
  if (parsed?.list !== list || parsed?.own !== own || !parsed) {
    parsed = { list, own, datacenters: parseDatacenters(list ?? "", own || undefined) };
  }
  return parsed.datacenters;
}

export function parseDatacenters(list: string, own: string | undefined): Datacenters {
  const hints = new Map<string, DurableObjectLocationHint>();
  const listed: string[] = [];
  for (const entry of list.split(",")) {
    const [name = "", hint, ...rest] = entry.split("=").map((part) => part.trim());
    if (name === "" && hint === undefined) continue;
    if (!NAME.test(name) || rest.length > 0) throw misconfigured(`"${entry}" is no name of a datacenter`);
    if (listed.includes(name)) throw misconfigured(`${name} is named twice`);
    listed.push(name);
    if (hint === undefined) continue;
    if (!isHint(hint)) throw misconfigured(`"${hint}" is none of ${HINTS.join(", ")}`);
    hints.set(name, hint);
  }
  if (listed.length > DATACENTERS_MAX) throw misconfigured(`more than ${DATACENTERS_MAX} are named`);
  const name = own ?? listed[0] ?? DEFAULT;
  return { own: name, primary: listed[0] ?? name, names: [...new Set([name, ...listed])], hints };
}

export const datacenterOf = (env: Bindings): string => datacentersOf(env).own;
export const primaryOf = (env: Bindings): string => datacentersOf(env).primary;

/** The one that a request asks for; absent or empty = the edge's own. Codes: `not_found`. */
export function datacenterNamed(env: Bindings, asked: string | null): string {
  const { own, names } = datacentersOf(env);
  if (asked === null || asked === "") return own;
  if (!names.includes(asked)) {
    throw new HoldfastError("not_found", `there is no datacenter "${asked.slice(0, 64)}"`, { field: "datacenter" });
  }
  return asked;
}

/** The name of a namespace's object. */
export const objectName = (env: Bindings, namespace: string, datacenter = datacenterOf(env)): string =>
  `${namespace}@${datacenter}`;

function isHint(text: string): text is DurableObjectLocationHint {
  return (HINTS as readonly string[]).includes(text);
}

function misconfigured(what: string): HoldfastError {
  return new HoldfastError("unavailable", `HOLDFAST_DATACENTERS: ${what}`);
}
