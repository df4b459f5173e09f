/**
 * `/v1/snapshot`: an archive that Consul's tools take for one of theirs, and can verify. What is in it is our own: a
 * snapshot of Consul's servers cannot be restored here, nor this one there.
 *
 * A gzip'd tar of `meta.json`, `state.bin` and `SHA256SUMS`. A tar tells a file's size before the file, so the state is
 * read twice, at the same revision: once to measure it, once to send it. Nothing is held but the part on its way.
 */
import { Buffer } from "node:buffer";
import { createTarDecoder, createTarPacker } from "modern-tar";
import { utf8 } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { restoreSnapshot, sha256, takeSnapshot } from "../../request/snapshot.ts";
import type { Snapshot } from "../../request/snapshot.ts";
import { nodeIdOf } from "./catalog/agent-node.ts";
import { emptyResponse } from "./encode.ts";
import { ConsulError, refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { route } from "./route.ts";
import { serverAddress } from "./status.ts";

const META = "meta.json";
const STATE = "state.bin";
const SUMS = "SHA256SUMS";
/** The small files of an archive. */
const FILE_BYTES_MAX = 1024 * 1024;

export const snapshotRoutes = [route("/snapshot", { GET: saveArchive, PUT: restoreArchive })];

/** A snapshot tells everything, tokens too. */
function requireManagement(exchange: Exchange): void {
  if (!exchange.authorizer.isManagement) throw new ConsulError(403, "Permission denied");
}

async function saveArchive(exchange: Exchange): Promise<Response> {
  requireManagement(exchange);
  const snapshot = await takeSnapshot(exchange.client);
  const state = await measure(snapshot);
  const meta = utf8(`${JSON.stringify(metaOf(exchange, snapshot.revision, state.size))}\n`);
  const metaSum = sha256();
  metaSum.update(meta);
  const sums = utf8(`${metaSum.digestHex()}  ${META}\n${state.sum}  ${STATE}\n`);

  const { readable, controller } = createTarPacker();
  const packed = async (): Promise<void> => {
    const add = async (name: string, size: number, parts: AsyncIterable<Uint8Array> | Uint8Array[]): Promise<void> => {
      const file = controller.add({ name, size, type: "file", mode: 0o600, mtime: new Date() }).getWriter();
      for await (const part of parts) await file.write(part);
      await file.close();
    };
    await add(META, meta.length, [meta]);
    await add(STATE, state.size, snapshot.parts());
    await add(SUMS, sums.length, [sums]);
    controller.finalize();
  };
  // What goes wrong breaks the stream off, and with it the archive.
  packed().catch((error: unknown) => controller.error(error));
  exchange.tellIndex(snapshot.revision);
  const body = readable.pipeThrough(new CompressionStream("gzip"));
  return new Response(body, { headers: { "content-type": "application/x-gzip" } });
}

async function measure(snapshot: Snapshot): Promise<{ size: number; sum: string }> {
  const digest = sha256();
  let size = 0;
  for await (const part of snapshot.parts()) {
    digest.update(part);
    size += part.length;
  }
  return { size, sum: digest.digestHex() };
}

/** As raft describes a snapshot. */
function metaOf(exchange: Exchange, revision: number, size: number): Record<string, unknown> {
  const server = {
    Suffrage: 0,
    ID: nodeIdOf(exchange, exchange.defaultNode),
    Address: serverAddress(exchange),
  };
  return {
    Version: 1,
    ID: `1-${revision}-${Date.now()}`,
    Index: revision,
    Term: 1,
    Peers: null,
    Configuration: { Servers: [server] },
    ConfigurationIndex: 1,
    Size: size,
  };
}

async function restoreArchive(exchange: Exchange): Promise<Response> {
  requireManagement(exchange);
  const { body } = exchange.request;
  if (body === null) throw refused("failed to decompress snapshot: EOF");
  try {
    await restore(exchange, body);
  } catch (error) {
    if (error instanceof ConsulError) throw error;
    if (error instanceof HoldfastError && error.code !== "invalid_argument") throw error;
    // Whatever the archive's layers object to is the archive's fault.
    throw refused(`failed to read snapshot file: ${error instanceof Error ? error.message : String(error)}`);
  }
  return emptyResponse();
}

async function restore(exchange: Exchange, body: ReadableStream<Uint8Array>): Promise<void> {
  const entries = body
    .pipeThrough(new DecompressionStream("gzip") as ReadableWritablePair<Uint8Array, Uint8Array>)
    .pipeThrough(createTarDecoder({ strict: true }));
  const sums = new Map<string, string>();
  let told: Map<string, string> | undefined;
  const files = entries[Symbol.asyncIterator]() as AsyncIterator<{ header: { name: string }; body: Bytes }>;

  /** The files up to the state, which is handed on as it comes. */
  const next = async (): Promise<Bytes | undefined> => {
    for (let step = await files.next(); !step.done; step = await files.next()) {
      const { header, body: content } = step.value;
      if (header.name === STATE) return content;
      if (header.name !== META && header.name !== SUMS) throw refused(`unexpected file "${header.name}" in snapshot`);
      const bytes = await whole(content);
      if (header.name === SUMS) told = parseSums(bytes);
      else sums.set(META, digestOf(bytes));
    }
    return undefined;
  };

  const state = await next();
  if (!state) throw refused(`failed checking integrity of snapshot: file missing: ${STATE}`);
  const chunks = async function* (): AsyncGenerator<Uint8Array> {
    const digest = sha256();
    for await (const chunk of state) {
      digest.update(chunk);
      yield chunk;
    }
    sums.set(STATE, digest.digestHex());
    await next();
  };
  const verify = (): void => {
    for (const name of [META, STATE]) {
      if (told?.get(name) === undefined) throw refused(`failed checking integrity of snapshot: file missing: ${name}`);
      if (told.get(name) !== sums.get(name)) {
        throw refused(`failed checking integrity of snapshot: hash check failed for "${name}"`);
      }
    }
  };
  await restoreSnapshot(exchange.client, chunks(), { force: true, caller: exchange.caller, verify });
}

type Bytes = AsyncIterable<Uint8Array>;

async function whole(content: Bytes): Promise<Uint8Array> {
  const chunks: Uint8Array[] = [];
  let size = 0;
  for await (const chunk of content) {
    size += chunk.length;
    if (size > FILE_BYTES_MAX) throw refused("failed to read snapshot hashes: too large");
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

function digestOf(bytes: Uint8Array): string {
  const digest = sha256();
  digest.update(bytes);
  return digest.digestHex();
}

/** Lines of `<hex>  <file>`. */
function parseSums(bytes: Uint8Array): Map<string, string> {
  const lines = new TextDecoder().decode(bytes).split("\n");
  return new Map(lines.flatMap((line) => (line === "" ? [] : [[line.slice(66), line.slice(0, 64)] as const])));
}
