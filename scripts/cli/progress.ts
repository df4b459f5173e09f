/** A progress bar on stderr while bytes pass, where stderr is a terminal; nothing elsewhere. */

export interface Progress {
  add(bytes: number): void;
  stop(): void;
}

const SILENT: Progress = { add: () => {}, stop: () => {} };

/** `totalBytes` null: it is not known ahead, and only the count is shown. */
export async function startProgress(label: string, totalBytes: number | null): Promise<Progress> {
  if (!process.stderr.isTTY) return SILENT;
  const { SingleBar, Presets } = (await import("cli-progress")).default;
  const size = totalBytes === null ? "{done}" : "{bar} {percentage}% | {done} of {size}";
  const options = { format: `${label} ${size} | {duration_formatted}`, stream: process.stderr, hideCursor: true };
  const bar = new SingleBar({ ...options, etaBuffer: 1 }, Presets.shades_classic);
  let done = 0;
  bar.start(totalBytes ?? 0, 0, { done: megabytes(0), size: megabytes(totalBytes ?? 0) });
  return {
    add: (bytes) => {
      done += bytes;
      bar.update(done, { done: megabytes(done) });
    },
    stop: () => bar.stop(),
  };
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
