/** `KV` operations of a transaction. Source: Consul 1.21, `state.txnKVS`, `kvsPreApply`. */
import { fromBase64, utf8 } from "../../../../objects/bytes.ts";
import type { ErrorValue } from "../../../../objects/errors.ts";
import type { KeyReason } from "../../../../objects/kv/operations.ts";
import type { Operation, OperationResult } from "../../../../objects/transactions/transactions.ts";
import { RAFT_ENTRY_BYTES_MAX } from "../bounded-body.ts";
import type { Decoded, Decoder } from "../decode.ts";
import { object, text, uint64 } from "../decode.ts";
import type { KeyPair } from "../encode-key.ts";
import { keyPair } from "../encode-key.ts";
import { badRequest, ConsulError } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { quote } from "../../../request/go-strconv.ts";
import type { Plan, Refusal, Shown } from "./plan.ts";

const NOTHING = new Uint8Array();

const base64: Decoder<Uint8Array> = {
  decode(value) {
    if (value === null || value === undefined) return NOTHING;
    if (typeof value === "string") {
      try {
        return fromBase64(value);
      } catch {
        // Told below.
      }
    }
    throw badRequest("Request decode failed: illegal base64 data in Value");
  },
  zero: () => NOTHING,
};

export const keyOperation = object({
  Verb: text,
  Key: text,
  Value: base64,
  Flags: uint64,
  Index: uint64,
  Session: text,
});

type KeyOperation = Decoded<typeof keyOperation>;

type Verb = {
  operation(of: { key: Uint8Array; given: KeyOperation; revision: number }): Operation;
  access: "write" | "writeBelow" | "read" | "seen";
  isWrite: boolean;
  /** Values are told by those that ask for them only. */
  withValue?: boolean;
};

const VERBS: Record<string, Verb> = {
  set: {
    operation: ({ key, given: { Value: value, Flags } }) => ({ type: "key.set", key, value, flags: String(Flags) }),
    access: "write",
    isWrite: true,
  },
  cas: {
    operation: ({ key, given: { Value: value, Flags }, revision: cas }) => ({
      type: "key.set",
      key,
      value,
      flags: String(Flags),
      cas,
    }),
    access: "write",
    isWrite: true,
  },
  lock: {
    operation: ({ key, given }) => ({ type: "key.acquire", key, ...lockOf(given) }),
    access: "write",
    isWrite: true,
  },
  unlock: {
    operation: ({ key, given }) => ({ type: "key.release", key, ...lockOf(given) }),
    access: "write",
    isWrite: true,
  },
  delete: { operation: ({ key }) => ({ type: "key.delete", key }), access: "write", isWrite: true },
  "delete-cas": {
    operation: ({ key, revision: cas }) => ({ type: "key.delete", key, cas }),
    access: "write",
    isWrite: true,
  },
  "delete-tree": {
    operation: ({ key: prefix }) => ({ type: "key.deleteTree", prefix }),
    access: "writeBelow",
    isWrite: true,
  },
  get: {
    operation: ({ key }) => ({ type: "key.get", key, required: true }),
    access: "seen",
    isWrite: false,
    withValue: true,
  },
  "get-or-empty": {
    operation: ({ key }) => ({ type: "key.get", key, required: false }),
    access: "seen",
    isWrite: false,
    withValue: true,
  },
  "get-tree": {
    operation: ({ key: prefix }) => ({ type: "key.getTree", prefix }),
    access: "seen",
    isWrite: false,
    withValue: true,
  },
  "check-index": {
    operation: ({ key, revision }) => ({ type: "key.checkRevision", key, revision }),
    access: "read",
    isWrite: false,
  },
  "check-session": {
    operation: ({ key, given: { Session: session } }) => ({ type: "key.checkSession", key, session }),
    access: "read",
    isWrite: false,
  },
  "check-not-exists": {
    operation: ({ key }) => ({ type: "key.checkAbsent", key }),
    access: "write",
    isWrite: false,
  },
};

const lockOf = ({ Value: value, Flags, Session: session }: KeyOperation) => ({ value, flags: String(Flags), session });

export function planKey(exchange: Exchange, given: KeyOperation): Plan | Refusal {
  const { Verb: name, Key: keyName, Value: value, Index, Session } = given;
  if (value.length > RAFT_ENTRY_BYTES_MAX) {
    const size = `${value.length} > ${RAFT_ENTRY_BYTES_MAX} bytes`;
    throw new ConsulError(413, `Value for key ${quote(keyName)} is too large (${size})`);
  }
  const verb = Object.hasOwn(VERBS, name) ? VERBS[name] : undefined;
  if (!verb) return { refused: `unknown KV operation: ${name}` };
  if (keyName === "" && verb.access !== "writeBelow") return { refused: "Must provide key" };
  const denied = denialOf(exchange, verb, keyName);
  if (denied !== null) return { refused: denied };
  if ((name === "lock" || name === "unlock") && Session === "") return { refused: "missing session" };
  // An index too large for one is nobody's.
  const revision = Number(Index <= BigInt(Number.MAX_SAFE_INTEGER) ? Index : Number.MAX_SAFE_INTEGER);
  return {
    operations: [verb.operation({ key: utf8(keyName), given, revision })],
    isWrite: verb.isWrite,
    results: (results, to) => results.flatMap((result) => shown(to, given, verb, result)),
    words: (error) => words(given, error),
  };
}

/** What is only read is left out of the answer where it may not be. */
function denialOf(exchange: Exchange, { access }: Verb, key: string): string | null {
  const { authorizer } = exchange;
  if (access === "seen") return null;
  if (access === "writeBelow") {
    return authorizer.allowsBelow("key", "write", key) ? null : authorizer.denial("key", "write", key);
  }
  return authorizer.allows("key", access, key) ? null : authorizer.denial("key", access, key);
}

function shown(exchange: Exchange, given: KeyOperation, verb: Verb, { keys = [] }: OperationResult): Shown[] {
  const pairs = keys.map(keyPair);
  if (given.Verb === "get-or-empty" && pairs.length === 0) pairs.push(emptyPair(given.Key));
  return pairs.map((pair) => ({
    entry: { KV: verb.withValue ? pair : { ...pair, Value: null } },
    isVisible: exchange.allows("key", "read", pair.Key),
  }));
}

const emptyPair = (key: string): KeyPair => ({
  LockIndex: 0,
  Key: key,
  Flags: 0n,
  Value: null,
  CreateIndex: 0,
  ModifyIndex: 0,
});

function words({ Verb: verb, Key, Index, Session }: KeyOperation, { message, details = {} }: ErrorValue): string {
  const key = quote(Key);
  const { reason, revision, session } = details;
  if (reason === undefined) return session === undefined ? message : `invalid session ${quote(Session)}`;
  const check = { "check-index": "failed to check index, ", "check-session": "failed to check session, " }[verb] ?? "";
  const texts: Record<KeyReason, string> = {
    stale: `failed to ${verb === "delete-cas" ? "delete" : "set"} key ${key}, index is stale`,
    held: `failed to lock key ${key}, lock is already held`,
    delayed: `failed to lock key ${key} due to lock delay`,
    notHeld: `failed to unlock key ${key}, lock isn't held, or is held by another session`,
    present: `key ${key} exists`,
    absent: `${check}key ${key} doesn't exist`,
    revision: `failed index check for key ${key}, current modify index ${String(revision)} != ${Index}`,
    session: `failed session check for key ${key}, current session ${quote(String(session ?? ""))} != ${quote(Session)}`,
  };
  return texts[reason as KeyReason];
}
