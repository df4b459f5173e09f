/**
 * What the command prints: tables and JSON on stdout, one-line messages on stderr.
 *
 * Names and values come from whoever registered them, so control characters are shown escaped: they must not drive the
 * reader's terminal.
 */

// oxlint-disable-next-line no-control-regex -- finding control characters is the purpose
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029\u202a-\u202e\u2066-\u2069]/g;

export function printable(text: string): string {
  return text.replace(CONTROL, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`);
}

/** Columns as wide as their widest cell; the last one is not padded. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = [header, ...rows].map((row) => row.map(printable));
  const widths = header.map((_, column) => Math.max(...cells.map((row) => row[column]?.length ?? 0)));
  const line = (row: readonly string[]): string =>
    row.map((cell, column) => (column === row.length - 1 ? cell : cell.padEnd(widths[column] ?? 0))).join("  ");
  return cells.map((row) => `${line(row).trimEnd()}\n`).join("");
}

export function json(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

/** One line, whatever the message holds. */
export function errorLine(message: string): string {
  return `holdfast: ${printable(message.trim().replace(/\s*\n\s*/g, " "))}\n`;
}

/** Resolves when the text was taken; a reader that went away (`| head`) is no error of ours. */
export async function print(text: string | Uint8Array): Promise<void> {
  await new Promise<void>((resolve) => {
    process.stdout.write(text, () => resolve());
  });
}
