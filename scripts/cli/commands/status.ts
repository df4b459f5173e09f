/** `holdfast status`: what the namespace says of itself. */
import type { Command } from "commander";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import type { CommandContext } from "../main.ts";
import { json, print, table } from "../output.ts";

export function addStatusCommand(program: Command, context: CommandContext): void {
  addConnectionOptions(program.command("status").description("how the namespace is doing")).action(
    async (options: ConnectionOptions) => {
      const client = connect(options, context.env, context.checkout);
      const { value } = await client.status();
      await print(
        options.json ? json(value) : table(["FIELD", "VALUE"], [["address", client.address], ...fields(value)]),
      );
    },
  );
}

/** Nested fields by their path. */
function fields(value: Record<string, unknown>, prefix = ""): string[][] {
  return Object.entries(value).flatMap(([name, field]) =>
    typeof field === "object" && field !== null && !Array.isArray(field)
      ? fields(field as Record<string, unknown>, `${prefix}${name}.`)
      : [[prefix + name, typeof field === "string" ? field : JSON.stringify(field)]],
  );
}
