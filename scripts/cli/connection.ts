/**
 * Where the edge is and who we are: options, then environment, then the data folder of an edge on this machine. The
 * stored token goes to the edge that stored it and to nobody else.
 */
import { join } from "node:path";
import { Option, type Command } from "commander";
import { readAddress, readToken } from "../serve/data-folder.ts";
import { isLoopback } from "../serve/ports.ts";
import { HoldfastClient } from "./client.ts";
import { usage } from "./exit.ts";

export interface ConnectionOptions {
  addr?: string;
  token?: string;
  data?: string;
  namespace?: string;
  json?: boolean;
}

const ADDRESS = "http://127.0.0.1:8500";

export function addConnectionOptions(command: Command): Command {
  return command
    .addOption(new Option("--addr <url>", "the edge (env: HOLDFAST_ADDR; default: the one on this machine)"))
    .addOption(new Option("--token <token>", "(env: HOLDFAST_TOKEN; default: the data folder's)"))
    .addOption(new Option("--namespace <name>", "(env: HOLDFAST_NAMESPACE; default: default)"))
    .addOption(new Option("--data <dir>", "data folder of the edge on this machine (env: HOLDFAST_DATA)"))
    .addOption(new Option("--json", "print JSON"));
}

type Environment = Record<string, string | undefined>;

/** Throws a usage error for an address that is none. */
export function connect(options: ConnectionOptions, env: Environment, checkout: string): HoldfastClient {
  const folder = folderOf(options, env, checkout);
  const stored = folder === null ? null : readAddress(folder);
  const address = originOf(options.addr ?? (env["HOLDFAST_ADDR"] || stored) ?? ADDRESS);
  const isLocal = folder !== null && stored !== null && sameEdge(address, originOf(stored));
  const token = options.token ?? (env["HOLDFAST_TOKEN"] || (isLocal ? readToken(folder) : null));
  const namespace = options.namespace ?? env["HOLDFAST_NAMESPACE"];
  return new HoldfastClient({
    address,
    token: token ?? undefined,
    namespace: namespace || undefined,
  });
}

/** The folder that was named, else the first with a running edge: here, or in the checkout the command belongs to. */
function folderOf(options: ConnectionOptions, env: Environment, checkout: string): string | null {
  const named = options.data ?? (env["HOLDFAST_DATA"] || undefined);
  if (named !== undefined) return named;
  const candidates = [".holdfast", join(checkout, ".holdfast")];
  return candidates.find((folder) => readAddress(folder) !== null) ?? null;
}

function originOf(address: string): string {
  const url = URL.parse(address.includes("://") ? address : `http://${address}`);
  if (url === null || !/^https?:$/.test(url.protocol)) throw usage(`"${address}" is not the URL of an edge`);
  return url.href;
}

function sameEdge(a: string, b: string): boolean {
  const [left, right] = [new URL(a), new URL(b)];
  if (left.protocol !== right.protocol || left.port !== right.port) return false;
  return left.hostname === right.hostname || (isLocalName(left.hostname) && isLocalName(right.hostname));
}

function isLocalName(hostname: string): boolean {
  return hostname === "localhost" || isLoopback(hostname.replace(/^\[|\]$/g, ""));
}
