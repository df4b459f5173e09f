/**
 * `npm run bench -- [NAME…] [--json FILE] [--seconds N] [--list]`: the figures we promise, each beside its yardstick in the
 * same run. Exit code 1 when a goal is missed.
 */
import { writeFileSync } from "node:fs";
import { parseArgs } from "node:util";
import type { Row } from "./measure.ts";
import { scenarios } from "./scenarios.ts";

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { json: { type: "string" }, seconds: { type: "string", default: "2" }, list: { type: "boolean" } },
});

if (values.list) {
  console.log(Object.keys(scenarios).join("\n"));
  process.exit(0);
}
const unknown = positionals.filter((name) => !Object.hasOwn(scenarios, name));
if (unknown.length > 0) {
  console.error(`no such benchmark: ${unknown.join(", ")} (see --list)`);
  process.exit(2);
}

const rows: Row[] = [];
for (const name of positionals.length > 0 ? positionals : Object.keys(scenarios)) {
  const found = await scenarios[name]!({ seconds: Number(values.seconds) });
  for (const row of found) console.log(line(row));
  rows.push(...found);
}
if (values.json !== undefined) writeFileSync(values.json, `${JSON.stringify(rows, null, 2)}\n`);
const missed = rows.filter(({ pass }) => pass === false).map(({ name }) => name);
if (missed.length > 0) console.error(`missed: ${missed.join(", ")}`);
process.exit(missed.length > 0 ? 1 : 0);

function line({ name, value, unit, yardstick, ratio, goal, pass }: Row): string {
  const verdict = pass === null ? "" : pass ? "pass" : "MISSED";
  const columns = [name.padEnd(18), `${value} ${unit}`.padStart(14), (ratio === null ? "" : String(ratio)).padStart(6)];
  return `${columns.join("  ")}  ${goal.padEnd(10)} ${verdict.padEnd(6)}  ${yardstick}`;
}
