/** `holdfast nodes`: the machines, and what runs on one of them. */
import type { Command } from "commander";
import type { InstanceOutput, NodeOutput } from "../client.ts";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";
import { endpoints } from "./resolve.ts";

export function addNodesCommand(program: Command, context: CommandContext): void {
  const nodes = program.command("nodes [name]").description("all nodes of the namespace, or the instances on one");
  addConnectionOptions(nodes).action(async (name: string | undefined, options: ConnectionOptions) => {
    const client = connect(options, context.env, context.checkout);
    if (name === undefined) {
      const all = await everyPage(async (after) => {
        const { value } = await client.nodes({ after });
        return { items: value.nodes, after: value.after };
      });
      await print(options.json ? json({ nodes: all }) : table(NODE_HEADER, all.map(nodeRow)));
    } else {
      const instances = await everyPage(async (after) => {
        const { value } = await client.nodeInstances(name, { after });
        return { items: value.instances, after: value.after };
      });
      await print(options.json ? json({ instances }) : table(INSTANCE_HEADER, instances.map(instanceRow)));
    }
  });
}

async function everyPage<T>(read: (after?: string) => Promise<{ items: T[]; after: string | null }>): Promise<T[]> {
  const all: T[] = [];
  for (let page = await read(); ; page = await read(page.after)) {
    all.push(...page.items);
    if (page.after === null) return all;
  }
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
