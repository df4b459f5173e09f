/** `holdfast register` and `holdfast deregister`: an instance comes and goes, on its own or around a command. */
import dgram from "node:dgram";
import { once } from "node:events";
import { hostname } from "node:os";
import type { Command } from "commander";
import { type Child, start } from "../child.ts";
import { ApiError, type HoldfastClient, type InstanceInput } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { seconds } from "../duration.ts";
import { CommandError, EXIT, usage } from "../exit.ts";
import { hold } from "../hold.ts";
import type { CommandContext } from "../main.ts";
import { errorLine, json, print } from "../output.ts";
import { onStop } from "../stop.ts";
import { checks, collect, pairs, ports, wholeNumber, type CheckTimes } from "./values.ts";

interface RegisterOptions extends ConnectionOptions, CheckTimes {
  id?: string;
  address?: string;
  port?: string[];
  protocol?: string;
  ttl?: string;
  weight?: string;
  tag?: string[];
  meta?: string[];
  node?: string;
  region?: string;
  zone?: string;
  check?: string[];
  private?: true;
  hold?: true;
}

/** The lease of a held instance that names none. */
const HOLD_TTL_SECONDS = 15;

export function addRegisterCommands(program: Command, context: CommandContext): void {
  const register = program
    .command("register <service> [command...]")
    .usage("[options] <service> [-- COMMAND...]")
    .description("register an instance; with -- COMMAND for as long as the command runs")
    .option("--id <id>", "unique in the service (default: <service>-<host>-<port>)")
    .option("--address <address>", "where it is reached (default: this machine, as the edge sees it)")
    .option("--port <port>", "port, or name=port; may be repeated", collect)
    .option("--protocol <name>", "http, https, grpc or tcp")
    .option("--ttl <duration>", "lives on a lease of this length, as 10s; renewed by --hold or by heartbeats")
    .option("--hold", "stay and renew until interrupted, then deregister (without --ttl: 15s)")
    .option("--weight <n>", "share of the traffic")
    .option("--tag <tag>", "may be repeated", collect)
    .option("--meta <key=value>", "may be repeated", collect)
    .option("--node <name>", "the machine (default: its host name)")
    .option("--region <name>")
    .option("--zone <name>")
    .option("--private", "never show its address outside the namespace")
    .option("--check <url>", "http://…, https://…, tcp://host:port or ttl:15s; may be repeated", collect)
    .option("--interval <duration>", "how often the checks run")
    .option("--timeout <duration>", "how long a check may take")
    .option("--deregister-after <duration>", "deregister when critical for so long");
  addConnectionOptions(register).action(async (service: string, command: string[], options: RegisterOptions) => {
    if (command.length > 0 && !context.hasSeparator) throw usage(`unexpected "${command[0]}"; a command follows --`);
    const client = connect(options, context.env, context.checkout);
    const instance = await instanceOf(options, client);
    const firstPort = Object.values(instance.ports ?? {})[0];
    const id = options.id ?? [service, hostname(), ...(firstPort === undefined ? [] : [firstPort])].join("-");
    if (options.hold || command.length > 0) {
      const held = { ...instance, ttl: instance.ttl ?? HOLD_TTL_SECONDS };
      return context.exit(await holdAround({ client, service, id, instance: held }, command));
    }
    const { value, revision } = await client.register(service, id, instance);
    await print(options.json ? json(value) : `registered ${service}/${id} at revision ${revision}\n`);
  });

  const deregister = program.command("deregister <service> <id>").description("take an instance out");
  addConnectionOptions(deregister).action(async (service: string, id: string, options: ConnectionOptions) => {
    const { revision } = await connect(options, context.env, context.checkout).deregister(service, id);
    await print(options.json ? json({ service, id, revision }) : `deregistered ${service}/${id}\n`);
  });
}

async function instanceOf(options: RegisterOptions, client: HoldfastClient): Promise<InstanceInput> {
  const locality = { ...(options.region && { region: options.region }), ...(options.zone && { zone: options.zone }) };
  const times = [options.interval, options.timeout, options.deregisterAfter];
  if (options.check === undefined && times.some((time) => time !== undefined)) {
    throw usage("--interval, --timeout and --deregister-after belong to a --check");
  }
  return {
    address: options.address ?? (await ownAddress(new URL(client.address))),
    node: options.node ?? hostname(),
    ...(options.port && { ports: ports(options.port) }),
    ...(options.protocol && { protocol: options.protocol }),
    ...(options.ttl && { ttl: seconds(options.ttl, "--ttl") }),
    ...(options.weight && { weight: wholeNumber(options.weight, "--weight") }),
    ...(options.tag && { tags: options.tag }),
    ...(options.meta && { meta: pairs(options.meta, "--meta") }),
    ...(options.check && { checks: checks(options.check, options) }),
    ...(options.private && { private: true }),
    ...(Object.keys(locality).length > 0 && { locality }),
  };
}

/** The address of the interface that leads to the edge; no packet is sent. */
async function ownAddress(edge: URL): Promise<string> {
  const host = edge.hostname.replace(/^\[|\]$/g, "");
  const socket = dgram.createSocket(host.includes(":") ? "udp6" : "udp4");
  try {
    socket.connect(9, host);
    await once(socket, "connect");
    return socket.address().address;
  } catch {
    throw new CommandError(`cannot tell this machine's address towards ${edge.host}; give --address`);
  } finally {
    socket.close();
  }
}

interface Held {
  client: HoldfastClient;
  service: string;
  id: string;
  instance: InstanceInput & { ttl: number };
}

/**
 * Holds the instance until a signal, or until the command ends, whose exit code it then returns. The first registration
 * has to succeed before a command is started. A command that is told to stop is waited for.
 */
async function holdAround(held: Held, command: readonly string[]): Promise<number> {
  const { client, service, id } = held;
  await client.register(service, id, held.instance);
  const end = new AbortController();
  const note = (text: string): unknown => process.stderr.write(errorLine(text));
  let child: Child | undefined;
  const stopListening = onStop((reason) => {
    if (child === undefined) return end.abort();
    child.kill(reason === "disconnect" ? "SIGTERM" : reason);
  });
  try {
    const holding = hold({ ...held, signal: end.signal, onNote: note });
    const [program, ...args] = command;
    if (program === undefined) {
      note(`holding ${service}/${id}; interrupt to deregister`);
      await holding;
      return EXIT.ok;
    }
    child = start(program, args);
    // An edge that refuses the instance is told, but is no reason to end a command that does its work.
    holding.catch((error: unknown) => note(`${service}/${id} is not held: ${(error as Error).message}`));
    return await child.exit;
  } finally {
    end.abort();
    stopListening();
    await client.deregister(service, id).catch((error: Error) => {
      if (!(error instanceof ApiError && error.code === "not_found")) note(error.message);
    });
  }
}
