/** What policies, roles and tokens have in common on the wire: links by name, where they are kept, what a write entails. */
import { z } from "@hono/zod-openapi";
import type { CommandInput, CommandName, CommandOutput } from "../../objects/commands.ts";
import { HoldfastError, invalid } from "../../objects/errors.ts";
import type { Link, LinkInput } from "../../objects/policy/grants.ts";
import type { Permission } from "../request/permission.ts";
import { forgetAuthorizers } from "../request/authorizer.ts";
import { datacenterOf } from "../request/datacenter.ts";
import type { Answer } from "../request/namespace-client.ts";
import type { ApiRequest } from "./route.ts";
import { words } from "./route.ts";

type Asked = Pick<ApiRequest<unknown, unknown>, "client" | "env" | "options">;

export const READING: readonly Permission<unknown>[] = [{ verb: "read", kind: "acl" }];
export const PUTTING: readonly Permission<unknown>[] = [
  { verb: "create", kind: "acl" },
  { verb: "update", kind: "acl" },
];
export const DELETING: readonly Permission<unknown>[] = [{ verb: "delete", kind: "acl" }];

export const page = z.strictObject({ after: words("Continue here, as an earlier answer told") });
export const names = z.array(z.string()).max(256);
export const existed = z.object({ existed: z.literal(true) });
export const revisions = { createRevision: z.number().int(), modRevision: z.number().int() };

export const linksOf = (given: readonly string[] = []): LinkInput[] => given.map((name) => ({ name }));

export const namesOf = (links: readonly Link[]): string[] => links.map(({ name }) => name);

/** Rights are kept where the edge asks for them. Codes: `invalid_argument`. */
export function assertHome({ client, env }: Pick<Asked, "client" | "env">): void {
  const own = datacenterOf(env.platform);
  if (client.datacenter !== own) throw invalid("datacenter", `policies and tokens are kept in "${own}"`);
}

/** Nothing is decided by older rights once the answer is out. */
export async function write<N extends CommandName>(
  asked: Asked,
  command: N,
  input: CommandInput<N>,
): Promise<Answer<CommandOutput<N>>> {
  assertHome(asked);
  try {
    return await asked.client.execute(command, input, asked.options);
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
