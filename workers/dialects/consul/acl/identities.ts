/**
 * What a token or role grants besides policies: service identities, node identities and templated policies. They are kept
 * as Consul's clients wrote them, beside the statements they mean in this datacenter.
 */
import type { Extra } from "../../../../objects/policy/records.ts";
import type { Statement } from "../../../../objects/policy/statements.ts";
import type { Decoded } from "../decode.ts";
import { list, object, optional, text } from "../decode.ts";
import { refused } from "../errors.ts";
import { contentHash, ownExtra } from "./records.ts";
import { statementsOf } from "./rules.ts";
import type { Template } from "./templates.ts";
import { isIdentityName, NODE_TEMPLATE, rendered, SERVICE_TEMPLATE, templateNamed } from "./templates.ts";

/** As fields of a body. */
export const identityFields = {
  ServiceIdentities: list(object({ ServiceName: text, Datacenters: list(text) })),
  NodeIdentities: list(object({ NodeName: text, Datacenter: text })),
  TemplatedPolicies: list(
    object({
      TemplateID: text,
      TemplateName: text,
      TemplateVariables: optional(object({ Name: text })),
      Datacenters: list(text),
    }),
  ),
};

type Given = { [name in keyof typeof identityFields]: Decoded<(typeof identityFields)[name]> };

/** As answers show them, and as they are kept. */
export interface Identities {
  ServiceIdentities?: { ServiceName: string; Datacenters?: string[] }[];
  NodeIdentities?: { NodeName: string; Datacenter: string }[];
  TemplatedPolicies?: {
    TemplateID: string;
    TemplateName: string;
    TemplateVariables?: { name: string };
    Datacenters?: string[];
  }[];
}

export interface Holder {
  kind: "token" | "role";
  isLocal: boolean;
  datacenter: string;
}

/** Codes: 500 in Consul's words. */
export function identitiesFrom(given: Given, holder: Holder): { statements: Statement[]; extra: Extra } {
  const identities = checked(given, holder);
  const statements = syntheticPolicies(identities, holder.datacenter).flatMap(({ Rules }) => statementsOf(Rules));
  return { statements, extra: { consul: identities } };
}

export function identitiesOf(extra: Extra): Identities {
  const { ServiceIdentities, NodeIdentities, TemplatedPolicies } = ownExtra(extra) as Identities;
  return {
    ...(ServiceIdentities && { ServiceIdentities }),
    ...(NodeIdentities && { NodeIdentities }),
    ...(TemplatedPolicies && { TemplatedPolicies }),
  };
}

/** The policies that identities stand for; those of other datacenters mean nothing here. */
export function syntheticPolicies(identities: Identities, datacenter: string): SyntheticPolicy[] {
  const { ServiceIdentities = [], NodeIdentities = [], TemplatedPolicies = [] } = identities;
  const all = [
    ...ServiceIdentities.map(({ ServiceName, Datacenters }) => synthetic(SERVICE_TEMPLATE, ServiceName, Datacenters)),
    ...NodeIdentities.map(({ NodeName, Datacenter }) => synthetic(NODE_TEMPLATE, NodeName, [Datacenter])),
    ...TemplatedPolicies.map(({ TemplateName, TemplateVariables, Datacenters }) =>
      synthetic(TemplateName, TemplateVariables?.name ?? "", Datacenters),
    ),
  ];
  return all.filter(({ Datacenters }) => !Datacenters || Datacenters.includes(datacenter));
}

export interface SyntheticPolicy {
  ID: string;
  Name: string;
  Description: string;
  Rules: string;
  Datacenters?: string[];
  Hash: string;
}

function synthetic(template: string, name: string, datacenters: string[] | undefined): SyntheticPolicy {
  return syntheticPolicy(templateNamed(template)!, name, datacenters);
}

export function syntheticPolicy(template: Template, name: string, datacenters?: string[]): SyntheticPolicy {
  const Rules = rendered(template, name);
  const Hash = contentHash(Rules, datacenters);
  const ID = Buffer.from(Hash, "base64").subarray(0, 16).toString("hex");
  return {
    ID,
    Name: `synthetic-policy-${ID}`,
    Description: `synthetic policy generated from templated policy: ${template.name}`,
    Rules,
    ...(datacenters && datacenters.length > 0 && { Datacenters: datacenters }),
    Hash,
  };
}

/** Each once, and only with names that can be put into rules. */
function checked(
  { ServiceIdentities, NodeIdentities, TemplatedPolicies }: Given,
  { kind, isLocal }: Holder,
): Identities {
  const services = new Map<string, Set<string>>();
  for (const { ServiceName, Datacenters } of ServiceIdentities) {
    if (ServiceName === "") throw refused(`Service identity is missing the service name field on this ${kind}`);
    if (isLocal && Datacenters.length > 0) {
      throw refused(`Service identity "${ServiceName}" cannot specify a list of datacenters on a local token`);
    }
    const named = kind === "token" ? ` ${JSON.stringify(ServiceName)}` : "";
    if (!isIdentityName(ServiceName)) throw refused(`Service identity${named} has an invalid name. ${ALPHABET}`);
    services.set(ServiceName, new Set([...(services.get(ServiceName) ?? []), ...Datacenters]));
  }
  const nodes = new Map<string, { NodeName: string; Datacenter: string }>();
  for (const { NodeName, Datacenter } of NodeIdentities) {
    if (NodeName === "") throw refused(`Node identity is missing the node name field on this ${kind}`);
    if (Datacenter === "") throw refused(`Node identity is missing the datacenter field on this ${kind}`);
    if (!isIdentityName(NodeName)) throw refused(`Node identity has an invalid name. ${ALPHABET}`);
    nodes.set(`${NodeName}\0${Datacenter}`, { NodeName, Datacenter });
  }
  const templated = new Map<string, NonNullable<Identities["TemplatedPolicies"]>[number]>();
  for (const { TemplateName, TemplateVariables, Datacenters } of TemplatedPolicies) {
    const template = templateFor(TemplateName, TemplateVariables?.Name ?? "", kind);
    templated.set(`${TemplateName}\0${TemplateVariables?.Name ?? ""}`, {
      TemplateID: template.id,
      TemplateName,
      ...(TemplateVariables && { TemplateVariables: { name: TemplateVariables.Name } }),
      ...(Datacenters.length > 0 && { Datacenters }),
    });
  }
  return {
    ...(services.size > 0 && {
      ServiceIdentities: [...services].map(([ServiceName, datacenters]) => ({
        ServiceName,
        ...(datacenters.size > 0 && { Datacenters: [...datacenters].toSorted() }),
      })),
    }),
    ...(nodes.size > 0 && { NodeIdentities: [...nodes.values()] }),
    ...(templated.size > 0 && { TemplatedPolicies: [...templated.values()] }),
  };
}

const ALPHABET = "Only lowercase alphanumeric characters, '-' and '_' are allowed";

function templateFor(name: string, variable: string, kind: Holder["kind"]): Template {
  if (name === "") throw refused(`templated policy is missing the template name field on this ${kind}`);
  const template = templateNamed(name);
  if (!template) {
    throw refused(
      kind === "token"
        ? `no such ACL templated policy with Name ${JSON.stringify(name)}`
        : `templated policy with an invalid templated name: ${name} for this role`,
    );
  }
  const problem = problemOfVariable(template, variable);
  if (problem === null) return template;
  throw refused(
    kind === "token"
      ? `validation error for templated policy ${JSON.stringify(name)}: ${problem}`
      : `encountered role with invalid templated policy: ${problem}`,
  );
}

/** What is wrong with the value of a template's variable; null = nothing. */
export function problemOfVariable(template: Template, value: string): string | null {
  if (template.schema === "") return null;
  if (value === "") return "name is required";
  if (isIdentityName(value)) return null;
  const what = template.name === NODE_TEMPLATE ? "node identity" : "service identity";
  return `${what} ${JSON.stringify(value)} has an invalid name. ${ALPHABET}`;
}
