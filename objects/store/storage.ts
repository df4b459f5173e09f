/** A Durable Object's own database, as the pure parts take it. */
import type { SqlDatabase, SqlValue } from "./sqlite.sql.ts";

export function databaseOf(storage: DurableObjectStorage): SqlDatabase {
  return {
    all: (query, ...bindings) => [...storage.sql.exec(query, ...bindings).raw()] as SqlValue[][],
    sizeBytes: () => storage.sql.databaseSize,
  };
}
