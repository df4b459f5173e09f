/** Statements of policies on the wire: names as text, or as base64 where they are no UTF-8; without a name, every one. */
import { z } from "@hono/zod-openapi";
import { fromBinaryString, toBinaryString } from "../../objects/bytes.ts";
import type { Statement } from "../../objects/policy/statements.ts";
import { KINDS, VERBS } from "../../objects/policy/statements.ts";
import { invalid } from "../../objects/errors.ts";
import { bytesOf, keyOutput } from "./convert.ts";

export const statement = z
  .strictObject({
    effect: z
      .enum(["allow", "deny", "stop"])
      .optional()
      .describe("Default allow; stop ends the reach of a wider allow without forbidding"),
    verbs: z.array(z.enum(VERBS)).min(1),
    kind: z.enum(KINDS),
    match: z
      .enum(["exact", "prefix", "range"])
      .optional()
      .describe("Default exact. Exact beats the longest prefix, that beats ranges; then deny beats allow beats stop"),
    name: z.string().optional().describe("Absent: every name, and kinds without names"),
    nameBase64: z.string().optional().describe("Instead of a name that is not UTF-8"),
    end: z.string().optional().describe("Of a range: the first name after it; absent = no end"),
    endBase64: z.string().optional(),
    implied: z.literal(true).optional().describe("Follows from another rule: yields to what is spelled out"),
    origin: z.string().optional().describe("The rule it was written from"),
  })
  .openapi("Statement");

type StatementWire = z.infer<typeof statement>;

/** Codes: `invalid_argument`. */
export function statementsOf(field: string, given: readonly StatementWire[]): Statement[] {
  return given.map((one, index) => statementOf(`${field}[${index}]`, one));
}

function statementOf(
  field: string,
  { effect = "allow", verbs, kind, match, name, nameBase64, end, endBase64, implied, origin }: StatementWire,
): Statement {
  const common = { effect, verbs, kind, ...(implied && { implied }), ...(origin !== undefined && { origin }) };
  const isNamed = name !== undefined || nameBase64 !== undefined;
  const hasEnd = end !== undefined || endBase64 !== undefined;
  if (hasEnd && match !== "range") throw invalid(`${field}.end`, "is for ranges");
  if (!isNamed) {
    if (match === "range") throw invalid(`${field}.name`, "a range has to begin somewhere");
    if (match === "exact") throw invalid(`${field}.name`, "is missing");
    return { ...common, match: "prefix", name: "" };
  }
  const bytes = toBinaryString(bytesOf(`${field}.name`, name, nameBase64));
  if (match !== "range") return { ...common, match: match ?? "exact", name: bytes };
  const to = hasEnd ? toBinaryString(bytesOf(`${field}.end`, end, endBase64)) : null;
  return { ...common, match, name: bytes, end: to };
}

export function statementOutput({ name, effect, verbs, kind, implied, origin, ...matched }: Statement): StatementWire {
  const isEvery = matched.match === "prefix" && name === "";
  const end = matched.match === "range" && matched.end !== null ? nameOutput(matched.end) : null;
  return {
    effect,
    verbs: [...verbs],
    kind,
    ...(!isEvery && { match: matched.match, ...nameOutput(name) }),
    ...(end && (end.nameBase64 === undefined ? { end: end.name } : { endBase64: end.nameBase64 })),
    ...(implied && { implied }),
    ...(origin !== undefined && { origin }),
  };
}

/** One of both, so that what is read can be written again. */
function nameOutput(name: string): { name?: string; nameBase64?: string } {
  const { key, keyBase64 } = keyOutput(fromBinaryString(name));
  return keyBase64 === undefined ? { name: key } : { nameBase64: keyBase64 };
}
