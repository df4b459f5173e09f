/** `holdfast nodes`: the machines, and what runs on one of them. */
import type { Command } from "commander";
import type { HoldfastClient, InstanceOutput, NodeOutput } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { endpoints } from "./resolve.ts";

export function addNodesCommand(program: Command, context: CommandContext): void {
  const nodes = program.command("nodes [name]").description("all nodes of the namespace, or the instances on one");
  addConnectionOptions(nodes).action(async (name: string | undefined, options: ConnectionOptions) => {
    const client = connect(options, context.env, context.checkout);
    if (name === undefined) {
      const all = await allNodes(client);
      await print(options.json ? json({ nodes: all }) : table(NODE_HEADER, all.map(nodeRow)));
    } else {
      const { value } = await client.nodeInstances(name);
      await print(options.json ? json(value) : table(INSTANCE_HEADER, value.instances.map(instanceRow)));
    }
  });
}

async function allNodes(client: HoldfastClient): Promise<NodeOutput[]> {
  const all: NodeOutput[] = [];
  let after: string | undefined;
  do {
    const { value } = await client.nodes({ after });
    all.push(...value.nodes);
    after = value.after ?? undefined;
  } while (after !== undefined);
  return all;
}

const NODE_HEADER = ["NODE", "ADDRESS", "STATUS", "CHECKS"];

function nodeRow({ name, address, status, checks }: NodeOutput): string[] {
  const passing = checks.filter((check) => check.status === "passing").length;
  return [name, address, status, `${passing}/${checks.length}`];
}

const INSTANCE_HEADER = ["SERVICE", "ID", "ADDRESS", "STATUS"];

const instanceRow = (instance: InstanceOutput): string[] => [
  instance.service,
  instance.id,
  endpoints(instance),
  instance.status ?? "",
];
