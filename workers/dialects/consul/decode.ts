/**
 * JSON bodies as Go decodes them: names match in any case, unknown names are refused, absent fields have their zero value.
 *
 * A schema is a value built from `text`, `list(text)`, `object({...})`, …; the decoded type follows from it. Numbers beyond
 * 2^53 arrive as bigint and are kept to the bit by `uint64`.
 * Source: encoding/json, and Consul's `decodeBody` (DisallowUnknownFields).
 */
import { parseJson as parseWithinLimits } from "../../request/body.ts";
import { utf8 } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { parseDuration } from "./durations.ts";
import { badRequest } from "./errors.ts";
import { firstValue } from "../../request/go-json.ts";

export interface Decoder<T> {
  decode(value: unknown, path: string): T;
  /** What an absent or null field is. */
  zero(): T;
}

export type Decoded<D> = D extends Decoder<infer T> ? T : never;

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/** Codes of ConsulError: 400 `Request decode failed: …`. */
export function decodeBody<T>(bytes: Uint8Array, schema: Decoder<T>): T {
  return schema.decode(parseBody(bytes), "");
}

/** The JSON value of a body; whole numbers beyond 2^53 are bigints. */
export function parseBody(bytes: Uint8Array): unknown {
  if (bytes.length === 0) throw failed("EOF");
  let source: string;
  try {
    source = decoder.decode(bytes);
  } catch {
    throw failed("invalid UTF-8");
  }
  try {
    return parseText(source);
  } catch (error) {
    if (!(error instanceof HoldfastError)) throw error;
    const first = firstValue(source);
    if ("fault" in first) throw failed(first.fault);
    if (/^[ \t\r\n]*$/.test(source.slice(first.end))) throw failed(error.message.replace(/^body: /, ""));
    // Go reads one value, whatever comes after it.
    return parseBody(utf8(source.slice(0, first.end)));
  }
}

/** Within limits of depth and number first; then again for what doubles cannot hold. */
function parseText(source: string): unknown {
  const value = parseWithinLimits(source);
  return LONG_NUMBER.test(source) ? JSON.parse(source, keepLarge) : value;
}

const LONG_NUMBER = /\d{16}/;

function keepLarge(_name: string, value: unknown, context?: { source?: string }): unknown {
  const isLarge = typeof value === "number" && !Number.isSafeInteger(value) && /^\d+$/.test(context?.source ?? "");
  return isLarge ? BigInt(context!.source!) : value;
}

const failed = (why: string): Error => badRequest(`Request decode failed: ${why}`);

/** Named as Go names JSON's kinds. */
function kindOf(value: unknown): string {
  if (Array.isArray(value)) return "array";
  if (typeof value === "boolean") return "bool";
  return typeof value === "bigint" ? "number" : typeof value;
}

function mismatch(value: unknown, path: string, type: string): Error {
  const field = path === "" ? "value" : `struct field ${path}`;
  return failed(`json: cannot unmarshal ${kindOf(value)} into Go ${field} of type ${type}`);
}

function scalar<T>(type: string, zero: T, accept: (value: unknown) => T | undefined): Decoder<T> {
  return {
    decode(value, path) {
      if (value === null || value === undefined) return zero;
      const accepted = accept(value);
      if (accepted === undefined) throw mismatch(value, path, type);
      return accepted;
    },
    zero: () => zero,
  };
}

export const text = scalar<string>("string", "", (value) => (typeof value === "string" ? value : undefined));
export const bool = scalar<boolean>("bool", false, (value) => (typeof value === "boolean" ? value : undefined));
export const int = scalar<number>("int", 0, (value) => (Number.isSafeInteger(value) ? (value as number) : undefined));
export const float = scalar<number>("float64", 0, (value) => (typeof value === "number" ? value : undefined));

/** From 0 to 2^64-1. */
export const uint64 = scalar<bigint>("uint64", 0n, (value) => {
  if (typeof value !== "bigint" && !Number.isSafeInteger(value)) return undefined;
  const whole = BigInt(value as number | bigint);
  return whole >= 0n && whole < 1n << 64n ? whole : undefined;
});

/** `"10s"`, or a whole number of nanoseconds. Decoded to milliseconds. */
export const duration: Decoder<number> = {
  decode(value, path) {
    if (value === null || value === undefined || value === "") return 0;
    if (typeof value === "number" || typeof value === "bigint") return Number(value) / 1e6;
    if (typeof value !== "string") throw mismatch(value, path, "time.Duration");
    const ms = parseDuration(value);
    if (ms === null) throw failed(`time: invalid duration ${JSON.stringify(value)}`);
    return ms;
  },
  zero: () => 0,
};

/** Anything, as it came. */
export const anything: Decoder<unknown> = { decode: (value) => value ?? null, zero: () => null };

/** Absent and null stay apart from the zero value. */
export function optional<T>(inner: Decoder<T>): Decoder<T | undefined> {
  return {
    decode: (value, path) => (value === null || value === undefined ? undefined : inner.decode(value, path)),
    zero: () => undefined,
  };
}

export function list<T>(inner: Decoder<T>): Decoder<T[]> {
  return {
    decode(value, path) {
      if (value === null || value === undefined) return [];
      if (!Array.isArray(value)) throw mismatch(value, path, "[]");
      return value.map((item) => inner.decode(item, path));
    },
    zero: () => [],
  };
}

export function map<T>(inner: Decoder<T>): Decoder<Record<string, T>> {
  return {
    decode(value, path) {
      if (value === null || value === undefined) return {};
      if (!isObject(value)) throw mismatch(value, path, "map[string]");
      // Entries, because a name may be `__proto__`.
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inner.decode(item, path)]));
    },
    zero: () => ({}),
  };
}

export interface ObjectOptions {
  /** Other spelling → field. */
  aliases?: Record<string, string>;
  /** Unknown names pass, as in the few bodies that Consul decodes so. */
  lenient?: boolean;
}

type Fields = Record<string, Decoder<unknown>>;
type DecodedFields<F extends Fields> = { [name in keyof F]: Decoded<F[name]> };

export function object<F extends Fields>(fields: F, options: ObjectOptions = {}): Decoder<DecodedFields<F>> {
  const byName = new Map(Object.keys(fields).map((name) => [name.toLowerCase(), name]));
  for (const [alias, name] of Object.entries(options.aliases ?? {})) byName.set(alias.toLowerCase(), name);
  const zero = (): DecodedFields<F> =>
    Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.zero()])) as DecodedFields<F>;
  return {
    decode(value, path) {
      const decoded = zero();
      if (value === null || value === undefined) return decoded;
      if (!isObject(value)) throw mismatch(value, path, "struct");
      for (const [given, item] of Object.entries(value)) {
        const name = byName.get(given.toLowerCase());
        if (name !== undefined) {
          decoded[name as keyof F] = fields[name]!.decode(item, path === "" ? name : `${path}.${name}`) as never;
        } else if (!options.lenient) {
          throw failed(`json: unknown field ${JSON.stringify(given)}`);
        }
      }
      return decoded;
    },
    zero,
  };
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
