/**
 * The store on SQLite: current records, the versions they replaced, and the log of commits.
 *
 * A version enters `history` when it is replaced (`until` is the revision that replaced it), so a first write costs one
 * record row and one log row. Each record carries a checksum, because SQLite does not notice a flipped payload bit; a
 * record that fails it is refused with `corrupt`, never served.
 *
 * Of spaces that turn over with every request (queues) no history is kept: below the present they are always `compacted`,
 * except while somebody reads a snapshot, for whom everything is kept (`keepAll`).
 *
 * What the commits of one batch write is held until its end (`batch`): a call of the database costs more than a row.
 *
 * Runs on a Durable Object's `sql` and, for tests of the core, on any other SQLite behind `SqlDatabase`.
 */
import { fromBinaryString, toBinaryString, utf8 } from "../bytes.ts";
import { HoldfastError } from "../errors.ts";
import type {
  AppendedCommit,
  Backend,
  LogRow,
  SnapshotCursor,
  SnapshotPage,
  SpacedRecord,
  StoreHead,
} from "./backend.ts";
import { parseCanonical } from "./canonical.ts";
import { PendingWrites } from "./pending.ts";
import { RecordCache } from "./record-cache.ts";
import type {
  Change,
  Held,
  KeyRange,
  Place,
  RangeOptions,
  RecordSize,
  Space,
  SpacedRange,
  StoredRecord,
} from "./txn.ts";
import { changeKey, isOneKey, keysBySpace } from "./txn.ts";

export type SqlValue = string | number | ArrayBuffer | Uint8Array | null;

/** The two calls made of a database. Rows are arrays in column order; all rows are read before it returns. */
export interface SqlDatabase {
  all(query: string, ...bindings: SqlValue[]): SqlValue[][];
  sizeBytes(): number;
}

type Statements = Pick<SqlDatabase, "all">;

/** Checksum of a stored record: fast, not cryptographic. */
export type Checksum = (bytes: Uint8Array, seed: number) => number;

const SCHEMA = [
  `CREATE TABLE IF NOT EXISTS meta (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS records (
     space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
     create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, version INTEGER NOT NULL,
     lease TEXT, checksum INTEGER NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID`,
  `CREATE INDEX IF NOT EXISTS records_by_lease ON records (lease) WHERE lease IS NOT NULL`,
  `CREATE TABLE IF NOT EXISTS history (
     space TEXT NOT NULL, key BLOB NOT NULL, until INTEGER NOT NULL, value BLOB NOT NULL,
     create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, version INTEGER NOT NULL,
     lease TEXT, checksum INTEGER NOT NULL, PRIMARY KEY (space, key, until)) WITHOUT ROWID`,
  `CREATE TABLE IF NOT EXISTS log (
     revision INTEGER PRIMARY KEY, canonical TEXT NOT NULL, content BLOB NOT NULL, hash BLOB NOT NULL,
     request_key TEXT, result TEXT)`,
  `CREATE UNIQUE INDEX IF NOT EXISTS log_by_request ON log (request_key) WHERE request_key IS NOT NULL`,
  // A commit of very many keys does not fit one row: the rest of its canonical text.
  `CREATE TABLE IF NOT EXISTS log_overflow (
     revision INTEGER NOT NULL, part INTEGER NOT NULL, canonical TEXT NOT NULL,
     PRIMARY KEY (revision, part)) WITHOUT ROWID`,
  // A snapshot on its way in: nothing of it counts before all of it has come.
  `CREATE TABLE IF NOT EXISTS staging (
     space TEXT NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL,
     create_revision INTEGER NOT NULL, mod_revision INTEGER NOT NULL, version INTEGER NOT NULL,
     lease TEXT, checksum INTEGER NOT NULL, PRIMARY KEY (space, key)) WITHOUT ROWID`,
  // What survives of lease deadlines between commits; see leases/checkpoint.ts.
  `CREATE TABLE IF NOT EXISTS lease_checkpoint (part INTEGER PRIMARY KEY, data TEXT NOT NULL)`,
];

const SCHEMA_VERSION = "1";
const CANONICAL_CHARS_MAX = 500_000;
const COLUMNS = "key, value, create_revision, mod_revision, version, lease, checksum";
const SNAPSHOT_ROWS = 500;
/** Of a record in a snapshot, besides key and value. */
const ROW_BYTES = 100;
const LEFTOVERS_SLICE = 2000;
/** Values bound in one statement; Durable Objects take a hundred. */
const BINDINGS_MAX = 100;
const EMPTY = new Uint8Array();
const EMPTY_HASH = new Uint8Array(32);

export class SqliteBackend implements Backend {
  /** Sees what is pending: it is written first. */
  readonly #sql: Statements;
  /** For what nothing pending can change. */
  readonly #direct: Statements;
  readonly #database: SqlDatabase;
  readonly #checksum: Checksum;
  readonly #transient: ReadonlySet<Space>;
  /** Of every space there is history since this revision; null = not of the transient ones. */
  #allSince: number | null = null;
  /** Rows of transient spaces may have been left behind, by this life or an earlier one. */
  #hasLeftovers: boolean;
  /** Where short records are put together, to be summed up. */
  readonly #scratch = new Uint8Array(4096);
  /** Of what is written, not of what is pending. */
  readonly #recent = new RecordCache();
  /** Null outside of a batch. */
  #pending: PendingWrites | null = null;
  /** Rows of a batch that were read ahead, by space and key, as the disk has them; null = there is none. */
  readonly #foreseen = new Map<string, SqlValue[] | null>();

  /** `transient`: the spaces of which no history is kept. */
  constructor(database: SqlDatabase, checksum: Checksum, transient: ReadonlySet<Space> = new Set()) {
    this.#transient = transient;
    this.#hasLeftovers = transient.size > 0;
    // An empty array may have no memory behind it, which some bindings take for NULL.
    const whole = (value: SqlValue): SqlValue => (value instanceof Uint8Array && value.length === 0 ? EMPTY : value);
    this.#direct = { all: (query, ...bindings) => database.all(query, ...bindings.map(whole)) };
    this.#sql = {
      all: (query, ...bindings) => {
        this.#flush();
        return this.#direct.all(query, ...bindings);
      },
    };
    this.#database = database;
    this.#checksum = checksum;
    for (const statement of SCHEMA) database.all(statement);
    const version = this.meta("schema_version");
    if (version === undefined) this.setMeta("schema_version", SCHEMA_VERSION);
    else if (version !== SCHEMA_VERSION) {
      throw new HoldfastError(
        "unsupported",
        `this store has schema ${version}, this version of Holdfast knows ${SCHEMA_VERSION}`,
      );
    }
  }

  /**
   * Holds what `act` writes, and writes it at its end. The caller wraps it in a storage transaction, and rolls that back
   * when this throws.
   */
  batch<T>(act: () => T): T {
    if (this.#pending !== null) return act();
    this.#pending = new PendingWrites();
    try {
      const value = act();
      this.#flush();
      return value;
    } catch (error) {
      // Some of what is rolled back may have been written, and read again.
      this.#recent.clear();
      throw error;
    } finally {
      this.#pending = null;
      this.#foreseen.clear();
    }
  }

  /** Reads ahead, within a batch, what its commands will ask for one after the other. */
  foresee(space: Space, keys: readonly Uint8Array[]): void {
    for (const key of keys) this.#foreseen.set(changeKey(space, key), null);
    inChunks(SELECTS, keys, (query, chunk) => {
      for (const row of this.#direct.all(query, space, ...chunk)) {
        this.#foreseen.set(changeKey(space, bytes(row[0])), row);
      }
    });
  }

  head(): StoreHead {
    const floor = Number(this.meta("revision_floor") ?? 0);
    const compacted = Number(this.meta("compacted") ?? 0);
    const last = this.#sql.all("SELECT revision, hash FROM log ORDER BY revision DESC LIMIT 1")[0];
    if (!last) return { revision: floor, compacted, hash: this.chainBase().hash };
    return { revision: Math.max(floor, Number(last[0])), compacted, hash: bytes(last[1]) };
  }

  get(space: Space, key: Uint8Array): StoredRecord | undefined {
    const pending = this.#pending?.get(space, key);
    if (pending) return pending.record ?? undefined;
    const recent = this.#recent.get(space, key);
    if (recent) return recent;
    const foreseen = this.#foreseen.size > 0 ? this.#foreseen.get(changeKey(space, key)) : undefined;
    if (foreseen === null) return undefined;
    const row =
      foreseen ?? this.#direct.all(`SELECT ${COLUMNS} FROM records WHERE space = ? AND key = ?`, space, key)[0];
    const record = row && this.#record(space, row);
    if (record && !this.#transient.has(space)) this.#recent.add(space, record);
    return record;
  }

  getMany(space: Space, keys: readonly Uint8Array[]): (StoredRecord | undefined)[] {
    const stored = new Map<string, StoredRecord>();
    const asked = keys.filter((key) => !this.#pending?.get(space, key));
    inChunks(SELECTS, asked, (query, chunk) => {
      for (const row of this.#direct.all(query, space, ...chunk)) {
        const record = this.#record(space, row);
        stored.set(toBinaryString(record.key), record);
      }
    });
    return keys.map((key) => {
      const pending = this.#pending?.get(space, key);
      return pending ? (pending.record ?? undefined) : stored.get(toBinaryString(key));
    });
  }

  range(space: Space, range: KeyRange, options: RangeOptions = {}): StoredRecord[] {
    if (isOneKey(range) && options.limit !== 0) {
      const record = this.get(space, range.from);
      return record ? [record] : [];
    }
    const { where, bindings } = within(space, range);
    const order = options.reverse ? "DESC" : "ASC";
    const read = (columns: string, limit: number): SqlValue[][] => {
      const query = `SELECT ${columns} FROM records WHERE ${where} ORDER BY key ${order} LIMIT ?`;
      return this.#reading(space).all(query, ...bindings, limit);
    };
    return read(COLUMNS, fitting(read, options)).map((row) => this.#record(space, row));
  }

  sizes(space: Space, range: KeyRange, limit: number): RecordSize[] {
    const { where, bindings } = within(space, range);
    return this.#reading(space)
      .all(`SELECT key, length(value) FROM records WHERE ${where} ORDER BY key LIMIT ?`, ...bindings, limit)
      .map(([key, valueBytes]) => ({ key: bytes(key), valueBytes: Number(valueBytes) }));
  }

  leased(lease: string): Place[] {
    return this.#sql
      .all("SELECT space, key FROM records WHERE lease = ?", lease)
      .map((row) => ({ space: String(row[0]), key: bytes(row[1]) }));
  }

  leasedMany(leases: readonly string[], max: Held): Place[][] | null {
    const found = new Map(leases.map((lease): [string, Place[]] => [lease, []]));
    const left = { ...max };
    const isTooMuch = (): boolean => left.records < 0 || left.bytes < 0;
    inChunks(LEASED, leases, (query, chunk) => {
      if (isTooMuch()) return;
      for (const row of this.#sql.all(query, ...chunk, left.records + 1)) {
        found.get(String(row[0]))!.push({ space: String(row[1]), key: bytes(row[2]) });
        left.records--;
        left.bytes -= Number(row[3]);
      }
    });
    return isTooMuch() ? null : leases.map((lease) => found.get(lease)!);
  }

  countRange(space: Space, range: KeyRange): number {
    const { where, bindings } = within(space, range);
    const [row] = this.#reading(space).all(`SELECT count(*) FROM records WHERE ${where}`, ...bindings);
    return Number(row?.[0] ?? 0);
  }

  lastChange(space: Space, range: KeyRange): number {
    if (isOneKey(range)) return this.#lastChangeOf(space, range.from);
    const end = range.to === null ? "" : "AND key < ?3";
    const bindings = range.to === null ? [space, range.from] : [space, range.from, range.to];
    // A deleted key has nothing but history, whose last version ended when it was deleted.
    const rows = this.#reading(space).all(
      `SELECT max(mod_revision) FROM records WHERE space = ?1 AND key >= ?2 ${end}
       UNION ALL SELECT max(until) FROM history WHERE space = ?1 AND key >= ?2 ${end}`,
      ...bindings,
    );
    return Math.max(...rows.map(([revision]) => Number(revision ?? 0)));
  }

  /** Of what exists the record tells it; to look through its history would take as long as that is. */
  #lastChangeOf(space: Space, key: Uint8Array): number {
    const current = this.get(space, key);
    if (current) return current.modRevision;
    const [row] = this.#sql.all(`SELECT max(until) FROM history WHERE space = ? AND key = ?`, space, key);
    return Number(row?.[0] ?? 0);
  }

  getAt(space: Space, key: Uint8Array, revision: number): StoredRecord | undefined {
    const current = this.get(space, key);
    if (current && current.modRevision <= revision) return current;
    const row = this.#sql.all(
      `SELECT ${COLUMNS} FROM history WHERE space = ? AND key = ? AND until > ? ORDER BY until LIMIT 1`,
      space,
      key,
      revision,
    )[0];
    const record = row && this.#record(space, row);
    return record && record.modRevision <= revision ? record : undefined;
  }

  rangeAt(space: Space, range: KeyRange, revision: number, options: RangeOptions = {}): StoredRecord[] {
    const end = range.to === null ? "" : "AND key < ?3";
    const read = (columns: string, limit: number): SqlValue[][] =>
      this.#sql.all(
        `SELECT ${columns} FROM records WHERE space = ?1 AND key >= ?2 ${end} AND mod_revision <= ?4
         UNION ALL
         SELECT ${columns} FROM history WHERE space = ?1 AND key >= ?2 ${end} AND mod_revision <= ?4 AND until > ?4
         ORDER BY 1 ${options.reverse ? "DESC" : "ASC"} LIMIT ?5`,
        space,
        range.from,
        range.to,
        revision,
        limit,
      );
    return read(COLUMNS, fitting(read, options)).map((row) => this.#record(space, row));
  }

  replacedBy(space: Space, key: Uint8Array, revision: number): StoredRecord | undefined {
    const row = this.#sql.all(
      `SELECT ${COLUMNS} FROM history WHERE space = ? AND key = ? AND until = ?`,
      space,
      key,
      revision,
    )[0];
    return row && this.#record(space, row);
  }

  append(appended: AppendedCommit): void {
    this.batch(() => {
      const { sweeps, revision } = appended.commit;
      // What is pending lies below.
      if (sweeps.length > 0) this.#flush();
      for (const range of sweeps) this.#sweep(range, revision);
      this.#append(appended, this.#pending!);
    });
  }

  /** In the database alone: values come up to any size, and there may be very many of them. */
  #sweep({ space, ...range }: SpacedRange, revision: number): void {
    const { where, bindings } = within(space, range);
    if (this.#isKept(space)) {
      const columns = HISTORY_COLUMNS.replace("until", "?");
      const query = `INSERT INTO history (${HISTORY_COLUMNS}) SELECT ${columns} FROM records WHERE ${where}`;
      this.#direct.all(query, revision, ...bindings);
    }
    this.#direct.all(`DELETE FROM records WHERE ${where}`, ...bindings);
    this.#recent.clear();
    this.#foreseen.clear();
  }

  #append({ commit, canonical, content, hash, replay }: AppendedCommit, pending: PendingWrites): void {
    const { revision } = commit;
    const replaced = commit.changes.filter(({ space, before }) => before !== null && this.#isKept(space));
    for (const { space, key, before } of this.#copyReplaced(replaced, revision, pending))
      pending.replace([space, key, revision, ...this.#columns(space, before!)], before!.value.length);
    for (const { space, key, after, isSwept } of commit.changes) {
      if (after !== null || !isSwept) pending.write(space, key, after);
    }
    pending.append([revision, canonical.slice(0, CANONICAL_CHARS_MAX), content, hash], canonical.length, replay);
    for (let at = CANONICAL_CHARS_MAX, part = 0; at < canonical.length; at += CANONICAL_CHARS_MAX, part++) {
      this.#direct.all(
        "INSERT INTO log_overflow (revision, part, canonical) VALUES (?, ?, ?)",
        revision,
        part,
        canonical.slice(at, at + CANONICAL_CHARS_MAX),
      );
    }
    if (pending.isLarge) this.#flush();
  }

  /** Where a commit replaces many records the database copies them by itself, as far as it has them. Answers the others. */
  #copyReplaced(replaced: Change[], revision: number, pending: PendingWrites): Change[] {
    if (replaced.length < COPIES.at(-1)!.count) return replaced;
    const [others, stored]: [Change[], Change[]] = [[], []];
    for (const change of replaced) (pending.get(change.space, change.key) ? others : stored).push(change);
    for (const [space, changes] of Map.groupBy(stored, (change) => change.space)) {
      const copied = inChunks(COPIES, changes, (query, chunk) => {
        this.#direct.all(query, revision, space, ...chunk.map(({ key }) => key));
      });
      others.push(...changes.slice(copied));
    }
    return others;
  }

  #isKept(space: Space): boolean {
    return this.#allSince !== null || !this.#transient.has(space);
  }

  /** Where a whole space is read: what is pending of others can wait. */
  #reading(space: Space): Statements {
    return this.#pending?.touches(space) ? this.#sql : this.#direct;
  }

  #flush(): void {
    const pending = this.#pending;
    if (pending === null || pending.isEmpty) return;
    this.#pending = new PendingWrites();
    this.#foreseen.clear();
    const rows: SqlValue[][] = [];
    const deleted: Place[] = [];
    for (const { space, key, record } of pending.records) {
      this.#recent.changed(space, key);
      if (record) rows.push([space, key, ...this.#columns(space, record)]);
      else deleted.push({ space, key });
    }
    for (const [space, keys] of keysBySpace(deleted))
      inChunks(DELETES, keys, (query, chunk) => void this.#direct.all(query, space, ...chunk));
    this.#insert(HISTORY, pending.history);
    this.#insert(RECORDS, rows);
    this.#insert(LOG, pending.log);
    this.#insert(LOG_REPEATABLE, pending.repeatable);
  }

  /** As many rows to a statement as may be; few different numbers of them, so that statements stay prepared. */
  #insert(statements: Statement[], rows: readonly SqlValue[][]): void {
    inChunks(statements, rows, (query, chunk) => void this.#direct.all(query, ...chunk.flat()));
  }

  /** What records and history keep of a record, behind its key. */
  #columns(space: Space, record: StoredRecord): SqlValue[] {
    const { value, createRevision, modRevision, version, lease } = record;
    return [value, createRevision, modRevision, version, lease, this.#sum(space, record)];
  }

  log(since: number, limit: number): LogRow[] {
    return this.#sql
      .all(
        "SELECT revision, canonical, content, hash FROM log WHERE revision > ? ORDER BY revision LIMIT ?",
        since,
        limit,
      )
      .map((row) => {
        const revision = Number(row[0]);
        let canonical = String(row[1]);
        if (canonical.length >= CANONICAL_CHARS_MAX) {
          canonical += this.#sql
            .all("SELECT canonical FROM log_overflow WHERE revision = ? ORDER BY part", revision)
            .map((part) => String(part[0]))
            .join("");
        }
        return { ...parseCanonical(canonical), canonical, content: bytes(row[2]), hash: bytes(row[3]) };
      });
  }

  replayOf(requestKey: string): { command: string; result: string; revision: number } | undefined {
    if (this.#pending?.hasRequest(requestKey)) this.#flush();
    const row = this.#direct.all("SELECT revision, canonical, result FROM log WHERE request_key = ?", requestKey)[0];
    if (!row) return undefined;
    // The command's name stands at the front of the canonical text, so a truncated one serves as well.
    const command = /^\[\d+,\d+,"([^"]*)"/.exec(String(row[1]))?.[1] ?? "";
    return { command, result: String(row[2]), revision: Number(row[0]) };
  }

  dropHistory(rows: LogRow[], revision: number): void {
    this.#flush();
    for (const row of rows) {
      for (const [space, keys] of keysBySpace(row.changes)) {
        if (this.#transient.has(space)) continue;
        inChunks(FORGETS, keys, (query, chunk) => void this.#direct.all(query, row.revision, space, ...chunk));
      }
    }
    this.setMeta("compacted", String(revision));
  }

  historyBegins(space: Space): number {
    if (!this.#transient.has(space)) return 0;
    return this.#allSince ?? Infinity;
  }

  get allHistoryBegins(): number {
    return this.#transient.size === 0 ? 0 : (this.#allSince ?? Infinity);
  }

  /** From here on history is kept of every space, until `keepUsual`. */
  keepAll(): void {
    if (this.#transient.size === 0) return;
    this.#allSince ??= this.head().revision;
    this.#hasLeftovers = true;
  }

  keepUsual(): void {
    this.#allSince = null;
  }

  /** Removes what `keepAll` has kept, in slices; true while there is more. */
  dropLeftovers(): boolean {
    if (!this.#hasLeftovers || this.#allSince !== null) return false;
    const names = [...this.#transient];
    const gone = this.#sql.all(
      `DELETE FROM history WHERE (space, key, until) IN
         (SELECT space, key, until FROM history WHERE space IN (${names.map(() => "?").join(", ")}) LIMIT ?)
       RETURNING 1`,
      ...names,
      LEFTOVERS_SLICE,
    );
    this.#hasLeftovers = gone.length === LEFTOVERS_SLICE;
    return this.#hasLeftovers;
  }

  chainBase(): { revision: number; hash: Uint8Array } {
    const stored = this.meta("chain_base");
    if (stored === undefined) return { revision: 0, hash: EMPTY_HASH };
    const base = JSON.parse(stored) as { revision: number; hash: string };
    return { revision: base.revision, hash: fromBinaryString(base.hash) };
  }

  trimLog(revision: number): void {
    const row = this.#sql.all(
      "SELECT revision, hash FROM log WHERE revision <= ? ORDER BY revision DESC LIMIT 1",
      revision,
    )[0];
    if (!row) return;
    this.setMeta("chain_base", JSON.stringify({ revision: Number(row[0]), hash: toBinaryString(bytes(row[1])) }));
    this.setMeta("revision_floor", String(this.head().revision));
    this.#sql.all("DELETE FROM log WHERE revision <= ?", revision);
    this.#sql.all("DELETE FROM log_overflow WHERE revision <= ?", revision);
  }

  isEmpty(): boolean {
    return this.#sql.all("SELECT 1 FROM records LIMIT 1").length === 0;
  }

  /** Forgets all records and history, and continues above `revision`. */
  clear(revision: number): void {
    this.#sql.all("DELETE FROM records");
    this.#recent.clear();
    this.#sql.all("DELETE FROM history");
    this.#sql.all("DELETE FROM lease_checkpoint");
    this.setMeta("revision_floor", String(revision));
    this.setMeta("compacted", String(revision));
  }

  /** Lets the revision counter go on above `revision`: revisions up to it may have been issued elsewhere. */
  raiseFloor(revision: number): void {
    this.setMeta("revision_floor", String(revision));
    this.setMeta("compacted", String(revision));
  }

  /** All records of all spaces as of `revision`, in the order of space and key, up to `bytesMax` and at least one. */
  snapshotPage(revision: number, after: SnapshotCursor | null, bytesMax: number): SnapshotPage {
    let cursor = after;
    const read = (columns: string, limit: number): SqlValue[][] =>
      this.#sql.all(
        `SELECT * FROM (
           SELECT ${columns}, space FROM records WHERE (space, key) > (?1, ?2) AND mod_revision <= ?3
           ORDER BY space, key LIMIT ?4)
         UNION ALL
         SELECT * FROM (
           SELECT ${columns}, space FROM history WHERE (space, key) > (?1, ?2) AND mod_revision <= ?3 AND until > ?3
           ORDER BY space, key LIMIT ?4)
         ORDER BY space, key LIMIT ?4`,
        cursor?.space ?? "",
        cursor?.key ?? EMPTY,
        revision,
        limit,
      );
    const records: SpacedRecord[] = [];
    let left = bytesMax;
    for (;;) {
      const rows = read(COLUMNS, fitting(read, { limit: SNAPSHOT_ROWS, bytesMax: left }));
      for (const row of rows) {
        const space = String(row.pop());
        const record = this.#record(space, row);
        records.push({ space, record });
        cursor = { space, key: record.key };
        left -= record.key.length + record.value.length + ROW_BYTES;
      }
      if (left <= 0) return { records, after: cursor };
      if (rows.length < SNAPSHOT_ROWS) return { records, after: null };
    }
  }

  /** Begins the restore of a snapshot, forgetting one that was not finished. */
  stageBegin(): void {
    this.#sql.all("DELETE FROM staging");
  }

  stage(records: readonly SpacedRecord[]): void {
    this.#insert(
      STAGING,
      records.map(({ space, record }) => [space, record.key, ...this.#columns(space, record)]),
    );
  }

  stagedCount(): number {
    return Number(this.#sql.all("SELECT count(*) FROM staging")[0]?.[0] ?? 0);
  }

  /** Puts what was staged in the place of everything there was, and goes on above `revision`. The log is kept. */
  stageCommit(revision: number): void {
    this.clear(revision);
    this.#sql.all("INSERT INTO records SELECT * FROM staging");
    this.#sql.all("DELETE FROM staging");
  }

  saveCheckpoint(parts: string[]): void {
    this.#sql.all("DELETE FROM lease_checkpoint WHERE part >= ?", parts.length);
    parts.forEach((data, part) =>
      this.#sql.all("INSERT OR REPLACE INTO lease_checkpoint (part, data) VALUES (?, ?)", part, data),
    );
  }

  loadCheckpoint(): string[] {
    return this.#sql.all("SELECT data FROM lease_checkpoint ORDER BY part").map((row) => String(row[0]));
  }

  meta(name: string): string | undefined {
    const row = this.#direct.all("SELECT value FROM meta WHERE name = ?", name)[0];
    return row && String(row[0]);
  }

  setMeta(name: string, value: string): void {
    this.#direct.all("INSERT OR REPLACE INTO meta (name, value) VALUES (?, ?)", name, value);
  }

  sizeBytes(): number {
    return this.#database.sizeBytes();
  }

  #record(space: Space, row: SqlValue[]): StoredRecord {
    const record: StoredRecord = {
      key: bytes(row[0]),
      value: bytes(row[1]),
      createRevision: Number(row[2]),
      modRevision: Number(row[3]),
      version: Number(row[4]),
      lease: row[5] === null ? null : String(row[5]),
    };
    if (this.#sum(space, record) !== Number(row[6])) {
      throw new HoldfastError("corrupt", `a stored record of space ${space} failed its checksum; it was refused`, {
        space,
        modRevision: record.modRevision,
      });
    }
    return record;
  }

  #sum(space: Space, record: StoredRecord): number {
    const head = `${space}\0${record.createRevision},${record.modRevision},${record.version},${record.lease ?? ""}`;
    const { key, value } = record;
    const start = utf8(head);
    const length = start.length + key.length + value.length;
    if (length <= this.#scratch.length) {
      // One call for all three: it costs more than a copy.
      this.#scratch.set(start);
      this.#scratch.set(key, start.length);
      this.#scratch.set(value, start.length + key.length);
      return this.#checksum(this.#scratch.subarray(0, length), 0);
    }
    // An empty value may come without memory behind it, which zlib takes for a fresh start.
    return this.#checksum(value.length > 0 ? value : EMPTY, this.#checksum(key, this.#checksum(start, 0)));
  }
}

/** One query for so many rows or keys. */
interface Statement {
  count: number;
  query: string;
}

/** As many to a statement as may be; `statements` go from many to few. Answers how many items it came to. */
function inChunks<T>(statements: Statement[], items: readonly T[], act: (query: string, chunk: T[]) => void): number {
  let at = 0;
  for (const { count, query } of statements) {
    for (; items.length - at >= count; at += count) act(query, items.slice(at, at + count));
  }
  return at;
}

function insertInto(table: string, columns: string): Statement[] {
  const width = columns.split(",").length;
  const row = `(${Array(width).fill("?").join(", ")})`;
  return [Math.floor(BINDINGS_MAX / width), 4, 2, 1].map((count) => ({
    count,
    query: `INSERT${table === "records" ? " OR REPLACE" : ""} INTO ${table} (${columns}) VALUES ${Array(count).fill(row).join(", ")}`,
  }));
}

/** One more value is bound: the space of all keys, or how many rows are wanted. */
const forMany = (queryOf: (list: string) => string, counts = [BINDINGS_MAX - 1, 16, 4, 1]): Statement[] =>
  counts.map((count) => ({ count, query: queryOf(`(${Array(count).fill("?").join(", ")})`) }));

const HISTORY_COLUMNS = `space, key, until, ${COLUMNS.replace("key, ", "")}`;
const RECORDS = insertInto("records", `space, ${COLUMNS}`);
const HISTORY = insertInto("history", HISTORY_COLUMNS);
const STAGING = insertInto("staging", `space, ${COLUMNS}`);
const LOG = insertInto("log", "revision, canonical, content, hash");
/** Of commands that were given a request id. */
const LOG_REPEATABLE = insertInto("log", "revision, canonical, content, hash, request_key, result");
const SELECTS = forMany((keys) => `SELECT ${COLUMNS} FROM records WHERE space = ? AND key IN ${keys}`);
const DELETES = forMany((keys) => `DELETE FROM records WHERE space = ? AND key IN ${keys}`);
const COPIES = forMany(
  (keys) =>
    `INSERT INTO history (${HISTORY_COLUMNS}) SELECT ${HISTORY_COLUMNS.replace("until", "?")} FROM records WHERE space = ? AND key IN ${keys}`,
  [BINDINGS_MAX - 2, 16],
);
const LEASED = forMany(
  (leases) => `SELECT lease, space, key, length(value) FROM records WHERE lease IN ${leases} LIMIT ?`,
);
const FORGETS = forMany(
  (keys) => `DELETE FROM history WHERE until = ? AND space = ? AND key IN ${keys}`,
  [BINDINGS_MAX - 2, 16, 4, 1],
);

function bytes(value: SqlValue | undefined): Uint8Array {
  // An empty blob comes without memory behind it: zlib takes that for a fresh start, and a binding for NULL.
  if (value instanceof Uint8Array) return value.length > 0 ? value : new Uint8Array();
  if (value instanceof ArrayBuffer) return value.byteLength > 0 ? new Uint8Array(value) : new Uint8Array();
  throw new HoldfastError("corrupt", "a stored byte string has another type");
}

/** So few rows are read without a look at their sizes. */
const UNWEIGHED_MAX = 8;

/** How many rows to read: up to the one with which they have `bytesMax`. Sizes are read without the values. */
function fitting(
  read: (columns: string, limit: number) => SqlValue[][],
  { limit = -1, bytesMax = Infinity }: RangeOptions,
): number {
  if (bytesMax === Infinity || (limit >= 0 && limit <= UNWEIGHED_MAX)) return limit;
  let left = bytesMax;
  let count = 0;
  for (const [, size] of read("key, length(key) + length(value)", limit)) {
    count++;
    left -= Number(size);
    if (left <= 0) break;
  }
  return count;
}

/** The condition on records of a range, and what is bound in it. */
function within(space: Space, { from, to }: KeyRange): { where: string; bindings: SqlValue[] } {
  if (to === null) return { where: "space = ? AND key >= ?", bindings: [space, from] };
  return { where: "space = ? AND key >= ? AND key < ?", bindings: [space, from, to] };
}
