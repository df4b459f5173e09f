/** A subset's filter in the words of the domain, so that whoever balances need not know Consul's language. */
import type { Selector } from "../../../../objects/rules/model.ts";
import type { Expression, ValueOperator } from "../filter/expression.ts";
import { parseFilter } from "../filter/parse.ts";

/** Fits nothing: what Consul cannot answer selects no instance. */
const NOTHING: Selector = { type: "any", of: [] };

/** Throws `FilterError`. */
export function selectorOf(filter: string): Selector | null {
  return filter === "" ? null : translated(parseFilter(filter));
}

function translated(expression: Expression): Selector {
  switch (expression.type) {
    case "and":
      return { type: "all", of: expression.operands.map(translated) };
    case "or":
      return { type: "any", of: expression.operands.map(translated) };
    case "not":
      return { type: "not", of: translated(expression.operand) };
    case "match": {
      const path = pathOf(expression.selector);
      if (!path) return NOTHING;
      if (!("value" in expression)) {
        const empty: Selector = { type: "empty", path };
        return expression.operator === "Is Empty" ? empty : { type: "not", of: empty };
      }
      const { test, isNegated } = TESTS[expression.operator];
      const question: Selector = { type: "is", path, test, value: expression.value };
      return isNegated ? { type: "not", of: question } : question;
    }
  }
}

type Test = "equals" | "contains" | "matches";

const TESTS: Record<ValueOperator, { test: Test; isNegated: boolean }> = {
  Equal: { test: "equals", isNegated: false },
  "Not Equal": { test: "equals", isNegated: true },
  In: { test: "contains", isNegated: false },
  "Not In": { test: "contains", isNegated: true },
  Matches: { test: "matches", isNegated: false },
  "Not Matches": { test: "matches", isNegated: true },
};

/** Consul's name of a field → the domain's. */
const FIELDS: Record<string, { root: string; names: Record<string, string[]> }> = {
  Service: {
    root: "instance",
    names: {
      ID: ["id"],
      Service: ["service"],
      Tags: ["tags"],
      Meta: ["meta"],
      Address: ["address"],
      Port: ["ports", "default"],
    },
  },
  Node: {
    root: "node",
    names: {
      ID: ["id"],
      Node: ["name"],
      Address: ["address"],
      Meta: ["meta"],
      TaggedAddresses: ["addresses"],
    },
  },
  Checks: {
    root: "checks",
    names: {
      CheckID: ["id"],
      Name: ["name"],
      Status: ["status"],
      Notes: ["notes"],
      Output: ["output"],
      Type: ["type"],
    },
  },
};

/** What only Consul has a word for is among what Consul keeps with the instance or the node. */
function pathOf([first = "", second, ...rest]: readonly string[]): string[] | null {
  const fields = Object.hasOwn(FIELDS, first) ? FIELDS[first]! : null;
  if (!fields || second === undefined) return null;
  const names = Object.hasOwn(fields.names, second) ? fields.names[second]! : ["extra", "consul", second];
  return [fields.root, ...names, ...rest];
}
