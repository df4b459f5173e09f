/** A whole namespace as one text, out and in (objects/store/snapshot.ts has its form). */
import { createHash } from "node:crypto";
import type { Caller } from "../../objects/model.ts";
import type { SpacedRecord } from "../../objects/store/backend.ts";
import type { IncrementalDigest } from "../../objects/store/snapshot.ts";
import { SnapshotReader, SnapshotWriter } from "../../objects/store/snapshot.ts";
import type { Answer, NamespaceClient } from "./namespace-client.ts";

/** Records sent to the object in one call. */
const STAGE_BYTES = 1024 * 1024;

export interface Snapshot {
  revision: number;
  /** The text in parts; the same one each time, as long as not much time passes between two parts. */
  parts(): AsyncGenerator<Uint8Array>;
}

export async function takeSnapshot(client: NamespaceClient): Promise<Snapshot> {
  const { revision } = (await client.snapshotPage(null)).value;
  const createdAt = Date.now();
  return { revision, parts: () => partsOf(client, revision, createdAt) };
}

async function* partsOf(client: NamespaceClient, revision: number, createdAt: number): AsyncGenerator<Uint8Array> {
  const writer = new SnapshotWriter(sha256());
  const { namespace, datacenter } = client;
  yield writer.header({ holdfast: "snapshot", format: 1, namespace, datacenter, revision, createdAt });
  let { value: part } = await client.snapshotPage({ revision, after: null });
  for (;;) {
    if (part.records.length > 0) yield writer.records(part.records);
    if (part.after === null) break;
    part = (await client.snapshotPage({ revision, after: part.after })).value;
  }
  yield writer.trailer();
}

export interface RestoreOptions {
  /** Replace what the namespace holds. */
  force: boolean;
  caller: Caller;
  /** Last look before anything is replaced; throws what is wrong. */
  verify?: () => void;
}

/** Nothing is replaced before the text has proved whole. Codes: `invalid_argument`, `conflict`. */
export async function restoreSnapshot(
  client: NamespaceClient,
  chunks: AsyncIterable<Uint8Array>,
  { force, caller, verify }: RestoreOptions,
): Promise<Answer<{ records: number }>> {
  const { restore } = (await client.restoreBegin(force)).value;
  const reader = new SnapshotReader(sha256());
  const batch = new StageBatch((records) => client.restoreStage(restore, records));
  for await (const chunk of chunks) for (const record of reader.push(chunk)) await batch.add(record);
  await batch.flush();
  const { namespace, revision } = reader.finish();
  verify?.();
  return client.restoreCommit(restore, { namespace, revision, count: batch.count }, { force, caller });
}

class StageBatch {
  count = 0;
  readonly #send: (records: SpacedRecord[]) => Promise<unknown>;
  #records: SpacedRecord[] = [];
  #bytes = 0;

  constructor(send: (records: SpacedRecord[]) => Promise<unknown>) {
    this.#send = send;
  }

  async add(record: SpacedRecord): Promise<void> {
    this.#records.push(record);
    this.#bytes += record.record.key.length + record.record.value.length + 100;
    if (this.#bytes >= STAGE_BYTES) await this.flush();
  }

  async flush(): Promise<void> {
    if (this.#records.length === 0) return;
    this.count += this.#records.length;
    await this.#send(this.#records);
    this.#records = [];
    this.#bytes = 0;
  }
}

export function sha256(): IncrementalDigest {
  const hash = createHash("sha256");
  return { update: (bytes) => void hash.update(bytes), digestHex: () => hash.digest("hex") };
}
