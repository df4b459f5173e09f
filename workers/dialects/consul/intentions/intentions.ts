/**
 * `/v1/connect/intentions`: who may call whom, one by one. They are kept together by destination, as `service-intentions`
 * entries are; what is written here shows there, and the other way round.
 */
import { decidingPair } from "../../../../objects/rules/access.ts";
import { ANY } from "../../../../objects/rules/model.ts";
import { rangeOfRules, readRules } from "../config/config.ts";
import { refused } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { compileFilter } from "../filter/compile.ts";
import { INTENTION } from "../filter/schemas.ts";
import { primaryRoute } from "../route.ts";
import { intentionBody, parseService, permissionsOf, required } from "./body.ts";
import { createById, deleteById, getById, updateById } from "./by-id.ts";
import type { AccessRule } from "./intention.ts";
import { encodeIntention, intentionsOf, mayRead, sorted, told } from "./intention.ts";
import { changeSources, newSource, requireWrite } from "./write.ts";

export const intentionRoutes = [
  primaryRoute("/connect/intentions", { GET: list, POST: createById }),
  primaryRoute("/connect/intentions/match", { GET: match }),
  primaryRoute("/connect/intentions/check", { GET: check }),
  primaryRoute("/connect/intentions/exact", { GET: getExact, PUT: putExact, DELETE: deleteExact }),
  primaryRoute("/connect/intentions/", { GET: getById, PUT: updateById, DELETE: deleteById }),
];

async function list(exchange: Exchange): Promise<Response> {
  const filter = compileFilter(exchange.param("filter"), INTENTION);
  const rules = (await readRules(exchange, "access")) as AccessRule[];
  const intentions = sorted(rules.flatMap(intentionsOf));
  const visible = exchange.visible(intentions, (intention) => mayRead(exchange, intention));
  return exchange.json(visible.map(encodeIntention).filter(filter));
}

async function getExact(exchange: Exchange): Promise<Response> {
  const source = parseService("source", "SourceNS", required(exchange, "source"), true);
  const destination = parseService("destination", "DestinationNS", required(exchange, "destination"));
  const name = { kind: "access", name: destination.service } as const;
  const { value: rule } = await exchange.read("rule.get", name, [rangeOfRules("access")]);
  const found = (rule ? intentionsOf(rule as AccessRule) : []).find(
    ({ pair }) => pair.source.service === source.service && pair.source.peer === source.peer,
  );
  return told(exchange, found);
}

async function putExact(exchange: Exchange): Promise<Response> {
  const from = parseService("source", "SourceNS", required(exchange, "source")).service;
  const destination = parseService("destination", "DestinationNS", required(exchange, "destination")).service;
  const body = await exchange.body(intentionBody);
  if (body.SourcePeer !== "") {
    throw refused("SourcePeer field is not supported on this endpoint. Use config entries instead");
  }
  requireWrite(exchange, destination);
  const source = newSource({
    Name: from,
    Action: body.Action,
    Permissions: permissionsOf(body),
    Type: body.SourceType,
    Description: body.Description,
  });
  const change = (entry: { Sources: (typeof source)[] | null }, rule: AccessRule | null): boolean => {
    assertMeta(body.Meta, rule);
    const sources = entry.Sources ?? [];
    const index = sources.findIndex(({ Name, Peer }) => Name === from && Peer === "");
    entry.Sources = index === -1 ? [...sources, { ...source }] : sources.with(index, { ...source });
    return true;
  };
  await changeSources(exchange, { destination, byId: false, change });
  return exchange.json(true);
}

/** Meta is that of the whole entry: sent back unchanged it is fine. */
function assertMeta(meta: Record<string, string>, rule: AccessRule | null): void {
  const given = Object.entries(meta);
  if (given.length === 0) return;
  if (!rule) throw refused("Meta must not be specified");
  const isSame =
    given.length === Object.keys(rule.meta).length && given.every(([name, value]) => rule.meta[name] === value);
  if (!isSame) throw refused("Meta must not be specified, or should be unchanged during an update.");
}

async function deleteExact(exchange: Exchange): Promise<Response> {
  const from = parseService("source", "SourceNS", required(exchange, "source")).service;
  const destination = parseService("destination", "DestinationNS", required(exchange, "destination")).service;
  requireWrite(exchange, destination);
  await changeSources(exchange, {
    destination,
    byId: false,
    change(entry) {
      const before = entry.Sources ?? [];
      entry.Sources = before.filter(({ Name, Peer }) => Name !== from || Peer !== "");
      return entry.Sources.length < before.length;
    },
  });
  return exchange.json(true);
}

/** Each is a question of its own. */
const MATCHED_NAMES_MAX = 64;

async function match(exchange: Exchange): Promise<Response> {
  const by = exchange.params.getAll("by");
  if (by.length !== 1) throw refused("required query parameter 'by' not set");
  if (by[0] !== "source" && by[0] !== "destination") {
    throw refused("'by' parameter must be one of 'source' or 'destination'");
  }
  const names = exchange.params.getAll("name");
  if (names.length === 0) throw refused("required query parameter 'name' not set");
  if (names.length > MATCHED_NAMES_MAX) throw refused(`at most ${MATCHED_NAMES_MAX} names can be matched at once`);
  const services = names.map((name) => parseService("name", "match entry namespace", name).service);
  for (const service of services) exchange.require("intention", "read", service);
  await exchange.changed([rangeOfRules("access")]);
  const matches = new Map<string, unknown>();
  for (const [index, service] of services.entries()) {
    const { value: rules } = await exchange.client.query("rule.access", { by: by[0], service });
    const intentions = sorted((rules as AccessRule[]).flatMap(intentionsOf)).filter(
      ({ pair }) => by[0] === "destination" || isFrom(pair.source, service),
    );
    matches.set(names[index]!, intentions.length === 0 ? null : intentions.map(encodeIntention));
  }
  return exchange.json(Object.fromEntries(matches));
}

const isFrom = ({ service, peer }: { service: string; peer: string }, wanted: string): boolean =>
  peer === "" && (service === wanted || service === ANY);

async function check(exchange: Exchange): Promise<Response> {
  const type = exchange.params.get("source-type") ?? "consul";
  const source = parseService("source", "source namespace", required(exchange, "source")).service;
  const destination = parseService("destination", "destination namespace", required(exchange, "destination")).service;
  if (type !== "consul") throw refused(`unsupported SourceType: ${JSON.stringify(type)}`);
  exchange.require("service", "read", destination);
  const { value: rules } = await exchange.client.query("rule.access", { by: "source", service: source });
  const pair = decidingPair(rules, { source, peer: "", destination });
  const Allowed = pair ? pair.source.action === "allow" : exchange.authorizer.defaultPolicy === "allow";
  return exchange.json({ Allowed });
}
