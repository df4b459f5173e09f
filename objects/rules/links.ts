/** Which services a rule speaks of besides the one it is named for, and which a service's graph may touch. */
import { HoldfastError } from "../errors.ts";
import type { Rule, RuleKind, RuleReader, RuleSpecs } from "./model.ts";

const AROUND_SERVICES_MAX = 5000;

type Linked = { [K in RuleKind]?: (spec: RuleSpecs[K]) => string[] };

const LINKED: Linked = {
  router: ({ routes }) => routes.map(({ destination }) => destination.service),
  splitter: ({ splits }) => splits.map(({ service }) => service),
  resolver: ({ redirect, failover }) =>
    [redirect, ...Object.values(failover).flatMap(({ targets }) => targets)].flatMap((to) =>
      // Another cluster's services are not ours.
      to && to.peer === "" ? [to.service] : [],
    ),
  egress: ({ services }) => services,
  ingress: ({ listeners }) => listeners.flatMap(({ services }) => services.map(({ service }) => service)),
};

/** `*` = any. */
export function linkedServices<K extends RuleKind>(rule: Rule<K>): string[] {
  const linked = LINKED[rule.kind]?.(rule.spec) ?? [];
  return [...new Set(linked)].filter((service) => service !== "" && service !== rule.name);
}

/** The service and all that its graph may lead to: by its router, and by splitters and resolvers on. Codes: `too_large`. */
export function servicesAround(rules: RuleReader, service: string): Set<string> {
  const services = new Set([service]);
  for (const name of services) {
    const onward = [
      name === service && rules.find("router", name),
      rules.find("splitter", name),
      rules.find("resolver", name),
    ];
    for (const rule of onward) if (rule) for (const linked of linkedServices(rule)) services.add(linked);
    if (services.size > AROUND_SERVICES_MAX) {
      throw new HoldfastError("too_large", `the rules around service "${service}" speak of too many services`, {
        service,
        limit: AROUND_SERVICES_MAX,
      });
    }
  }
  return services;
}
