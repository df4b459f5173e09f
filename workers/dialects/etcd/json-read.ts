/**
 * JSON as messages: keys as in the `.proto` or in lowerCamelCase, unknown ones passed over, `null` for the default. What
 * does not fit is told in the words of Go's decoder.
 *
 * A reader is made once for each message type. Source: the JSON mapping of proto3 and golang/protobuf's jsonpb, by its
 * behaviour; base64 may also be that of URLs, and unpadded, as in releases from 3.6.
 */
import { Buffer } from "node:buffer";
import type { DescEnum, DescField, DescMessage, Message } from "@bufbuild/protobuf";
import { create, ScalarType } from "@bufbuild/protobuf";
import { tooManyOperations } from "./errors.ts";
import { badJson, parseDocument, WrittenNumber } from "./json-text.ts";

type Fields = Record<string, unknown>;
type ValueReader = (value: unknown, depth: number) => unknown;

/** Nothing but transactions contain themselves; one that is nested deeper has too many operations. */
const DEPTH_MAX = 300;

/** A body, or one document of a stream; an empty one has nothing but defaults. Codes: 3. */
export function readJson(desc: DescMessage, text: string): Message {
  const document = parseDocument(text);
  return readValue(desc, document?.value ?? null);
}

/** From a parsed document. Codes: 3. */
export function readValue(desc: DescMessage, value: unknown): Message {
  return value === null ? create(desc) : (readerOf(desc)(value, 0) as Message);
}

const readers = new Map<DescMessage, ValueReader>();

function readerOf(desc: DescMessage): ValueReader {
  let reader = readers.get(desc);
  if (!reader) {
    let fields: FieldReader[] | undefined;
    reader = (value, depth) => {
      if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof WrittenNumber) {
        throw mismatch(value, "map[string]json.RawMessage");
      }
      if (depth > DEPTH_MAX) throw tooManyOperations();
      fields ??= desc.fields.map(fieldReader);
      const message = create(desc);
      for (const read of fields) read(message as unknown as Fields, value as Fields, depth);
      return message;
    };
    readers.set(desc, reader);
  }
  return reader;
}

type FieldReader = (message: Fields, given: Fields, depth: number) => void;

function fieldReader(field: DescField): FieldReader {
  const { name, jsonName, localName, oneof } = field;
  const read = valueReader(field);
  return (message, given, depth) => {
    // The camel form is looked for first.
    const value = given[jsonName] ?? given[name];
    if (value === undefined || value === null) return;
    if (!oneof) message[localName] = read(value, depth + 1);
    else {
      // Of several the first counts, in the order of the declaration.
      const chosen = message[oneof.localName] as { case: string | undefined };
      if (chosen.case === undefined) message[oneof.localName] = { case: localName, value: read(value, depth + 1) };
    }
  };
}

function valueReader(field: DescField): ValueReader {
  switch (field.fieldKind) {
    case "message":
      return readerOf(field.message);
    case "enum":
      return enumReader(field.enum);
    case "scalar":
      return scalarReader(field.scalar);
    case "list": {
      const read = itemReader(field);
      return (value, depth) => {
        if (!Array.isArray(value)) throw mismatch(value, "[]json.RawMessage");
        return value.map((item) => read(item, depth));
      };
    }
    case "map":
      throw new Error(`${field.name}: etcd has no maps`);
  }
}

function itemReader(field: DescField & { fieldKind: "list" }): ValueReader {
  switch (field.listKind) {
    case "message": {
      const read = readerOf(field.message);
      return (item, depth) => (item === null ? create(field.message) : read(item, depth));
    }
    case "enum":
      return enumReader(field.enum);
    case "scalar":
      return scalarReader(field.scalar);
  }
}

function enumReader(desc: DescEnum): ValueReader {
  const byName = new Map(desc.values.map(({ name, number }) => [name, number]));
  const name = desc.typeName.replace(/\.(?=[^.]*$)/, "_").replace(/^([a-z0-9]+)_(?=[^.]*$)/, "$1.");
  return (value) => {
    if (typeof value === "string") {
      const number = byName.get(value);
      if (number === undefined) throw badJson(`unknown value ${JSON.stringify(value)} for enum ${name}`);
      return number;
    }
    if (typeof value !== "number" || value !== (value | 0)) throw mismatch(value, name);
    return value;
  };
}

function scalarReader(scalar: ScalarType): ValueReader {
  switch (scalar) {
    case ScalarType.BYTES:
      return bytesOf;
    case ScalarType.STRING:
      return (value) => {
        if (typeof value !== "string") throw mismatch(value, "string");
        return value;
      };
    case ScalarType.BOOL:
      return (value) => {
        if (typeof value !== "boolean") throw mismatch(value, "bool");
        return value;
      };
    case ScalarType.INT64:
      return (value) => wholeOf(value, "int64", -(1n << 63n), (1n << 63n) - 1n);
    case ScalarType.UINT64:
      return (value) => wholeOf(value, "uint64", 0n, (1n << 64n) - 1n);
    case ScalarType.UINT32:
      return (value) => Number(wholeOf(value, "uint32", 0n, (1n << 32n) - 1n));
    default:
      throw new Error(`etcd has no scalar of type ${scalar}`);
  }
}

const WHOLE = /^[ \t\r\n]*(-?(?:0|[1-9]\d*))[ \t\r\n]*$/;

/** A number, or one in a string. */
function wholeOf(value: unknown, type: string, min: bigint, max: bigint): bigint {
  if (typeof value === "string") {
    const whole = WHOLE.exec(value);
    if (!whole) return wholeOf(quotedValue(value), type, min, max);
    return inBounds(BigInt(whole[1]!), whole[1]!, type, min, max);
  }
  if (typeof value === "number") return inBounds(BigInt(value), String(value), type, min, max);
  if (value instanceof WrittenNumber && WHOLE.test(value.text)) {
    return inBounds(BigInt(value.text), value.text, type, min, max);
  }
  throw mismatch(value, type);
}

/** What is in quotes is read as JSON. */
function quotedValue(text: string): unknown {
  const document = parseDocument(text);
  if (!document) throw badJson("unexpected end of JSON input");
  if (typeof document.value === "string") throw mismatch(document.value, "int64");
  return document.value;
}

function inBounds(whole: bigint, written: string, type: string, min: bigint, max: bigint): bigint {
  if (whole < min || whole > max)
    throw badJson(`json: cannot unmarshal number ${written} into Go value of type ${type}`);
  return whole;
}

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/;

function bytesOf(value: unknown): Uint8Array {
  if (Array.isArray(value)) return Uint8Array.from(value, (item) => Number(wholeOf(item, "uint8", 0n, 255n)));
  if (typeof value !== "string") throw mismatch(value, "[]uint8");
  const text = BASE64.test(value) ? value : value.replace(/[\r\n]/g, "");
  const padding = text.endsWith("==") ? 2 : text.endsWith("=") ? 1 : 0;
  const rest = (text.length - padding) % 4;
  if (!BASE64.test(text) || rest === 1 || (padding > 0 && rest !== 4 - padding)) {
    throw badJson(`illegal base64 data at input byte ${faultIn(text)}`);
  }
  const bytes = Buffer.from(text, "base64");
  // Not a view of a pool, which would travel whole.
  return bytes.buffer.byteLength === bytes.byteLength ? new Uint8Array(bytes.buffer) : new Uint8Array(bytes);
}

function faultIn(text: string): number {
  const at = text.search(/[^A-Za-z0-9+/_-]/);
  return at === -1 ? text.length - (text.length % 4) : at;
}

const mismatch = (value: unknown, type: string): Error =>
  badJson(`json: cannot unmarshal ${kindOf(value, type)} into Go value of type ${type}`);

function kindOf(value: unknown, type: string): string {
  if (Array.isArray(value)) return "array";
  if (value instanceof WrittenNumber) return NUMERIC.test(type) ? `number ${value.text}` : "number";
  if (typeof value === "boolean") return "bool";
  return typeof value;
}

/** Types that take numbers tell which one they do not take. */
const NUMERIC = /^u?int|_/;
