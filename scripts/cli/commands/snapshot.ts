/** `holdfast snapshot save` and `restore`: the whole namespace as one file, or through a pipe. */
import { createReadStream, createWriteStream, type ReadStream } from "node:fs";
import { rename, rm, stat } from "node:fs/promises";
import { Readable, Transform } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { Command } from "commander";
import { addConnectionOptions, connect, type ConnectionOptions } from "../connection.ts";
import { CommandError } from "../exit.ts";
import type { CommandContext } from "../main.ts";
import { json, print } from "../output.ts";
import { startProgress, type Progress } from "../progress.ts";

export function addSnapshotCommands(program: Command, context: CommandContext): void {
  const snapshot = program.command("snapshot").description("save and restore a namespace").helpCommand(false);

  const save = snapshot.command("save <file>").description("write a snapshot; - writes to stdout");
  addConnectionOptions(save).action(async (file: string, options: ConnectionOptions) => {
    const { value, revision } = await connect(options, context.env, context.checkout).snapshot();
    const bytes = await saveTo(file, Readable.fromWeb(value as Parameters<typeof Readable.fromWeb>[0]));
    const text = options.json ? json({ file, bytes, revision }) : `saved revision ${revision}: ${bytes} bytes\n`;
    if (file === "-") process.stderr.write(text);
    else await print(text);
  });

  const restore = snapshot
    .command("restore <file>")
    .description("read a snapshot into the namespace; - reads from stdin")
    .option("--force", "replace what the namespace holds");
  addConnectionOptions(restore).action(async (file: string, options: ConnectionOptions & { force?: true }) => {
    const client = connect(options, context.env, context.checkout);
    const { source, bytes } = await openSource(file);
    const progress = await startProgress("restoring", bytes);
    const failed = new AbortController();
    // A file that breaks off must break the request off, not end it.
    source.on("error", (error) => failed.abort(new CommandError(`cannot read ${file}: ${error.message}`)));
    try {
      const body = Readable.toWeb(source.pipe(counter(progress))) as ReadableStream<Uint8Array>;
      const answer = await client.restore(body, options.force ? { force: true } : {}, failed.signal);
      progress.stop();
      await print(options.json ? json(answer.value) : `restored at revision ${answer.revision}\n`);
    } catch (error) {
      throw failed.signal.aborted ? (failed.signal.reason as Error) : error;
    } finally {
      progress.stop();
      source.destroy();
    }
  });
}

/** A file appears under its name only when it is whole and on disk. */
async function saveTo(file: string, source: Readable): Promise<number> {
  const progress = await startProgress("saving", null);
  let bytes = 0;
  const count = counter({
    add: (more) => {
      bytes += more;
      progress.add(more);
    },
    stop: () => {},
  });
  const draft = `${file}.part`;
  try {
    if (file === "-") {
      await pipeline(source, count, process.stdout, { end: false });
    } else {
      await pipeline(source, count, createWriteStream(draft, { mode: 0o600, flush: true }));
      await rename(draft, file);
    }
    return bytes;
  } catch (error) {
    if (file !== "-") await rm(draft, { force: true });
    throw new CommandError(`the snapshot is not complete: ${(error as Error).message}`);
  } finally {
    progress.stop();
  }
}

async function openSource(file: string): Promise<{ source: Readable; bytes: number | null }> {
  if (file === "-") return { source: process.stdin, bytes: null };
  try {
    const { size } = await stat(file);
    const source: ReadStream = createReadStream(file);
    return { source, bytes: size };
  } catch (error) {
    throw new CommandError(`cannot read ${file}: ${(error as Error).message}`);
  }
}

function counter(progress: Progress): Transform {
  return new Transform({
    transform(chunk: Buffer, _encoding, done) {
      progress.add(chunk.length);
      done(null, chunk);
    },
  });
}
