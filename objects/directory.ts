/**
 * Durable Object: all namespaces of the installation, and for each the revisions it may issue.
 *
 * A namespace draws revisions in blocks. The mark of the last block lives here, outside the namespace, so that a store
 * that was lost, or put back to an earlier time, goes on above everything it ever answered (rules K4, D2, M9).
 */
import { DurableObject } from "cloudflare:workers";
import type { Result } from "./commands.ts";
import { HoldfastError } from "./errors.ts";
import { databaseOf } from "./store/storage.ts";
import type { Assignment, Claimed } from "./virtual-ips/allocation.ts";
import { VirtualIpAllocation } from "./virtual-ips/allocation.ts";

export { DIRECTORY_NAME } from "./directory-name.ts";

/** Revisions of one block: one call to the directory for so many commits. */
export const REVISION_BLOCK = 1_000_000;

export interface NamespaceEntry {
  namespace: string;
  datacenter: string;
  /** No revision above this one has been issued. */
  revisionMark: number;
  createdAt: number;
}

export interface ReserveInput {
  namespace: string;
  datacenter: string;
  /** The ceiling the store has on record; 0 for an empty one. */
  ceiling: number;
  /** The store's revision. */
  revision: number;
}

export interface Reservation {
  /** Revisions up to this one may have been issued by a store whose state was lost; the next is above it. */
  floor: number;
  /** Revisions up to this one may be issued now. */
  ceiling: number;
}

export interface VirtualIpsInput {
  namespace: string;
  datacenter: string;
  claims: string[];
  releases: string[];
}

type Row = { namespace: string; datacenter: string; mark: number; created_at: number };

export class Directory extends DurableObject {
  readonly #sql = this.ctx.storage.sql;
  readonly #virtualIps = new VirtualIpAllocation(databaseOf(this.ctx.storage));

  constructor(ctx: DurableObjectState, env: unknown) {
    super(ctx, env as never);
    this.#sql.exec(
      `CREATE TABLE IF NOT EXISTS namespaces (
         namespace TEXT NOT NULL, datacenter TEXT NOT NULL, mark INTEGER NOT NULL, created_at INTEGER NOT NULL,
         PRIMARY KEY (namespace, datacenter)) WITHOUT ROWID`,
    );
  }

  /** The block a store may go on in. A store that is behind its mark starts above it. */
  reserve({ namespace, datacenter, ceiling, revision }: ReserveInput): Reservation {
    const mark = this.#mark(namespace, datacenter);
    const isBehind = ceiling < mark;
    const floor = isBehind ? mark : revision;
    // Still inside its block: nothing to write.
    if (!isBehind && ceiling === mark && ceiling - revision > REVISION_BLOCK / 10) return { floor, ceiling };
    const next = Math.max(mark, revision) + REVISION_BLOCK;
    this.#sql.exec(
      `INSERT INTO namespaces (namespace, datacenter, mark, created_at) VALUES (?, ?, ?, ?)
       ON CONFLICT DO UPDATE SET mark = excluded.mark`,
      namespace,
      datacenter,
      next,
      Date.now(),
    );
    return { floor, ceiling: next };
  }

  /** Whether it has come into being: asking the namespace itself would make it. */
  has(namespace: string, datacenter: string): boolean {
    return this.#mark(namespace, datacenter) > 0;
  }

  list(datacenter: string): NamespaceEntry[] {
    return this.#sql
      .exec<Row>("SELECT * FROM namespaces WHERE datacenter = ? ORDER BY namespace LIMIT 10000", datacenter)
      .toArray()
      .map((row) => ({
        namespace: row.namespace,
        datacenter: row.datacenter,
        revisionMark: row.mark,
        createdAt: row.created_at,
      }));
  }

  /** Those that were claimed and have got one. */
  settleVirtualIps({ namespace, datacenter, claims, releases }: VirtualIpsInput): Claimed[] {
    const nowAt = Date.now();
    this.#virtualIps.release({ namespace, datacenter, services: releases }, nowAt);
    return this.#virtualIps.claim({ namespace, datacenter, services: claims }, nowAt);
  }

  /** Codes: `invalid_argument`, `conflict`. */
  assignVirtualIps(input: Assignment): Result<{ takenFrom: string[] }> {
    try {
      return { ok: true, value: this.#virtualIps.assign(input) };
    } catch (error) {
      if (error instanceof HoldfastError) return { ok: false, error: error.toValue() };
      throw error;
    }
  }

  #mark(namespace: string, datacenter: string): number {
    const rows = this.#sql.exec<Pick<Row, "mark">>(
      "SELECT mark FROM namespaces WHERE namespace = ? AND datacenter = ?",
      namespace,
      datacenter,
    );
    return rows.toArray()[0]?.mark ?? 0;
  }
}
