/** Reading and writing users and roles, which the primary datacenter keeps, in the name of a call. */
import type {
  CommandInput,
  CommandName,
  CommandOutput,
  QueryInput,
  QueryName,
  QueryOutput,
} from "../../../../objects/commands.ts";
import type { ErrorCode } from "../../../../objects/errors.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import { forgetAuthorizers } from "../../../request/authorizer.ts";
import { primaryOf } from "../../../request/datacenter.ts";
import { NamespaceClient } from "../../../request/namespace-client.ts";
import type { Demand } from "../../../request/permission.ts";
import type { Call, Header } from "../call.ts";
import type { EtcdError } from "../errors.ts";
import { forgetLogins } from "./logins.ts";

export const READING: readonly Demand[] = [{ verb: "read", kind: "acl" }];
/** As Consul has it: whoever may change one thing of access may change all of it. */
export const WRITING: readonly Demand[] = (["create", "update", "delete"] as const).map((verb) => ({
  verb,
  kind: "acl",
}));

export type Words = { [code in ErrorCode]?: (error: HoldfastError) => EtcdError };

export async function read<N extends QueryName>(
  call: Call,
  query: N,
  input: QueryInput<N>,
  words: Words = {},
): Promise<QueryOutput<N>> {
  return (await inWords(primaryClient(call).query(query, input), words)).value;
}

/** Nothing is decided by older rights once the answer is out. The rights to do it have been asked for. */
export async function write<N extends CommandName>(
  call: Call,
  command: N,
  input: CommandInput<N>,
  words: Words = {},
): Promise<{ header: Header; value: CommandOutput<N> }> {
  const { caller } = await call.identify();
  try {
    const { value } = await inWords(primaryClient(call).execute(command, input, { caller }), words);
    return { header: await headerOf(call), value };
  } finally {
    forgetAuthorizers(call.namespace);
    forgetLogins(call.namespace);
  }
}

/** Where nothing but the header is told. */
export const done = async <N extends CommandName>(
  ...asked: Parameters<typeof write<N>>
): Promise<{ header: Header }> => ({
  header: (await write(...asked)).header,
});

export const primaryClient = ({ env, namespace }: Call): NamespaceClient =>
  new NamespaceClient(env, namespace, primaryOf(env));

/** As of now, in the caller's own datacenter. */
export async function headerOf(call: Call): Promise<Header> {
  return call.header((await call.client.query("store.nothing", {})).revision);
}

/** Replaces an error of one code by etcd's. */
export async function inWords<T>(work: Promise<T>, words: Words): Promise<T> {
  try {
    return await work;
  } catch (error) {
    const word = error instanceof HoldfastError ? words[error.code] : undefined;
    throw word ? word(error as HoldfastError) : error;
  }
}

type NameListing = "user.list" | "role.list";

/** All of them, in their order. */
export async function namesIn(call: Call, query: NameListing): Promise<string[]> {
  const names: string[] = [];
  let after: string | null = null;
  do {
    const page: { items: { name: string }[]; after: string | null } = await read(call, query, { after });
    names.push(...page.items.map(({ name }) => name));
    after = page.after;
  } while (after !== null);
  return names.toSorted();
}
