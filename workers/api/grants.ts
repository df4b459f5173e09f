/** What policies, roles, tokens and users have in common on the wire: links by name, where they are kept, what a write entails. */
import { z } from "@hono/zod-openapi";
import type { CommandInput, CommandName, CommandOutput, QueryInput, QueryOutput } from "../../objects/commands.ts";
import { HoldfastError } from "../../objects/errors.ts";
import type { Link, LinkInput } from "../../objects/policy/grants.ts";
import type { PageInput } from "../../objects/policy/records.ts";
import type { Permission } from "../request/permission.ts";
import { forgetAuthorizers } from "../request/authorizer.ts";
import { primaryOf } from "../request/datacenter.ts";
import type { Answer } from "../request/namespace-client.ts";
import { NamespaceClient } from "../request/namespace-client.ts";
import type { ApiRequest, Route } from "./route.ts";
import { REVISION_MAX, route, whole, words } from "./route.ts";
import { statement } from "./statements.ts";

type Asked = Pick<ApiRequest<unknown, unknown>, "client" | "env" | "options">;

export const READING: readonly Permission<unknown>[] = [{ verb: "read", kind: "acl" }];
export const PUTTING: readonly Permission<unknown>[] = [
  { verb: "create", kind: "acl" },
  { verb: "update", kind: "acl" },
];
export const DELETING: readonly Permission<unknown>[] = [{ verb: "delete", kind: "acl" }];

export const names = z.array(z.string()).max(256);
export const existed = z.object({ existed: z.literal(true) });
export const cas = whole(0, REVISION_MAX, "Only if its modRevision is this; 0 = only if there is none");
export const revisions = { createRevision: z.number().int(), modRevision: z.number().int() };

/** Of a body: what its subject is granted. */
export const grants = {
  policies: names.optional().describe("By name"),
  roles: names.optional().describe("By name"),
  statements: z.array(statement).optional().describe("Of its own"),
};

export const linksOf = (given: readonly string[] = []): LinkInput[] => given.map((name) => ({ name }));

export const namesOf = (links: readonly Link[]): string[] => links.map(({ name }) => name);

/** An operation on what the installation has once: whichever datacenter is asked, it is kept in the primary one. */
export function primaryRoute<Q extends z.ZodObject = z.ZodObject, B extends z.ZodType = z.ZodType>(
  definition: Route<Q, B>,
): Route {
  return route<Q, B>({
    ...definition,
    handle: (asked) => definition.handle({ ...asked, client: primaryClient(asked) }),
  });
}

function primaryClient({ client, env }: Pick<Asked, "client" | "env">): NamespaceClient {
  const primary = primaryOf(env.platform);
  return client.datacenter === primary ? client : new NamespaceClient(env.platform, client.namespace, primary);
}

type Listing = "policy.list" | "role.list" | "token.list" | "user.list";
type Item<N extends Listing> = QueryOutput<N>["items"][number];

interface ReadDefinition<T> {
  /** Of what is read: in the path, and in the answer to a listing. */
  plural: string;
  id: string;
  summary: string;
  item: z.ZodType;
  itemOf: (item: T) => unknown;
}

/** All there are of a kind, in parts. */
export const listRoute = <N extends Listing>(
  listing: N,
  { plural, id, summary, item, itemOf }: ReadDefinition<Item<N>>,
): Route =>
  primaryRoute({
    method: "get",
    path: `/${plural}`,
    tag: "Policies",
    id,
    summary,
    permission: READING,
    query: z.strictObject({ after: words("Continue here, as an earlier answer told") }),
    response: z.object({ [plural]: z.array(item), after: z.string().nullable() }),
    async handle({ client, query }) {
      const input: PageInput = { after: query.after ?? null };
      const { value, revision } = await client.query(listing, input as QueryInput<N>);
      const items: readonly Item<N>[] = value.items;
      return { value: { [plural]: items.map(itemOf), after: value.after }, revision };
    },
  });

/** The one of a name. */
export const getRoute = <N extends "policy.get" | "role.get" | "user.get">(
  reading: N,
  { plural, id, summary, item, itemOf }: ReadDefinition<QueryOutput<N>>,
): Route =>
  primaryRoute({
    method: "get",
    path: `/${plural}/{name}`,
    tag: "Policies",
    id,
    summary,
    permission: READING,
    response: item,
    async handle({ client, params }) {
      const { value, revision } = await client.query(reading, { name: params["name"]! } as QueryInput<N>);
      return { value: itemOf(value), revision };
    },
  });

/** Nothing is decided by older rights once the answer is out. */
export async function write<N extends CommandName>(
  asked: Asked,
  command: N,
  input: CommandInput<N>,
): Promise<Answer<CommandOutput<N>>> {
  try {
    return await primaryClient(asked).execute(command, input, asked.options);
  } finally {
    forgetAuthorizers(asked.client.namespace);
  }
}

/** Null instead of `not_found`. */
export async function orNull<T>(reading: Promise<Answer<T>>): Promise<Answer<T> | null> {
  try {
    return await reading;
  } catch (error) {
    if (error instanceof HoldfastError && error.code === "not_found") return null;
    throw error;
  }
}
