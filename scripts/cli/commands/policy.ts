/** `holdfast policy` and `holdfast token`: who may do what. A token's secret is printed once, when it is made. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { PolicySummary, StatementInput, TokenSummary } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { seconds } from "../duration.ts";
import { CommandError, usage } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { statementsOf } from "./statement-values.ts";
import { collect } from "./values.ts";

const RIGHTS = `
A right is VERBS:KIND[:NAME]. Verbs are separated by commas, or all; a name that ends with * is a prefix; without a
name every one is meant: --allow read,watch:kv:app/* --deny all:kv:app/secret --allow read:service`;

interface RightsOptions {
  allow?: string[];
  deny?: string[];
}

export function addPolicyCommands(program: Command, context: CommandContext): void {
  const policy = program.command("policy").description("named sets of rights").helpCommand(false);
  const client = (options: ConnectionOptions) => connect(options, context.env, context.checkout);

  const put = addRights(policy.command("put <name>").description("write a policy, or replace what it says"))
    .option("--file <path>", "statements as JSON, as the API has them; - reads them from stdin")
    .option("--description <text>");
  type PutOptions = ConnectionOptions & RightsOptions & { file?: string; description?: string };
  addConnectionOptions(put).action(async (name: string, options: PutOptions) => {
    const { file, description, allow, deny } = options;
    const hasRights = allow !== undefined || deny !== undefined;
    if ((file === undefined) === !hasRights) throw usage("policy put takes --allow and --deny, or --file");
    const statements = file === undefined ? statementsOf(options) : await statementsIn(file);
    const { value } = await client(options).putPolicy(name, { statements, ...(description && { description }) });
    await print(options.json ? json(value) : `revision ${value.modRevision}\n`);
  });

  const list = policy.command("list").description("all policies");
  addConnectionOptions(list).action(async (options: ConnectionOptions) => {
    const found: PolicySummary[] = [];
    for await (const one of client(options).policies()) found.push(one);
    const rows = found.map(({ name, modRevision, description }) => [name, String(modRevision), description]);
    await print(options.json ? json(found) : table(["NAME", "REVISION", "DESCRIPTION"], rows));
  });

  const get = policy.command("get <name>").description("what a policy says, as JSON");
  addConnectionOptions(get).action(async (name: string, options: ConnectionOptions) => {
    await print(json((await client(options).policy(name)).value));
  });

  const remove = policy.command("delete <name>").description("who had it has its rights no more");
  addConnectionOptions(remove).action(async (name: string, options: ConnectionOptions) => {
    const { value, revision } = await client(options).deletePolicy(name);
    await print(options.json ? json(value) : `revision ${revision}\n`);
  });
}

export function addTokenCommands(program: Command, context: CommandContext): void {
  const token = program.command("token").description("secrets that stand for rights").helpCommand(false);
  const client = (options: ConnectionOptions) => connect(options, context.env, context.checkout);

  const create = addRights(token.command("create").description("make a token; its secret is shown this once"))
    .option("--policy <name>", "with a policy's rights; may be repeated", collect)
    .option("--role <name>", "with a role's rights; may be repeated", collect)
    .option("--ttl <duration>", "how long it is valid; default: for ever")
    .option("--description <text>");
  type CreateOptions = ConnectionOptions &
    RightsOptions & { policy?: string[]; role?: string[]; ttl?: string; description?: string };
  addConnectionOptions(create).action(async (options: CreateOptions) => {
    const { policy: policies, role: roles, ttl, description } = options;
    const { value } = await client(options).createToken({
      statements: statementsOf(options),
      ...(policies && { policies }),
      ...(roles && { roles }),
      ...(ttl !== undefined && { ttl: seconds(ttl, "--ttl") }),
      ...(description && { description }),
    });
    await print(options.json ? json(value) : `accessor ${value.accessor}\nsecret   ${value.secret}\n`);
  });

  const list = token.command("list").description("all tokens, without their secrets");
  addConnectionOptions(list).action(async (options: ConnectionOptions) => {
    const found: TokenSummary[] = [];
    for await (const one of client(options).tokens()) found.push(one);
    await print(options.json ? json(found) : table(["ACCESSOR", "GRANTS", "EXPIRES", "DESCRIPTION"], found.map(rowOf)));
  });

  const remove = token.command("delete <accessor>").description("revoke a token");
  addConnectionOptions(remove).action(async (accessor: string, options: ConnectionOptions) => {
    const { value, revision } = await client(options).deleteToken(accessor);
    await print(options.json ? json(value) : `revision ${revision}\n`);
  });
}

function addRights(command: Command): Command {
  return command
    .option("--allow <right>", "may be repeated", collect)
    .option("--deny <right>", "wins over what is allowed at the same place; may be repeated", collect)
    .addHelpText("after", RIGHTS);
}

function rowOf({ accessor, policies, roles, expiresAt, description }: TokenSummary): string[] {
  const grants = [...policies, ...roles.map((role) => `role ${role}`)].join(",");
  return [accessor, grants, expiresAt ?? "never", description];
}

async function statementsIn(file: string): Promise<StatementInput[]> {
  const text = await readFile(file === "-" ? "/dev/stdin" : file, "utf8");
  let given: unknown;
  try {
    given = JSON.parse(text);
  } catch {
    throw new CommandError(`${file} is not JSON`);
  }
  const statements = Array.isArray(given) ? given : (given as { statements?: unknown } | null)?.statements;
  if (!Array.isArray(statements)) throw new CommandError(`${file} holds neither a list of statements nor a policy`);
  return statements as StatementInput[];
}
