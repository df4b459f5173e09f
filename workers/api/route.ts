/**
 * One operation of the native API as data: its path, its shapes and its handler. From this the router, the validation and
 * the OpenAPI document are made.
 */
import { z } from "@hono/zod-openapi";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import type { ClaimKind, Fence } from "../../objects/fences.ts";
import type { Failpoint } from "../../objects/namespace.ts";
import type { Bindings } from "../request/bindings.ts";
import type { Authorizer } from "../request/authorizer.ts";
import { readJson } from "../request/body.ts";
import type { CommandOptions, NamespaceClient } from "../request/namespace-client.ts";
import type { Permission } from "../request/permission.ts";

export interface ApiBindings {
  platform: Bindings;
  failpoint?: Failpoint;
}

export interface ApiRequest<Q, B> {
  request: Request;
  env: ApiBindings;
  client: NamespaceClient;
  /** Path parameters, decoded. */
  params: Record<string, string>;
  query: Q;
  body: B;
  /** Who asks, and the id under which the call may be repeated. */
  options: CommandOptions;
  /** What the caller may do; what the route demands has been checked. */
  authorizer: Authorizer;
  /** The secret that the caller has shown. */
  token: string | null;
  /** The same as of now, for who has waited. Codes: `unauthenticated`, `unavailable`. */
  reauthorize: () => Promise<Authorizer>;
}

/** JSON, or a response as it is. */
export type ApiResult = { value: unknown; revision: number; status?: number } | Response;

export interface Route<Q extends z.ZodObject = z.ZodObject, B extends z.ZodType = z.ZodType> {
  method: "get" | "put" | "post" | "patch" | "delete";
  /** Below the namespace, with parameters as `{name}`; `{key+}` takes the rest of the path. */
  path: string;
  tag: string;
  id: string;
  summary: string;
  /** All of them have to be met; none = it is for whoever has a token. */
  permission: readonly Permission<ApiRequest<z.infer<Q>, z.infer<B>>>[];
  query?: Q;
  body?: B;
  /** A request body that is not JSON: its media type. */
  rawBody?: string;
  /** A schema for JSON, or the media type of something else. */
  response: z.ZodType | string;
  handle(request: ApiRequest<z.infer<Q>, z.infer<B>>): Promise<ApiResult>;
}

/** Keeps the types of query and body inside the handler; outside they are all alike. */
export function route<Q extends z.ZodObject = z.ZodObject, B extends z.ZodType = z.ZodType>(
  definition: Route<Q, B>,
): Route {
  return definition as unknown as Route;
}

/** Query parameters. `z.string()` in, whatever is wanted out. */
export const flag = (text: string) =>
  z
    .enum(["true", "false", "1", "0", ""])
    .transform((value) => value !== "false" && value !== "0")
    .optional()
    .openapi({ type: "boolean", description: text });

export const whole = (min: number, max: number, text: string) =>
  z
    .string()
    .regex(/^\d{1,16}$/, "must be a whole number")
    .transform(Number)
    .refine((value) => value >= min && value <= max, `must be from ${min} to ${max}`)
    .optional()
    .openapi({ type: "integer", description: text });

export const words = (text: string) => z.string().max(1024).optional().openapi({ type: "string", description: text });

export const REVISION_MAX = Number.MAX_SAFE_INTEGER;

const NO_QUERY = z.strictObject({});

/** Codes: `invalid_argument` naming the parameter. */
export function readQuery(params: URLSearchParams, schema: z.ZodObject = NO_QUERY): Record<string, unknown> {
  const given: Record<string, string> = {};
  for (const [name, value] of params) {
    if (!Object.hasOwn(schema.shape, name)) throw invalid(name.slice(0, 64), "is not a parameter of this operation");
    if (Object.hasOwn(given, name)) throw invalid(name, "is given twice");
    given[name] = value;
  }
  return validated(schema, given);
}

/** Codes: `invalid_argument` naming the field, `too_large`. */
export async function readValid(request: Request, schema: z.ZodType): Promise<unknown> {
  return validated(schema, await readJson(request));
}

/** Codes: `invalid_argument` naming the field. */
export function validated<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = schema.safeParse(value);
  if (result.success) return result.data;
  const issue = deepest(result.error.issues[0]!);
  const keys = issue.code === "unrecognized_keys" ? issue.keys.slice(0, 1) : [];
  const field = pathText([...issue.path, ...keys]) || "body";
  throw invalid(field, issue.code === "unrecognized_keys" ? "is not known here" : issue.message);
}

/** Of a union, the issue of the branch that came furthest says most. */
function deepest(issue: z.core.$ZodIssue): z.core.$ZodIssue {
  if (issue.code !== "invalid_union" || issue.errors.length === 0) return issue;
  const inner = issue.errors.flat().toSorted((a, b) => b.path.length - a.path.length)[0];
  return inner ? deepest({ ...inner, path: [...issue.path, ...inner.path] }) : issue;
}

function pathText(path: PropertyKey[]): string {
  let text = "";
  for (const part of path) text += typeof part === "number" ? `[${part}]` : `${text && "."}${String(part)}`;
  return text.slice(0, 256);
}

/** `Idempotency-Key`: 1 to 128 visible ASCII characters. */
export function requestIdOf(headers: Headers): string | undefined {
  const id = headers.get("idempotency-key");
  if (id === null) return undefined;
  if (!/^[\x21-\x7e]{1,128}$/.test(id)) throw invalid("Idempotency-Key", "must be 1 to 128 visible ASCII characters");
  return id;
}

/**
 * `X-Holdfast-Fence: lock/<name> <token>`, or `election/…`, and behind it ` <owner>`, without which a token of a shared lock
 * says too little; name and owner percent-encoded. Codes: `invalid_argument`.
 */
export function fenceOf(headers: Headers): Fence | undefined {
  const text = headers.get(FENCE_HEADER);
  if (text === null) return undefined;
  const match = /^(lock|election)\/(\S{1,4096}) ([1-9]\d{0,15})(?: (\S{1,4096}))?$/.exec(text);
  if (!match) {
    throw invalid(
      FENCE_HEADER,
      "must be lock/<name> or election/<name>, a space and the token, and perhaps one and the owner",
    );
  }
  const [, kind, name, token, owner] = match;
  try {
    return {
      kind: kind as ClaimKind,
      name: decodeURIComponent(name!),
      token: Number(token),
      owner: owner === undefined ? undefined : decodeURIComponent(owner),
    };
  } catch {
    throw invalid(FENCE_HEADER, "must have a name and an owner that are percent-encoded UTF-8");
  }
}

const FENCE_HEADER = "X-Holdfast-Fence";

export function notFound(what: string): HoldfastError {
  return new HoldfastError("not_found", what);
}
