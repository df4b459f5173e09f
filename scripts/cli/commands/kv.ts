/** `holdfast kv`: keys and values. Values are bytes: `get` prints them as they are. */
import { readFile } from "node:fs/promises";
import type { Command } from "commander";
import type { KeyValueItem } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { CommandError, usage } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { wholeNumber } from "./values.ts";

const VALUE_BYTES_MAX = 64 * 1024 * 1024;
const PREVIEW_CHARS = 60;

export function addKvCommands(program: Command, context: CommandContext): void {
  const kv = program.command("kv").description("keys and values").helpCommand(false);
  const client = (options: ConnectionOptions) => connect(options, context.env, context.checkout);

  const get = kv.command("get <key>").description("print a value").option("--revision <n>", "as it was then");
  addConnectionOptions(get).action(async (key: string, options: ConnectionOptions & { revision?: string }) => {
    const revision = options.revision === undefined ? undefined : wholeNumber(options.revision, "--revision");
    const answer = await client(options).getKey(key, { revision });
    if (!options.json) return print(answer.value);
    await print(json({ key, value: Buffer.from(answer.value).toString("base64"), revision: answer.revision }));
  });

  const put = kv
    .command("put <key> [value]")
    .description("store a value; - reads it from stdin")
    .option("--file <path>", "read the value from a file")
    .option("--cas <revision>", "only when the key is at this revision; 0 = only when it does not exist");
  type PutOptions = ConnectionOptions & { file?: string; cas?: string };
  addConnectionOptions(put).action(async (key: string, value: string | undefined, options: PutOptions) => {
    const cas = options.cas === undefined ? undefined : wholeNumber(options.cas, "--cas");
    const answer = await client(options).putKey(key, await valueOf(value, options.file), { cas });
    await print(options.json ? json({ revision: answer.revision }) : `revision ${answer.revision}\n`);
  });

  const remove = kv
    .command("delete <key>")
    .description("delete a key")
    .option("--prefix", "and all keys that begin with it")
    .option("--cas <revision>", "only when the key is at this revision");
  type DeleteOptions = ConnectionOptions & { prefix?: true; cas?: string };
  addConnectionOptions(remove).action(async (key: string, options: DeleteOptions) => {
    const cas = options.cas === undefined ? undefined : wholeNumber(options.cas, "--cas");
    if (cas !== undefined && options.prefix) throw usage("--cas and --prefix exclude one another");
    const answer = await client(options).deleteKey(key, { cas, ...(options.prefix && { prefix: true }) });
    const value = answer.value as Record<string, unknown>;
    await print(options.json ? json({ ...value, revision: answer.revision }) : `revision ${answer.revision}\n`);
  });

  const list = kv.command("list [prefix]").description("keys that begin so").option("--keys", "without values");
  addConnectionOptions(list).action(async (prefix = "", options: ConnectionOptions & { keys?: true }) => {
    const { value } = await client(options).listKeys(prefix, options.keys ? { keys: true } : {});
    await print(options.json ? json(value) : listing(value.items));
  });
}

function listing(items: readonly KeyValueItem[]): string {
  const rows = items.map((item) => {
    const bytes = item.value === undefined ? null : Buffer.from(item.value, "base64");
    const text = bytes === null ? "" : bytes.toString("utf8");
    const preview = text.length > PREVIEW_CHARS ? `${text.slice(0, PREVIEW_CHARS)}…` : text;
    return [item.key, String(item.modRevision ?? ""), bytes === null ? "" : String(bytes.length), preview];
  });
  return table(["KEY", "REVISION", "BYTES", "VALUE"], rows);
}

async function valueOf(value: string | undefined, file: string | undefined): Promise<string | Uint8Array<ArrayBuffer>> {
  if ((value === undefined) === (file === undefined)) throw usage("kv put takes a value, - for stdin, or --file");
  if (value !== undefined && value !== "-") return value;
  if (file !== undefined) return new Uint8Array(await readFile(file));
  const chunks: Buffer[] = [];
  let bytes = 0;
  for await (const chunk of process.stdin as AsyncIterable<Buffer>) {
    bytes += chunk.length;
    if (bytes > VALUE_BYTES_MAX) throw new CommandError("the value on stdin is too large");
    chunks.push(chunk);
  }
  return new Uint8Array(Buffer.concat(chunks));
}
