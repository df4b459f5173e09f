/**
 * The installation's virtual addresses: which name each belongs to. No two names ever share one.
 *
 * A namespace's service has one address, the same in all its datacenters, and keeps it for as long as one of them has the
 * name, and for `KEPT_MS` after. Addresses that an operator gives are those of one datacenter. What a service of the same
 * namespace and datacenter has is moved when another is given it, and told; what anybody else has is a conflict.
 *
 * Pure over a database. Refuses to know: when a name is entitled to an address.
 */
import { HoldfastError } from "../errors.ts";
import type { SqlDatabase, SqlValue } from "../store/sqlite.sql.ts";
import { addressOf, assertManual, NUMBER_MAX } from "./virtual-ip.ts";

/** A released address goes to another name after this long. */
export const KEPT_MS = 7 * 86_400_000;
/** Names of one namespace, released ones included: beyond it only those are replaced. */
export const NAMES_MAX = 65_536;
/** Names in one call. */
export const CLAIMS_MAX = 500;

export interface Claims {
  namespace: string;
  datacenter: string;
  services: string[];
}

export interface Claimed {
  service: string;
  address: string;
  manual: string[];
}

export interface Assignment {
  namespace: string;
  datacenter: string;
  service: string;
  /** All of them; those it had and that are not among them are given up. */
  addresses: string[];
}

type Database = Pick<SqlDatabase, "all">;

export class VirtualIpAllocation {
  readonly #database: Database;
  readonly #namesMax: number;

  constructor(database: Database, namesMax = NAMES_MAX) {
    this.#database = database;
    this.#namesMax = namesMax;
    for (const statement of SCHEMA) database.all(statement);
  }

  /** Names for which there is no address left are not in the answer. */
  claim({ namespace, datacenter, services }: Claims, now: number): Claimed[] {
    let count = numberIn(this.#database.all("SELECT count(*) FROM virtual_ips WHERE namespace = ?", namespace)) ?? 0;
    return services.slice(0, CLAIMS_MAX).flatMap((service) => {
      let number = this.#numberOf(namespace, service);
      if (number === undefined) {
        number = this.#free(namespace, count, now);
        if (number === undefined) return [];
        this.#database.all("DELETE FROM virtual_ips WHERE number = ?", number);
        this.#database.all(
          "INSERT INTO virtual_ips (number, namespace, service) VALUES (?, ?, ?)",
          number,
          namespace,
          service,
        );
        count++;
      } else {
        this.#database.all("UPDATE virtual_ips SET released_at = NULL WHERE number = ?", number);
      }
      this.#database.all("INSERT OR IGNORE INTO virtual_ip_holders VALUES (?, ?, ?)", namespace, service, datacenter);
      const manual = this.#manualOf(namespace, datacenter, service);
      return [{ service, address: addressOf(number), manual }];
    });
  }

  /** The names are gone from this datacenter. */
  release({ namespace, datacenter, services }: Claims, now: number): void {
    for (const service of services) {
      const holder = [namespace, service] as const;
      this.#database.all(
        "DELETE FROM manual_ips WHERE namespace = ? AND service = ? AND datacenter = ?",
        ...holder,
        datacenter,
      );
      this.#database.all(
        "DELETE FROM virtual_ip_holders WHERE namespace = ? AND service = ? AND datacenter = ?",
        ...holder,
        datacenter,
      );
      this.#database.all(
        `UPDATE virtual_ips SET released_at = ? WHERE namespace = ?2 AND service = ?3 AND released_at IS NULL
         AND NOT EXISTS (SELECT 1 FROM virtual_ip_holders WHERE namespace = ?2 AND service = ?3)`,
        now,
        ...holder,
      );
    }
  }

  /** Codes: `invalid_argument`, `conflict` (somebody else has one of them: then nothing is changed). */
  assign({ namespace, datacenter, service, addresses }: Assignment): { takenFrom: string[] } {
    assertManual("addresses", addresses);
    const takenFrom = new Set<string>();
    for (const address of addresses) {
      const holders = this.#database.all(
        "SELECT namespace, datacenter, service FROM manual_ips WHERE address = ?",
        address,
      );
      for (const [otherNamespace, otherDatacenter, other] of holders) {
        if (otherNamespace === namespace && other === service) continue;
        if (otherNamespace !== namespace || otherDatacenter !== datacenter) {
          const message = `the address ${address} belongs to a service of another namespace or datacenter`;
          throw new HoldfastError("conflict", message, { field: "addresses", address });
        }
        takenFrom.add(String(other));
      }
    }
    this.#database.all(
      "DELETE FROM manual_ips WHERE namespace = ? AND datacenter = ? AND service = ?",
      namespace,
      datacenter,
      service,
    );
    for (const address of addresses) {
      this.#database.all(
        "INSERT OR REPLACE INTO manual_ips (address, datacenter, namespace, service) VALUES (?, ?, ?, ?)",
        address,
        datacenter,
        namespace,
        service,
      );
    }
    return { takenFrom: [...takenFrom] };
  }

  #numberOf(namespace: string, service: string): number | undefined {
    const query = "SELECT number FROM virtual_ips WHERE namespace = ? AND service = ?";
    return numberIn(this.#database.all(query, namespace, service));
  }

  /** One that has been free for long, else the next one; a namespace that has its share replaces what it released. */
  #free(namespace: string, count: number, now: number): number | undefined {
    const oldest = "SELECT number FROM virtual_ips WHERE released_at";
    if (count >= this.#namesMax) {
      const own = `${oldest} IS NOT NULL AND namespace = ? ORDER BY released_at LIMIT 1`;
      return numberIn(this.#database.all(own, namespace));
    }
    const free = numberIn(this.#database.all(`${oldest} <= ? ORDER BY released_at LIMIT 1`, now - KEPT_MS));
    if (free !== undefined) return free;
    const last = numberIn(this.#database.all("SELECT max(number) FROM virtual_ips")) ?? 0;
    return last < NUMBER_MAX ? last + 1 : undefined;
  }

  #manualOf(namespace: string, datacenter: string, service: string): string[] {
    return this.#database
      .all(
        "SELECT address FROM manual_ips WHERE namespace = ? AND datacenter = ? AND service = ? ORDER BY address",
        namespace,
        datacenter,
        service,
      )
      .map(([address]) => String(address));
  }
}

/** Of the first row, if there is one that holds any. */
function numberIn(rows: SqlValue[][]): number | undefined {
  const number = rows[0]?.[0] ?? null;
  return number === null ? undefined : Number(number);
}

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS virtual_ips (
     number INTEGER PRIMARY KEY, namespace TEXT NOT NULL, service TEXT NOT NULL, released_at INTEGER,
     UNIQUE (namespace, service))`,
  "CREATE INDEX IF NOT EXISTS virtual_ips_released ON virtual_ips (released_at) WHERE released_at IS NOT NULL",
  `CREATE TABLE IF NOT EXISTS virtual_ip_holders (
     namespace TEXT NOT NULL, service TEXT NOT NULL, datacenter TEXT NOT NULL,
     PRIMARY KEY (namespace, service, datacenter)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS manual_ips (
     address TEXT NOT NULL, datacenter TEXT NOT NULL, namespace TEXT NOT NULL, service TEXT NOT NULL,
     PRIMARY KEY (address, datacenter)) WITHOUT ROWID`,
  "CREATE INDEX IF NOT EXISTS manual_ips_of ON manual_ips (namespace, datacenter, service)",
];
