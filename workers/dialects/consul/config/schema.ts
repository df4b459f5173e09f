/**
 * Entries as Consul decodes and writes them: names in any case and in snake_case, loose types ("80" for 80, one value for a
 * list of it), names nobody knows collected rather than skipped, and of what is written back only what is not empty.
 *
 * A schema is a value; the decoded type follows from it. Decoding never throws: what is wrong is collected in `Issues`.
 * Source: mapstructure 1.5 with WeaklyTypedInput and Consul's hooks, encoding/json's omitempty.
 */
import { utf8 } from "../../../../objects/bytes.ts";
import { formatDuration, parseDuration, toNanoseconds } from "../durations.ts";

export interface Issues {
  /** Paths of names that mean nothing. */
  unused: string[];
  errors: string[];
}

export interface Schema<T> {
  decode(value: unknown, at: string, issues: Issues): T;
  zero(): T;
  encode(value: T): unknown;
  isEmpty(value: T): boolean;
}

/** Left out of what is written when it is empty. */
export interface OmittedSchema<T> extends Schema<T> {
  omitEmpty: true;
}

export type Typed<S> = S extends Schema<infer T> ? T : never;

export const opt = <T>(schema: Schema<T>): OmittedSchema<T> => ({ ...schema, omitEmpty: true });

/** One value in a list stands for itself. Numbers are doubles here, however long they are written. */
function unwrapped(value: unknown): unknown {
  const item: unknown = Array.isArray(value) && value.length === 1 ? value[0] : value;
  return typeof item === "bigint" ? Number(item) : item;
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** Named as Go names what its JSON decoder makes. */
function goType(value: unknown): string {
  if (Array.isArray(value)) return "[]interface {}";
  if (isObject(value)) return "map[string]interface {}";
  return typeof value === "boolean" ? "bool" : typeof value === "string" ? "string" : "float64";
}

const goKind = (value: unknown): string => (Array.isArray(value) ? "slice" : isObject(value) ? "map" : goType(value));

/** As `%v` prints it. */
function printed(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(printed).join(" ")}]`;
  if (isObject(value)) {
    const pairs = Object.keys(value)
      .toSorted()
      .map((name) => `${name}:${printed(value[name])}`);
    return `map[${pairs.join(" ")}]`;
  }
  return value === null ? "<nil>" : String(value);
}

const unconvertible = (at: string, type: string, value: unknown): string =>
  `'${at}' expected type '${type}', got unconvertible type '${goType(value)}', value: '${printed(value)}'`;

/** What a scalar takes; a text is what is wrong. */
type Accepted<T> = { value: T } | { error: string };

function scalar<T extends string | number | boolean>(
  zero: T,
  accept: (value: string | number | boolean, at: string) => Accepted<T>,
  type: string,
): Schema<T> {
  return {
    decode(given, at, issues) {
      const value = unwrapped(given);
      if (value === null || value === undefined) return zero;
      const accepted =
        typeof value === "object" ? { error: unconvertible(at, type, value) } : accept(value as string, at);
      if ("value" in accepted) return accepted.value;
      issues.errors.push(accepted.error);
      return zero;
    },
    zero: () => zero,
    encode: (value) => value,
    isEmpty: (value) => value === zero,
  };
}

export const text = scalar<string>(
  "",
  (value) => ({ value: typeof value === "boolean" ? (value ? "1" : "0") : String(value) }),
  "string",
);

const TRUE = new Set(["1", "t", "T", "TRUE", "true", "True"]);
const FALSE = new Set(["0", "f", "F", "FALSE", "false", "False", ""]);

export const bool = scalar<boolean>(
  false,
  (value, at) => {
    if (typeof value === "boolean") return { value };
    if (typeof value === "number") return { value: value !== 0 };
    if (TRUE.has(value)) return { value: true };
    if (FALSE.has(value)) return { value: false };
    return {
      error: `cannot parse '${at}' as bool: strconv.ParseBool: parsing ${JSON.stringify(value)}: invalid syntax`,
    };
  },
  "bool",
);

function wholeNumber(type: "int" | "uint", min: number, max: number): Schema<number> {
  const parser = type === "int" ? "ParseInt" : "ParseUint";
  return scalar<number>(
    0,
    (value, at) => {
      const told = `cannot parse '${at}' as ${type}: strconv.${parser}: parsing ${JSON.stringify(value)}:`;
      if (typeof value === "boolean") return { value: value ? 1 : 0 };
      if (typeof value === "string") {
        if (value === "") return { value: 0 };
        if (!/^[+-]?\d{1,20}$/.test(value)) return { error: `${told} invalid syntax` };
        const parsed = Number(value);
        return parsed >= min && parsed <= max ? { value: parsed } : { error: `${told} value out of range` };
      }
      const whole = Math.trunc(value);
      if (whole < 0 && min === 0) return { error: `cannot parse '${at}', ${printed(value)} overflows uint` };
      return whole >= min && whole <= max ? { value: whole } : { error: `${told} value out of range` };
    },
    type,
  );
}

export const int = wholeNumber("int", Number.MIN_SAFE_INTEGER, Number.MAX_SAFE_INTEGER);
export const uint32 = wholeNumber("uint", 0, 2 ** 32 - 1);
export const uint64 = wholeNumber("uint", 0, Number.MAX_SAFE_INTEGER);

/** Kept with single precision, as Go's float32 is. */
export const float32 = scalar<number>(
  0,
  (value, at) => {
    if (typeof value === "boolean") return { value: value ? 1 : 0 };
    const parsed = value === "" ? 0 : Number(value);
    if (Number.isFinite(parsed)) return { value: shortest(Math.fround(parsed)) };
    return {
      error: `cannot parse '${at}' as float: strconv.ParseFloat: parsing ${JSON.stringify(value)}: invalid syntax`,
    };
  },
  "float32",
);

/** The shortest decimal that is this single-precision number. */
function shortest(value: number): number {
  for (let digits = 1; digits < 9; digits++) {
    const candidate = Number(value.toPrecision(digits));
    if (Math.fround(candidate) === value) return candidate;
  }
  return value;
}

/** Of 63 bits of nanoseconds. */
const DURATION_MAX_MS = Number(2n ** 63n) / 1e6;

const milliseconds = scalar<number>(
  0,
  (value, at) => {
    if (typeof value !== "string") {
      const ms = Number(value) / 1e6;
      return Math.abs(ms) <= DURATION_MAX_MS
        ? { value: ms }
        : { error: `cannot parse '${at}' as int: value out of range` };
    }
    const ms = parseDuration(value);
    return ms === null
      ? { error: `error decoding '${at}': time: invalid duration ${JSON.stringify(value)}` }
      : { value: ms };
  },
  "time.Duration",
);

/** Milliseconds here; written as a text. */
export const durationText: Schema<number> = { ...milliseconds, encode: formatDuration };
/** Milliseconds here; written as nanoseconds. */
export const duration: Schema<number> = { ...milliseconds, encode: toNanoseconds };

/** A text here; written in base64, as Go writes bytes. */
export const bytes: Schema<string> = {
  ...text,
  encode: (value) => btoa(String.fromCharCode(...utf8(value))),
};

/** Absent stays apart from empty. */
export function list<T>(inner: Schema<T>): Schema<T[] | null> {
  return {
    decode(value, at, issues) {
      if (value === null || value === undefined) return null;
      const isNothing = isObject(value) && Object.keys(value).length === 0;
      const items = Array.isArray(value) ? value : isNothing || value === "" ? [] : [value];
      return items.map((item, index) => inner.decode(item, `${at}[${index}]`, issues));
    },
    zero: () => null,
    encode: (value) => value && value.map((item) => inner.encode(item)),
    isEmpty: (value) => value === null || value.length === 0,
  };
}

/** Names are sorted, as Go writes them. */
export function map<T>(inner: Schema<T>): Schema<Record<string, T> | null> {
  return {
    decode(given, at, issues) {
      const value = unwrapped(given);
      if (value === null || value === undefined) return null;
      if (!isObject(value)) {
        if (Array.isArray(value) && value.length === 0) return {};
        issues.errors.push(`'${at}' expected a map, got '${goKind(value)}'`);
        return null;
      }
      const names = Object.keys(value).toSorted();
      return Object.fromEntries(names.map((name) => [name, inner.decode(value[name], `${at}[${name}]`, issues)]));
    },
    zero: () => null,
    encode: (value) =>
      value && Object.fromEntries(Object.entries(value).map(([name, item]) => [name, inner.encode(item)])),
    isEmpty: (value) => value === null || Object.keys(value).length === 0,
  };
}

/** Whatever it is. */
const anything: Schema<unknown> = {
  decode: (value) => sorted(unwrapped(value) ?? null),
  zero: () => null,
  encode: (value) => value,
  isEmpty: (value) => value === null,
};
export const anyMap = map(anything);

function sorted(value: unknown): unknown {
  if (typeof value === "bigint") return Number(value);
  if (Array.isArray(value)) return value.map(sorted);
  if (!isObject(value)) return value;
  return Object.fromEntries(
    Object.keys(value)
      .toSorted()
      .map((name) => [name, sorted(value[name])]),
  );
}

export function pointer<T>(inner: Schema<T>): Schema<T | null> {
  return {
    decode(given, at, issues) {
      const value = unwrapped(given);
      return value === null || value === undefined ? null : inner.decode(value, at, issues);
    },
    zero: () => null,
    encode: (value) => (value === null ? null : inner.encode(value)),
    isEmpty: (value) => value === null,
  };
}

// The fields' own types are kept by inference; here they are only carried.
// oxlint-disable-next-line typescript/no-explicit-any
export type Fields = Record<string, Schema<any> | OmittedSchema<any>>;
export type TypedFields<F extends Fields> = { [name in keyof F]: Typed<F[name]> };

export interface StructOptions<F extends Fields> {
  /** Fields that have no spelling in snake_case; true = none has. */
  bare?: true | readonly (keyof F)[];
  /** Other spelling, in lower case → field. */
  aliases?: Record<string, keyof F>;
  /** Names, in lower case, that are known and mean nothing. */
  ignored?: readonly string[];
}

/** Fields are written in this order. */
export function struct<F extends Fields>(fields: F, options: StructOptions<F> = {}): Schema<TypedFields<F>> {
  const { bare = [], aliases = {}, ignored = [] } = options;
  const byName = new Map<string, string>();
  for (const name of Object.keys(fields)) {
    byName.set(name.toLowerCase(), name);
    if (bare !== true && !bare.includes(name)) byName.set(snakeCase(name), name);
  }
  for (const [alias, name] of Object.entries(aliases)) byName.set(alias, name as string);
  const zero = (): TypedFields<F> =>
    Object.fromEntries(Object.entries(fields).map(([name, field]) => [name, field.zero()])) as TypedFields<F>;
  return {
    decode(given, at, issues) {
      const value = unwrapped(given);
      const decoded: Record<string, unknown> = zero();
      if (value === null || value === undefined) return decoded as TypedFields<F>;
      if (!isObject(value)) {
        issues.errors.push(`'${at}' expected a map, got '${goKind(value)}'`);
        return decoded as TypedFields<F>;
      }
      const seen = new Set<string>();
      for (const [key, item] of Object.entries(value)) {
        const lower = key.toLowerCase();
        const name = byName.get(lower);
        if (name !== undefined && !seen.has(name)) {
          seen.add(name);
          decoded[name] = fields[name]!.decode(item, at === "" ? name : `${at}.${name}`, issues);
        } else if (!ignored.includes(lower)) {
          issues.unused.push(at === "" ? key : `${at}.${key}`);
        }
      }
      return decoded as TypedFields<F>;
    },
    zero,
    encode: (value) => encodeFields(fields, value),
    isEmpty: () => false,
  };
}

function encodeFields<F extends Fields>(fields: F, value: TypedFields<F>): Record<string, unknown> {
  const written: Record<string, unknown> = {};
  for (const [name, field] of Object.entries(fields)) {
    const item = value[name as keyof F];
    if ("omitEmpty" in field && field.isEmpty(item)) continue;
    written[name] = field.encode(item);
  }
  return written;
}

/** `MutualTLSMode` → `mutual_tls_mode`. */
const snakeCase = (name: string): string =>
  name
    .replace(/([a-z0-9])([A-Z])/g, "$1_$2")
    .replace(/([A-Z])([A-Z][a-z])/g, "$1_$2")
    .toLowerCase();
