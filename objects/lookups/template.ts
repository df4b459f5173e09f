/**
 * Templates of lookups: texts with `${…}` in them, filled in from the name that was asked for.
 *
 * `${name.full}` is that name, `${name.prefix}` the template's own, `${name.suffix}` what follows it, `${match(N)}` the
 * Nth group of the template's regular expression (0 = all of it; empty when there is none), `${agent.segment}` empty, since
 * there are no network segments. `$${` is a `${` that means itself. Source: Consul's documentation of query templates,
 * whose larger language (HIL: arithmetic, conditions) nothing there needs.
 *
 * Pure. Regular expressions are RE2's: linear in the text, and bounded in size.
 */
import { RE2JS, RE2JSException } from "re2js";
import { HoldfastError } from "../errors.ts";

const REGEXP_CHARACTERS_MAX = 512;
const REGEXP_INSTRUCTIONS_MAX = 4096;
const GROUPS_MAX = 64;

/** From the name that was asked for. */
export interface TemplateScope {
  full: string;
  prefix: string;
  suffix: string;
  /** Groups of the regular expression. */
  matches: string[];
}

/** Codes: `invalid_argument`, with the text and what is wrong with it as `template` and `reason`. */
export function renderText(field: string, text: string, scope: TemplateScope): string {
  let out = "";
  let at = 0;
  for (;;) {
    const start = text.indexOf("${", at);
    if (start === -1) return out + text.slice(at);
    if (text[start - 1] === "$" && start > at) {
      out += `${text.slice(at, start - 1)}\${`;
      at = start + 2;
      continue;
    }
    const end = text.indexOf("}", start);
    if (end === -1) throw badTemplate(field, text, "expected `}` but reached its end");
    out += text.slice(at, start) + valueOf(field, text, text.slice(start + 2, end).trim(), scope);
    at = end + 1;
  }
}

function valueOf(field: string, text: string, expression: string, scope: TemplateScope): string {
  switch (expression) {
    case "name.full":
      return scope.full;
    case "name.prefix":
      return scope.prefix;
    case "name.suffix":
      return scope.suffix;
    case "agent.segment":
      return "";
  }
  const group = /^match\(\s*(\d{1,4})\s*\)$/.exec(expression);
  if (group) return scope.matches[Number(group[1])] ?? "";
  throw badTemplate(field, text, `unknown variable or function: ${expression.slice(0, 64)}`);
}

/** Compiled anew for each use: templates are few, and no state of theirs is kept. Codes: `invalid_argument`. */
export function compileRegexp(field: string, source: string): (text: string) => string[] {
  if (source.length > REGEXP_CHARACTERS_MAX) {
    throw badTemplate(field, source.slice(0, 64), `more than ${REGEXP_CHARACTERS_MAX} characters`);
  }
  let compiled: RE2JS;
  try {
    compiled = RE2JS.compile(source);
  } catch (error) {
    if (!(error instanceof RE2JSException)) throw error;
    throw badTemplate(field, source, error.message);
  }
  if (compiled.programSize() > REGEXP_INSTRUCTIONS_MAX) throw badTemplate(field, source, "expression too large");
  return (text) => {
    const matcher = compiled.matcher(text);
    if (!matcher.find()) return [];
    const count = Math.min(matcher.groupCount(), GROUPS_MAX);
    return Array.from({ length: count + 1 }, (_, group) => matcher.group(group) ?? "");
  };
}

function badTemplate(field: string, template: string, reason: string): HoldfastError {
  return new HoldfastError("invalid_argument", `${field}: ${reason}`, { field, template, reason });
}
