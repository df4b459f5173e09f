/**
 * Rules that need no policy: identities and templated policies, which give what a service, a node or a known piece of
 * software needs; and the texts of the built-in policies.
 *
 * A template is text with `{{.Name}}` in it. Names are checked before they are put in, so that none can bring rules along.
 * Source: developer.hashicorp.com/consul/docs/security/acl/acl-policies, and /acl/tokens/create/create-a-service-token.
 */
import { MANAGEMENT_ID, READ_ONLY_ID } from "../../../../objects/policy/policies.ts";

export interface Template {
  id: string;
  name: string;
  description: string;
  /** JSON Schema of its variables; empty = it has none. */
  schema: string;
  rules: string;
}

const block = (resource: string, name: string, policy: string, more = ""): string =>
  `${resource} "${name}" {\n\tpolicy = "${policy}"\n${more}}\n`;
const assignment = (resource: string, policy: string): string => `${resource} = "${policy}"\n`;

const NAME = "{{.Name}}";
const NAME_SCHEMA = JSON.stringify({
  type: "object",
  properties: { name: { type: "string", $ref: "#/definitions/min-length-one" } },
  required: ["name"],
  definitions: { "min-length-one": { type: "string", minLength: 1 } },
});
const READ_CATALOG = block("service_prefix", "", "read") + block("node_prefix", "", "read");

export const SERVICE_TEMPLATE = "builtin/service";
export const NODE_TEMPLATE = "builtin/node";

export const TEMPLATES: readonly Template[] = [
  {
    id: "00000000-0000-0000-0000-000000000008",
    name: "builtin/api-gateway",
    description: "For an API gateway: register it, and discover what it routes to",
    schema: NAME_SCHEMA,
    rules: assignment("mesh", "read") + READ_CATALOG + block("service", NAME, "write"),
  },
  {
    id: "00000000-0000-0000-0000-000000000005",
    name: "builtin/dns",
    description: "For answering DNS questions",
    schema: "",
    rules: READ_CATALOG + block("query_prefix", "", "read"),
  },
  {
    id: "00000000-0000-0000-0000-000000000004",
    name: NODE_TEMPLATE,
    description: "For an agent: register its node, and discover services",
    schema: NAME_SCHEMA,
    rules: block("node", NAME, "write") + block("service_prefix", "", "read"),
  },
  {
    id: "00000000-0000-0000-0000-000000000009",
    name: "builtin/nomad-client",
    description: "For a Nomad client: register services, read keys and the catalog",
    schema: "",
    rules:
      block("agent_prefix", "", "read") +
      block("node_prefix", "", "read") +
      block("service_prefix", "", "write") +
      block("key_prefix", "", "read"),
  },
  {
    id: "00000000-0000-0000-0000-000000000006",
    name: "builtin/nomad-server",
    description: "For a Nomad server: register services, and make tokens for its tasks",
    schema: "",
    rules:
      assignment("acl", "write") +
      block("agent_prefix", "", "read") +
      block("node_prefix", "", "read") +
      block("service_prefix", "", "write"),
  },
  {
    id: "00000000-0000-0000-0000-000000000003",
    name: SERVICE_TEMPLATE,
    description: "For a service and its sidecar proxy: register them, and discover others",
    schema: NAME_SCHEMA,
    rules: block("service", NAME, "write") + block("service", `${NAME}-sidecar-proxy`, "write") + READ_CATALOG,
  },
];

export const templateNamed = (name: string): Template | undefined => TEMPLATES.find((one) => one.name === name);

/** Longest name of an identity. */
const NAME_CHARACTERS_MAX = 256;

/** Names that may stand in a template: of services and nodes as Consul's identities take them. */
export function isIdentityName(name: string): boolean {
  return name.length <= NAME_CHARACTERS_MAX && /^[a-z0-9](?:[a-z0-9_-]*[a-z0-9])?$/.test(name);
}

/** The template's text for a name that has been checked with `isIdentityName`. */
export const rendered = ({ rules }: Template, name: string): string => rules.replaceAll(NAME, name);

const NAMED_RESOURCES = ["agent", "event", "key", "node", "query", "session"];
const PLAIN_RESOURCES = ["acl", "keyring", "operator", "mesh", "peering"];

function globalRules(level: "read" | "write"): string {
  const plain = PLAIN_RESOURCES.map((resource) => assignment(resource, level));
  const named = NAMED_RESOURCES.map((resource) => block(`${resource}_prefix`, "", level));
  return [...plain, ...named, block("service_prefix", "", level, `\tintentions = "${level}"\n`)].join("");
}

/** What Consul shows as the rules of policies that are built in. */
export const BUILTIN_RULES: Readonly<Record<string, string>> = {
  [MANAGEMENT_ID]: globalRules("write"),
  [READ_ONLY_ID]: globalRules("read"),
};
