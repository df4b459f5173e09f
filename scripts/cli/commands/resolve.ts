/** `holdfast resolve` and `holdfast services`: who is there. */
import { Option, type Command } from "commander";
import type { InstanceOutput, ResolveQuery } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { CommandError, EXIT } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { wholeNumber } from "./values.ts";

interface ResolveOptions extends ConnectionOptions {
  all?: boolean;
  tag?: string;
  zone?: string;
  near?: string;
  pick?: string;
  strong?: boolean;
}

export function addResolveCommands(program: Command, context: CommandContext): void {
  const resolve = program
    .command("resolve <name>")
    .description("where a service can be reached; exit code 3 when nowhere")
    .option("--all", "unhealthy instances too")
    .option("--tag <tag>", "only instances with this tag")
    .option("--zone <zone>", "only instances in this zone")
    .addOption(new Option("--near <zone>", "nearest to this zone first"))
    .option("--pick <n>", "so many of them, picked by weight")
    .option("--strong", "ask the owner, not a cache");
  addConnectionOptions(resolve).action(async (name: string, options: ResolveOptions) => {
    const client = connect(options, context.env, context.checkout);
    const { value } = await client.resolve(name, queryOf(options));
    if (value.instances.length === 0 && !options.json) {
      throw new CommandError(`no ${options.all ? "" : "healthy "}instance of ${name}`, EXIT.notFound);
    }
    if (value.instances.length === 0) context.exit(EXIT.notFound);
    await print(options.json ? json(value) : table(HEADER, value.instances.map(row)));
  });

  const services = program.command("services").description("all services of the namespace");
  addConnectionOptions(services).action(async (options: ConnectionOptions) => {
    const { value } = await connect(options, context.env, context.checkout).services();
    const rows = value.services.map((service) => [
      service.name,
      service.class,
      `${service.healthyCount}/${service.instanceCount}`,
      (service.tags ?? []).join(","),
    ]);
    await print(options.json ? json(value) : table(["NAME", "CLASS", "HEALTHY", "TAGS"], rows));
  });
}

const HEADER = ["ID", "ADDRESS", "STATUS", "WEIGHT", "ZONE", "TAGS"];

function row(instance: InstanceOutput): string[] {
  return [
    instance.id,
    endpoints(instance),
    [instance.status ?? "", instance.adminState === "up" ? "" : (instance.adminState ?? "")].filter(Boolean).join(","),
    String(instance.weight ?? ""),
    instance.locality?.zone ?? "",
    (instance.tags ?? []).join(","),
  ];
}

/** `10.0.0.1:80`, and further ports by name. */
export function endpoints(instance: InstanceOutput): string {
  const address = instance.address.includes(":") ? `[${instance.address}]` : instance.address;
  const ports = Object.entries(instance.ports ?? (instance.port ? { default: instance.port } : {}));
  if (ports.length === 0) return instance.address;
  return ports.map(([name, port]) => `${address}:${port}${name === "default" ? "" : `(${name})`}`).join(" ");
}

function queryOf(options: ResolveOptions): ResolveQuery {
  return {
    healthy: options.all !== true,
    ...(options.tag !== undefined && { tag: options.tag }),
    ...(options.zone !== undefined && { zone: options.zone }),
    ...(options.near !== undefined && { near: options.near }),
    ...(options.pick !== undefined && { pick: wholeNumber(options.pick, "--pick") }),
    ...(options.strong && { consistency: "strong" as const }),
  };
}
