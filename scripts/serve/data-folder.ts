/**
 * The data folder of a running edge: its lock, its root token, its address. Knows nothing of the state inside.
 *
 *   lock             held by the running `serve` (the operating system lets go of it, however the process ends)
 *   root-token       created on the first start, mode 0600
 *   token-override   while a start with --root-token runs: that token, for the command line on the same machine
 *   address          the origin of the running edge
 *   state/           what the objects store
 */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, renameSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import type { DatabaseSync } from "node:sqlite";
import { CommandError } from "../cli/exit.ts";

export const TOKEN_CHARS_MIN = 16;
const TOKEN_CHARS_MAX = 512;
const BUSY = 5; // SQLITE_BUSY

export interface RootToken {
  token: string;
  /** It was created just now: the one time it is shown. */
  isNew: boolean;
}

export class DataFolder {
  readonly path: string;
  readonly #lock: DatabaseSync;

  private constructor(path: string, lock: DatabaseSync) {
    this.path = path;
    this.#lock = lock;
  }

  /** Creates the folder (mode 0700) where there is none, and locks it. CommandError when another process has it. */
  static async open(folder: string): Promise<DataFolder> {
    const path = resolve(folder);
    try {
      mkdirSync(path, { recursive: true, mode: 0o700 });
      return new DataFolder(path, await lock(join(path, "lock")));
    } catch (error) {
      if ((error as { errcode?: number }).errcode !== BUSY) {
        throw new CommandError(`the data folder ${path} cannot be used: ${(error as Error).message}`);
      }
      const address = readAddress(path);
      throw new CommandError(`the data folder ${path} is in use by another edge${address ? ` (${address})` : ""}`);
    }
  }

  get statePath(): string {
    return join(this.path, "state");
  }

  /** The stored root token; null when none was created yet. */
  storedToken(): string | null {
    const text = readText(join(this.path, "root-token"));
    return text === null ? null : checkedToken(text, join(this.path, "root-token"));
  }

  rootToken(): RootToken {
    const stored = this.storedToken();
    if (stored !== null) return { token: stored, isNew: false };
    const token = `hf_${randomBytes(24).toString("base64url")}`;
    this.#write("root-token", `${token}\n`);
    return { token, isNew: true };
  }

  /** Tells the command line on this machine where the edge is, and its token where it is not the stored one. */
  announce(address: string, override: string | null): void {
    if (override === null) rmSync(join(this.path, "token-override"), { force: true });
    else this.#write("token-override", `${override}\n`);
    this.#write("address", `${address}\n`);
  }

  close(): void {
    rmSync(join(this.path, "address"), { force: true });
    rmSync(join(this.path, "token-override"), { force: true });
    this.#lock.close();
  }

  /** Whole or not at all: a reader never sees half a token. */
  #write(name: string, text: string): void {
    const draft = join(this.path, `${name}.new`);
    rmSync(draft, { force: true });
    writeFileSync(draft, text, { mode: 0o600, flag: "wx", flush: true });
    renameSync(draft, join(this.path, name));
  }
}

/** The address of the edge that runs on this folder, or ran when it was killed; null when there is none. */
export function readAddress(folder: string): string | null {
  const text = readText(join(folder, "address"));
  return text !== null && URL.canParse(text) ? text : null;
}

/** The root token of the edge on this folder, for whoever may read it. */
export function readToken(folder: string): string | null {
  return readText(join(folder, "token-override")) ?? readText(join(folder, "root-token"));
}

/** Fit for an HTTP header, and too long to be guessed. CommandError names where it came from. */
export function checkedToken(token: string, source: string): string {
  if (token.length < TOKEN_CHARS_MIN || token.length > TOKEN_CHARS_MAX) {
    throw new CommandError(`${source}: a root token has ${TOKEN_CHARS_MIN} to ${TOKEN_CHARS_MAX} characters`);
  }
  if (!/^[\x21-\x7e]+$/.test(token))
    throw new CommandError(`${source}: a root token has visible ASCII characters only`);
  return token;
}

function readText(path: string): string | null {
  try {
    if (statSync(path).size > 4096) return null;
    return readFileSync(path, "utf8").trim();
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT" || code === "ENOTDIR" || code === "EACCES") return null;
    throw error;
  }
}

/**
 * An exclusive SQLite transaction that stays open: a lock of the operating system, so that there are no stale ones and no
 * race between two starts, unlike with a file that holds a process id.
 */
async function lock(path: string): Promise<DatabaseSync> {
  const { DatabaseSync } = await importSqlite();
  const database = new DatabaseSync(path);
  try {
    database.exec("BEGIN EXCLUSIVE");
    return database;
  } catch (error) {
    database.close();
    throw error;
  }
}

/** Node 24 warns on stderr that its SQLite module is experimental; only that warning is kept back. */
async function importSqlite(): Promise<typeof import("node:sqlite")> {
  // oxlint-disable-next-line typescript/unbound-method -- kept to be put back, never called from here
  const emitWarning = process.emitWarning;
  process.emitWarning = () => {};
  try {
    return await import("node:sqlite");
  } finally {
    process.emitWarning = emitWarning;
  }
}
