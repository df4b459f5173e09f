/**
 * Binding rules: what a login grants to an identity that has been proven. Pure: a rule selects by the claims that the auth
 * method maps, and names what it grants by a template with `${value.<claim>}` in it.
 *
 * Source: developer.hashicorp.com/consul/docs/security/acl/auth-methods (binding rules).
 */
import type { BindingRule } from "../../../../objects/policy/auth-methods.ts";
import { refused } from "../errors.ts";
import { compileFilter } from "../filter/compile.ts";
import { FilterError } from "../filter/filter-error.ts";
import { JWT_IDENTITY } from "../filter/schemas.ts";
import type { JwtConfig } from "./jwt-config.ts";
import { problemOfVariable } from "./identities.ts";
import { isIdentityName, templateNamed } from "./templates.ts";

/** The mapped claims of an identity. */
export interface Claims {
  value: Record<string, string>;
  list: Record<string, string[]>;
}

export interface Bindings {
  roles: string[];
  policies: string[];
  services: string[];
  nodes: string[];
  templates: { name: string; variable: string | undefined }[];
}

interface Bind {
  selector: string;
  type: string;
  name: string;
  variable: string | undefined;
}

const isRoleName = (name: string): boolean => /^[A-Za-z0-9_-]{1,256}$/.test(name);
const isPolicyName = (name: string): boolean => name.length <= 128 && /^[A-Za-z0-9_-]+\/?[A-Za-z0-9_-]*$/.test(name);

const IS_NAME: Readonly<Record<string, (name: string) => boolean>> = {
  service: isIdentityName,
  node: isIdentityName,
  role: isRoleName,
  policy: isPolicyName,
};

/** Whether a rule can be carried out with the claims that a method maps. Codes: 500 in Consul's words. */
export function assertBinding(bind: Bind, { ClaimMappings }: JwtConfig): void {
  const { selector, type, name, variable } = bind;
  try {
    compileFilter(selector, JWT_IDENTITY);
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw refused(`invalid Binding Rule: Selector is invalid: ${error.reason}`);
  }
  if (type === "") throw refused("Invalid Binding Rule: no BindType is set");
  if (name === "") throw refused("Invalid Binding Rule: no BindName is set");
  if (type !== "templated-policy" && variable !== undefined) {
    throw refused("invalid Binding Rule: BindVars cannot be set when bind type is not templated-policy.");
  }
  const fake = Object.fromEntries(Object.values(ClaimMappings).map((claim) => [claim, "fake"]));
  try {
    computed(bind, { value: fake, list: {} });
  } catch (error) {
    if (!(error instanceof BindingError)) throw error;
    throw refused(`Invalid Binding Rule: invalid BindName or BindVars: ${error.message}`);
  }
}

/** All that the rules grant to an identity. Codes: 500 in Consul's words, for a claim that makes no name. */
export function bindingsOf(rules: readonly BindingRule[], claims: Claims): Bindings {
  const bindings: Bindings = { roles: [], policies: [], services: [], nodes: [], templates: [] };
  for (const { selector, bind } of rules) {
    if (!selects(selector, claims)) continue;
    const { type, name, variables } = bind;
    const { name: granted, variable } = computedOrRefused(
      { selector, type, name, variable: variables["name"] },
      claims,
    );
    if (type === "role") bindings.roles.push(granted);
    else if (type === "policy") bindings.policies.push(granted);
    else if (type === "service") bindings.services.push(granted);
    else if (type === "node") bindings.nodes.push(granted);
    else bindings.templates.push({ name: granted, variable });
  }
  return bindings;
}

function computedOrRefused(bind: Bind, claims: Claims): { name: string; variable: string | undefined } {
  try {
    return computed(bind, claims);
  } catch (error) {
    if (error instanceof BindingError) throw refused(error.message);
    throw error;
  }
}

/** A selector that cannot be read selects nobody. */
function selects(selector: string, claims: Claims): boolean {
  try {
    return compileFilter(selector, JWT_IDENTITY)(claims);
  } catch (error) {
    if (error instanceof FilterError) return false;
    throw error;
  }
}

class BindingError extends Error {}

function computed({ type, name, variable }: Bind, claims: Claims): { name: string; variable: string | undefined } {
  const within = (message: string) =>
    new BindingError(`failed to validate bindType ${JSON.stringify(type)}: ${message}`);
  if (type === "templated-policy") {
    const template = templateNamed(name);
    if (!template) {
      const mismatch = "Bind name for templated-policy bind type does not match existing template name";
      throw within(`${mismatch}: ${name}`);
    }
    const value = variable === undefined ? undefined : interpolated(variable, claims);
    const problem = problemOfVariable(template, value ?? "");
    if (problem !== null) throw within(`templated policy failed validation: ${problem}`);
    return { name, variable: value };
  }
  const isName = Object.hasOwn(IS_NAME, type) ? IS_NAME[type]! : undefined;
  if (!isName) throw new BindingError(`invalid Binding Rule: unknown BindType ${JSON.stringify(type)}`);
  const bound = interpolated(name, claims);
  if (!isName(bound)) throw within(`invalid bind name: ${JSON.stringify(bound)}`);
  return { name: bound, variable: undefined };
}

const REFERENCE = /\$\$\{|\$\{\s*([^}]*?)\s*\}|\$\{/g;

/** `${value.<claim>}`, in lower case as the whole; `$${` stands for itself. */
function interpolated(template: string, { value }: Claims): string {
  const text = template.replaceAll(REFERENCE, (whole, reference: string | undefined) => {
    if (whole === "$${") return "${";
    const claim = reference?.startsWith("value.") ? reference.slice("value.".length) : undefined;
    if (claim === undefined || !Object.hasOwn(value, claim)) {
      throw new BindingError(`error interpreting template: unknown variable accessed: ${reference ?? whole}`);
    }
    return value[claim]!;
  });
  return text.toLowerCase();
}
