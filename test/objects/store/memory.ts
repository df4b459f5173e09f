/** The store over Node's own SQLite, in memory: the core's tests need no runtime. */
import { createHash } from "node:crypto";
import { DatabaseSync } from "node:sqlite";
import { crc32 } from "node:zlib";
import type { Caller } from "../../../objects/model.ts";
import type { SqlDatabase, SqlValue } from "../../../objects/store/sqlite.sql.ts";
import { SqliteBackend } from "../../../objects/store/sqlite.sql.ts";
import type { Digest } from "../../../objects/store/store.ts";
import { Store } from "../../../objects/store/store.ts";
import type { Context } from "../../../objects/store/txn.ts";

export const CALLER: Caller = { principal: "root", source: "192.0.2.1", dialect: "api" };

export const sha256: Digest = (...chunks) => {
  const hash = createHash("sha256");
  for (const chunk of chunks) hash.update(chunk);
  return new Uint8Array(hash.digest());
};

export class MemoryDatabase implements SqlDatabase {
  readonly raw = new DatabaseSync(":memory:");
  /** Thrown by the next statement that matches: a disk that fails. */
  failOn: RegExp | null = null;

  all(query: string, ...bindings: SqlValue[]): SqlValue[][] {
    if (this.failOn?.test(query)) throw new Error("disk I/O error");
    const statement = this.raw.prepare(query);
    statement.setReturnArrays(true);
    return statement.all(...(bindings as (string | number | Uint8Array | null)[])) as unknown as SqlValue[][];
  }

  sizeBytes(): number {
    return Number(this.all("PRAGMA page_count")[0]![0]) * Number(this.all("PRAGMA page_size")[0]![0]);
  }

  transaction<T>(act: () => T): T {
    this.raw.exec("BEGIN");
    try {
      const value = act();
      this.raw.exec("COMMIT");
      return value;
    } catch (error) {
      this.raw.exec("ROLLBACK");
      throw error;
    }
  }
}

export function openStore(database = new MemoryDatabase()): {
  database: MemoryDatabase;
  backend: SqliteBackend;
  store: Store;
} {
  const backend = new SqliteBackend(database, crc32);
  return { database, backend, store: new Store(backend, sha256) };
}

let seed = 1;
export const context = (now = 1_700_000_000_000): Context => ({
  now,
  caller: CALLER,
  random: (length) => Uint8Array.from({ length }, () => (seed = (seed * 16807) % 2147483647) & 0xff),
});
