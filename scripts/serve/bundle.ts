/** The edge as one ES module: workers/edge.ts and all it imports. Knows nothing of what the Worker does. */
import { fileURLToPath } from "node:url";
import { build, type BuildFailure } from "esbuild";
import { CommandError } from "../cli/exit.ts";

/** Rejects with a CommandError that names the first fault. */
export async function bundleEdge(entry: string): Promise<string> {
  try {
    const result = await build({
      entryPoints: [entry],
      bundle: true,
      write: false,
      format: "esm",
      target: "es2024",
      // The runtime resolves packages as Cloudflare does.
      conditions: ["workerd", "worker", "browser"],
      mainFields: ["browser", "module", "main"],
      external: ["cloudflare:*", "node:*"],
      alias: { buffer: fileURLToPath(new URL("./node-buffer.ts", import.meta.url)) },
      loader: { ".html": "text", ".css": "text", ".txt": "text" },
      logLevel: "silent",
    });
    return result.outputFiles[0]?.text ?? "";
  } catch (error) {
    const first = (error as Partial<BuildFailure>).errors?.[0];
    const where = first?.location ? `${first.location.file}:${first.location.line}: ` : "";
    throw new CommandError(`cannot bundle the edge: ${where}${first?.text ?? String(error)}`);
  }
}
