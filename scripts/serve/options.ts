/**
 * What `serve` can be told, by flag or by environment variable (the flag wins), as one checked value.
 * Decides nothing that needs the disk or the network.
 */
import { Option, type Command } from "commander";
import { usage } from "../cli/exit.ts";

/** A listener of the agent: its flag is `--<name>-port`, its variable `HOLDFAST_<NAME>_PORT`. */
export const AGENT_PORTS = {
  dns: 8600,
  zookeeper: 2181,
  etcd: 2379,
  nacos: 8848,
  eureka: 8761,
  xds: 15010,
} as const;

export type AgentListener = keyof typeof AGENT_PORTS;

export interface AgentCheckOptions {
  /** Whoever may register a check may run commands here. */
  scripts: boolean;
}

export interface ServeOptions {
  host: string;
  /** 0 = one that is free. */
  port: number;
  dataFolder: string;
  /** From the operator; null = the data folder's. */
  rootToken: string | null;
  isOpen: boolean;
  datacenter: string;
  /** All there are, as the Worker takes them (workers/request/datacenter.ts); "" = only its own. */
  datacenters: string;
  domain: string;
  /** The one that this machine is: Consul's clients are on it, and its checks are run here. */
  node: string;
  /** The agent's ports; 0 = off. All are 0 with --no-agent. */
  agentPorts: Record<AgentListener, number>;
  /** Null: no checks are run here. */
  agentChecks: AgentCheckOptions | null;
  /** What checks and the gateway may reach; handed to the Worker as they are. */
  egress: Record<string, string>;
  isTest: boolean;
  /** The Worker's entry; undefined = workers/edge.ts of the checkout. */
  entry: string | undefined;
}

type Environment = Record<string, string | undefined>;

export function addServeOptions(command: Command): Command {
  const value = (flags: string, text: string, env: string): Command =>
    command.addOption(new Option(flags, `${text} (env: ${env})`));
  value("--port <n>", "port of the edge; 0 takes a free one (default: 8500)", "HOLDFAST_PORT");
  value("--host <address>", "address to listen on (default: 127.0.0.1)", "HOLDFAST_HOST");
  value("--data <dir>", "data folder (default: .holdfast)", "HOLDFAST_DATA");
  value("--root-token <token>", "root token instead of the data folder's", "HOLDFAST_ROOT_TOKEN");
  value("--open", "no tokens needed; on loopback only", "HOLDFAST_OPEN");
  value("--datacenter <name>", "name of this datacenter (default: the first of them, or dc1)", "HOLDFAST_DATACENTER");
  value("--datacenters <names>", "all datacenters: dc1,dc2", "HOLDFAST_DATACENTERS");
  value("--domain <name>", "domain of DNS names and hosts (default: holdfast)", "HOLDFAST_DOMAIN");
  value("--no-agent", "the edge only, no listeners of the agent", "HOLDFAST_NO_AGENT");
  value("--node <name>", "node that this machine is: its checks run here (default: holdfast)", "HOLDFAST_NODE");
  value(
    "--enable-script-checks",
    "the agent runs commands that checks name: whoever may register may run anything here",
    "HOLDFAST_ENABLE_SCRIPT_CHECKS",
  );
  for (const [name, port] of Object.entries(AGENT_PORTS)) {
    value(
      `--${name}-port <n>`,
      `port of the agent's ${name} listener, 0 = off (default: ${port})`,
      `HOLDFAST_${name.toUpperCase()}_PORT`,
    );
  }
  return command.addOption(new Option("--entry <file>").hideHelp());
}

/** `flags` as commander parsed them. Throws a usage error for a value that makes no sense. */
export function serveOptions(flags: Record<string, unknown>, env: Environment): ServeOptions {
  const text = (flag: string, variable: string): string | undefined => {
    const given = flags[flag];
    // An empty variable is an unset one, as in compose files.
    return typeof given === "string" ? given : env[variable] || undefined;
  };
  const hasAgent = flags["agent"] !== false && !isSet(env["HOLDFAST_NO_AGENT"]);
  const agentPort = (name: AgentListener): number => {
    const variable = `HOLDFAST_${name.toUpperCase()}_PORT`;
    const port = portNumber(text(`${name}Port`, variable) ?? String(AGENT_PORTS[name]), `--${name}-port`);
    return hasAgent ? port : 0;
  };
  const names = Object.keys(AGENT_PORTS) as AgentListener[];
  const datacenters = datacenterList(text("datacenters", "HOLDFAST_DATACENTERS") ?? "");
  return {
    host: text("host", "HOLDFAST_HOST") ?? "127.0.0.1",
    port: portNumber(text("port", "HOLDFAST_PORT") ?? "8500", "--port"),
    dataFolder: text("data", "HOLDFAST_DATA") ?? ".holdfast",
    rootToken: text("rootToken", "HOLDFAST_ROOT_TOKEN") ?? null,
    isOpen: flags["open"] === true || isSet(env["HOLDFAST_OPEN"]),
    datacenter: label(text("datacenter", "HOLDFAST_DATACENTER") ?? datacenters[0]?.name ?? "dc1", "--datacenter"),
    datacenters: datacenters.map(({ entry }) => entry).join(","),
    domain: domain(text("domain", "HOLDFAST_DOMAIN") ?? "holdfast"),
    node: nodeName(text("node", "HOLDFAST_NODE") ?? "holdfast"),
    agentPorts: Object.fromEntries(names.map((name) => [name, agentPort(name)])) as Record<AgentListener, number>,
    agentChecks: hasAgent
      ? {
          scripts: flags["enableScriptChecks"] === true || isSet(env["HOLDFAST_ENABLE_SCRIPT_CHECKS"]),
        }
      : null,
    egress: {
      HOLDFAST_EGRESS_ALLOW: env["HOLDFAST_EGRESS_ALLOW"] || "private",
      ...(env["HOLDFAST_EGRESS_DENY"] && { HOLDFAST_EGRESS_DENY: env["HOLDFAST_EGRESS_DENY"] }),
    },
    isTest: isSet(env["HOLDFAST_TEST"]),
    entry: text("entry", "HOLDFAST_ENTRY"),
  };
}

function isSet(value: string | undefined): boolean {
  return value !== undefined && !["", "0", "false", "no"].includes(value.toLowerCase());
}

function portNumber(value: string, option: string): number {
  const port = Number(value);
  if (!/^\d{1,5}$/.test(value) || port > 65535) throw usage(`${option}: "${value}" is not a port (0 to 65535)`);
  return port;
}

function label(value: string, option: string): string {
  if (!/^[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?$/.test(value)) {
    throw usage(`${option}: "${value}" is not a DNS label (a-z, 0-9 and -, up to 63 characters)`);
  }
  return value;
}

function nodeName(value: string): string {
  const isName = value.length <= 255 && value.trim() === value && !/\p{Cc}/u.test(value) && !/^\.{0,2}$/.test(value);
  if (!isName) throw usage("--node: not a name (1 to 255 characters, no control characters)");
  return value;
}

/** `dc1=weur,dc2`: what stands behind the sign is where Cloudflare makes the objects, and means nothing here. */
function datacenterList(value: string): { name: string; entry: string }[] {
  const list = value
    .split(",")
    .map((part) => part.trim())
    .filter((part) => part !== "")
    .map((entry) => ({ name: label(entry.split("=", 1)[0]!, "--datacenters"), entry }));
  const twice = list.find(({ name }, index) => list.findIndex((other) => other.name === name) < index);
  if (twice) throw usage(`--datacenters: "${twice.name}" is named twice`);
  for (const { entry } of list) {
    if (!/^[^=]+(?:=(?:wnam|enam|sam|weur|eeur|apac|oc|afr|me))?$/.test(entry)) {
      throw usage(`--datacenters: "${entry}" has no hint of Cloudflare's behind its name (wnam, enam, weur, …)`);
    }
  }
  return list;
}

function domain(value: string): string {
  if (value.length > 200) throw usage("--domain: too long (up to 200 characters)");
  return value
    .toLowerCase()
    .split(".")
    .map((part) => label(part, "--domain"))
    .join(".");
}
