/** etcd's JSON gateway as a transport: 64-bit numbers in decimal text, bytes in base64, what is empty is left out. */
import { Unanswered } from "../history.ts";
import type { EtcdAnswer, EtcdRecord, EtcdTransport } from "./etcd-keys.ts";
import type { Ordeal } from "./ordeal.ts";

interface WireRecord {
  key: string;
  value?: string;
  mod_revision: string;
  create_revision: string;
  version: string;
}

export class EtcdGateway implements EtcdTransport {
  readonly #ordeal: Ordeal;

  constructor(ordeal: Ordeal) {
    this.#ordeal = ordeal;
  }

  async range(key: string, end: string | null): Promise<EtcdAnswer> {
    const { header, kvs } = await this.#post("kv/range", rangeOf(key, end));
    return { revision: Number(header.revision), done: false, records: recordsOf(kvs) };
  }

  async put(key: string, value: string): Promise<EtcdAnswer> {
    const { header } = await this.#post("kv/put", { key: btoa(key), value: btoa(value) });
    return { revision: Number(header.revision), done: true, records: null };
  }

  async delete(key: string): Promise<EtcdAnswer> {
    const { header, deleted = "0" } = await this.#post("kv/deleterange", { key: btoa(key) });
    return { revision: Number(header.revision), done: deleted !== "0", records: null };
  }

  async txn(
    compare: { key: string; modRevision: number },
    puts: readonly string[],
    value: string,
    otherwise: { key: string; end: string },
  ): Promise<EtcdAnswer> {
    const { header, succeeded, responses } = await this.#post("kv/txn", {
      compare: [{ key: btoa(compare.key), target: "MOD", result: "EQUAL", mod_revision: String(compare.modRevision) }],
      success: puts.map((key) => ({ request_put: { key: btoa(key), value: btoa(value) } })),
      failure: [{ request_range: rangeOf(otherwise.key, otherwise.end) }],
    });
    const records = succeeded ? null : recordsOf(responses[0].response_range.kvs);
    return { revision: Number(header.revision), done: succeeded === true, records };
  }

  // The answers are read as the tests of the gateway say they are.
  // oxlint-disable-next-line typescript/no-explicit-any
  async #post(path: string, body: object): Promise<any> {
    const { status, json, text } = await this.#ordeal.send(`/v3/${path}`, { method: "POST", body });
    if (status === 200) return json;
    // etcd's "unavailable" does not tell whether the call was carried out.
    if (status === 503 || status === 504) throw new Unanswered(text);
    throw new Error(`/v3/${path}: ${status} ${text}`);
  }
}

const rangeOf = (key: string, end: string | null): object => ({
  key: btoa(key),
  ...(end !== null && { range_end: btoa(end) }),
});

const recordsOf = (kvs: readonly WireRecord[] = []): EtcdRecord[] =>
  kvs.map(({ key, value = "", mod_revision, create_revision, version }) => ({
    key: atob(key),
    value: atob(value),
    modRevision: Number(mod_revision),
    createRevision: Number(create_revision),
    version: Number(version),
  }));
