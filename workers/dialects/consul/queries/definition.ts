/**
 * Prepared queries between JSON and lookups, and what Consul says of those it refuses.
 *
 * Source: Consul 1.21, `structs.PreparedQuery`; `agent/consul/prepared_query_endpoint.go` for the texts.
 */
import { HoldfastError } from "../../../../objects/errors.ts";
import type { Lookup, LookupInput, LookupTarget } from "../../../../objects/lookups/lookups.ts";
import type { Decoded } from "../decode.ts";
import { bool, int, list, map, object, text, uint64 } from "../decode.ts";
import { parseDuration } from "../durations.ts";
import { ConsulError, refused } from "../errors.ts";

const HIDDEN = "<hidden>";
const PREFIX_MATCH = "name_prefix_match";

const target = object({ Peer: text, Datacenter: text });
const service = object({
  Service: text,
  SamenessGroup: text,
  Failover: object({ NearestN: int, Datacenters: list(text), Targets: list(target) }),
  OnlyPassing: bool,
  IgnoreCheckIDs: list(text),
  Near: text,
  Tags: list(text),
  NodeMeta: map(text),
  ServiceMeta: map(text),
  Connect: bool,
  Peer: text,
});

export const queryDefinition = object({
  ID: text,
  Name: text,
  Session: text,
  Token: text,
  Template: object({ Type: text, Regexp: text, RemoveEmptyTags: bool }),
  Service: service,
  DNS: object({ TTL: text }),
  CreateIndex: uint64,
  ModifyIndex: uint64,
});

export type QueryDefinition = Decoded<typeof queryDefinition>;

/** What of a query only Consul's clients know: its token, and its time to live as it was written. */
interface QueryExtra {
  token: string;
  ttl: string;
}

const extraOf = ({ extra }: Pick<Lookup, "extra">): QueryExtra => {
  const { token = "", ttl = "" } = (extra["consul"] ?? {}) as Partial<QueryExtra>;
  return { token, ttl };
};

/** The token that the query is executed with; "" = the caller's. */
export const tokenOf = (lookup: Pick<Lookup, "extra">): string => extraOf(lookup).token;

/** Codes of ConsulError: 500 `Invalid prepared query: …`. */
export function lookupOf(query: QueryDefinition): LookupInput {
  const { Name: name, Session: session, Token: token, Template: template, Service: asked, DNS: dns } = query;
  if (name === "" && template.Type === "" && session === "") throw bad("Must be bound to a session");
  if (token === HIDDEN) {
    throw bad(`Bad Token '${HIDDEN}', it looks like a query definition with a redacted token was submitted`);
  }
  const { Failover: failover } = asked;
  if (asked.Service === "") throw bad("Must provide a Service name to query");
  if (asked.SamenessGroup !== "") throw bad("sameness-groups are an enterprise-only feature");
  if (failover.NearestN < 0) throw bad(`Bad NearestN '${failover.NearestN}', must be >= 0`);
  if ((failover.NearestN !== 0 || failover.Datacenters.length > 0) && failover.Targets.length > 0) {
    throw bad("Targets cannot be populated with NearestN or Datacenters");
  }
  const ttlMs = ttlOf(dns.TTL);
  if (template.Type !== "" && template.Type !== PREFIX_MATCH) {
    throw refused(`raft apply failed: failed compiling template: Bad Template.Type '${template.Type}'`);
  }
  return {
    name,
    session: session === "" ? null : session,
    template: template.Type === "" ? null : { regexp: template.Regexp, removeEmptyTags: template.RemoveEmptyTags },
    target: {
      service: asked.Service,
      mesh: asked.Connect,
      peer: asked.Peer,
      onlyPassing: asked.OnlyPassing,
      ignoreChecks: asked.IgnoreCheckIDs,
      tags: asked.Tags,
      meta: asked.ServiceMeta,
      nodeMeta: asked.NodeMeta,
      near: asked.Near,
      failover: {
        nearest: failover.NearestN,
        datacenters: failover.Datacenters,
        targets: failover.Targets.map(({ Datacenter: datacenter, Peer: peer }) => ({ datacenter, peer })),
      },
    },
    ttlMs,
    extra: { consul: { token, ttl: dns.TTL } satisfies QueryExtra },
  };
}

function ttlOf(ttl: string): number | null {
  if (ttl === "") return null;
  const ms = parseDuration(ttl);
  if (ms === null) throw bad(`Bad DNS TTL '${ttl}': time: invalid duration ${JSON.stringify(ttl)}`);
  if (ms < 0) throw bad(`DNS TTL '${Math.round(ms * 1e6)}', must be >=0`);
  return ms;
}

const bad = (why: string): ConsulError => refused(`Invalid prepared query: ${why}`);

/** As it is read; the token only by those who may see tokens. */
export function queryJson(
  lookup: Lookup & { createRevision: number; modRevision: number },
  showToken: boolean,
): Record<string, unknown> {
  const { token } = extraOf(lookup);
  return {
    ID: lookup.id,
    Name: lookup.name,
    Session: lookup.session ?? "",
    Token: token === "" || showToken ? token : HIDDEN,
    Template: {
      Type: lookup.template ? PREFIX_MATCH : "",
      Regexp: lookup.template?.regexp ?? "",
      RemoveEmptyTags: lookup.template?.removeEmptyTags ?? false,
    },
    Service: serviceJson(lookup.target),
    DNS: dnsJson(lookup),
    CreateIndex: lookup.createRevision,
    ModifyIndex: lookup.modRevision,
  };
}

export const dnsJson = (lookup: Pick<Lookup, "extra">): { TTL: string } => ({ TTL: extraOf(lookup).ttl });

function serviceJson({ failover, ...asked }: LookupTarget): Record<string, unknown> {
  return {
    Service: asked.service,
    SamenessGroup: "",
    Failover: {
      NearestN: failover.nearest,
      Datacenters: orNull(failover.datacenters),
      Targets: orNull(failover.targets.map(({ datacenter, peer }) => ({ Peer: peer, Datacenter: datacenter }))),
    },
    OnlyPassing: asked.onlyPassing,
    IgnoreCheckIDs: orNull(asked.ignoreChecks),
    Near: asked.near,
    Tags: orNull(asked.tags),
    NodeMeta: Object.keys(asked.nodeMeta).length === 0 ? null : asked.nodeMeta,
    ServiceMeta: Object.keys(asked.meta).length === 0 ? null : asked.meta,
    Connect: asked.mesh,
    Peer: asked.peer,
  };
}

/** A slice that nobody made is null in Go. */
const orNull = <T>(items: T[]): T[] | null => (items.length === 0 ? null : items);

/** Fields of lookups → of queries, as texts of templates are named. */
const FIELDS: Record<string, string> = {
  service: "Service",
  peer: "Peer",
  near: "Near",
  ignoreChecks: "IgnoreCheckIDs",
  tags: "Tags",
  meta: "ServiceMeta",
  nodeMeta: "NodeMeta",
  "failover.datacenters": "Failover.Datacenters",
  "failover.targets": "Failover.Targets",
};

/** A refusal of the namespace in Consul's words; what has none stays as it is. */
export function wordsOfRefusal(error: unknown, { Name: name, Session: session }: QueryDefinition): unknown {
  if (!(error instanceof HoldfastError)) return error;
  const { code, details = {} } = error;
  const raft = (why: string): ConsulError => refused(`raft apply failed: ${why}`);
  if (code === "already_exists") {
    if (details["taken"] === "template") return raft("a query template with an empty name already exists");
    return raft(`name '${name}' aliases an existing query ${details["taken"] === "id" ? "ID" : "name"}`);
  }
  if (code === "not_found" && details["session"] !== undefined)
    return raft(`invalid session ${JSON.stringify(session)}`);
  if (code !== "invalid_argument") return error;
  const { field, template, reason } = details;
  if (template === undefined) return bad(error.message);
  if (field === "template.regexp") return raft(`failed compiling template: Bad Regexp: ${reason}`);
  const [, path = "", rest = ""] = /^([\w.]+?)((?:\[.*)?)$/.exec(String(field)) ?? [];
  return raft(
    `failed compiling template: Bad format '${template}' in Service.${FIELDS[path] ?? path}${rest}: ${reason}`,
  );
}
