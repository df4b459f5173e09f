/** What an operator set through a dialect and what means nothing here: small documents, kept and given back as they are. */
import type { Extra, Stored } from "../policy/records.ts";
import { assertCas, assertExtra, assertLabel, storedOf } from "../policy/records.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";

export interface Document {
  /** `<dialect>/<what>`. */
  name: string;
  value: Extra;
}

export const documentSpace = new JsonSpace<Document>("document");

/** Codes: `conflict` (its revision is not `cas`), `invalid_argument`, `too_large`. */
export function putDocument(
  txn: Txn,
  _context: Context,
  { name, value, cas }: Document & { cas?: number | undefined },
): Stored<Document> {
  assertLabel("name", name);
  assertExtra("value", value);
  assertCas(findDocument(txn, { name }) ?? undefined, cas);
  documentSpace.put(txn, [name], { name, value });
  return findDocument(txn, { name })!;
}

export function findDocument(reader: Reader, { name }: { name: string }): Stored<Document> | null {
  const record = documentSpace.record(reader, name);
  return record ? storedOf(documentSpace, record) : null;
}
