/**
 * Messages as the gateway writes them: keys as in the `.proto`, 64-bit numbers as strings, enums by name, bytes in base64,
 * and nothing that has its default.
 *
 * A writer is made once for each message type; writing is then a walk over its fields, straight from what a service has
 * answered. Source: the JSON mapping of proto3, in the form of grpc-gateway with `OrigName`.
 */
import type { DescEnum, DescField, DescMessage, DescOneof } from "@bufbuild/protobuf";
import { ScalarType } from "@bufbuild/protobuf";
import { toBase64 } from "../../../objects/bytes.ts";
import type { Init } from "./service.ts";

/** JSON of a value; null = it has its default, and is left out. */
type ValueWriter = (value: unknown) => string | null;
type Fields = Readonly<Record<string, unknown>>;
/** `"key":value`, or null. */
type MemberWriter = (message: Fields) => string | null;

const writers = new Map<DescMessage, (message: Fields) => string>();

export function writeJson(desc: DescMessage, message: Init): string {
  return writerOf(desc)(message as unknown as Fields);
}

function writerOf(desc: DescMessage): (message: Fields) => string {
  let writer = writers.get(desc);
  if (!writer) {
    // Made when it is first used: messages contain themselves.
    let members: MemberWriter[] | undefined;
    writer = (message) => {
      members ??= desc.members.flatMap(membersOf);
      let out = "";
      for (const member of members) {
        const text = member(message);
        if (text !== null) out += out === "" ? text : `,${text}`;
      }
      return `{${out}}`;
    };
    writers.set(desc, writer);
  }
  return writer;
}

function membersOf(member: DescField | DescOneof): MemberWriter[] {
  return member.kind === "oneof" ? [oneofWriter(member)] : [fieldWriter(member)];
}

function oneofWriter({ localName, fields }: DescOneof): MemberWriter {
  const byCase = new Map(fields.map((field) => [field.localName, { key: keyOf(field), write: alwaysWriter(field) }]));
  return (message) => {
    const chosen = message[localName] as { case: string | undefined; value?: unknown } | undefined;
    const field = chosen?.case === undefined ? undefined : byCase.get(chosen.case);
    return field ? field.key + field.write(chosen!.value) : null;
  };
}

function fieldWriter(field: DescField): MemberWriter {
  const { localName } = field;
  const key = keyOf(field);
  const write = valueWriter(field);
  return (message) => {
    const value = message[localName];
    const text = value === undefined ? null : write(value);
    return text === null ? null : key + text;
  };
}

const keyOf = ({ name }: DescField): string => `${JSON.stringify(name)}:`;

function valueWriter(field: DescField): ValueWriter {
  switch (field.fieldKind) {
    case "message": {
      const write = writerOf(field.message);
      return (value) => write(value as Fields);
    }
    case "enum": {
      const write = enumWriter(field.enum);
      return (value) => (value === 0 ? null : write(value as number));
    }
    case "scalar": {
      const write = scalarWriter(field.scalar);
      return (value) => (isDefault(value) ? null : write(value));
    }
    case "list": {
      const write = itemWriter(field);
      return (value) => {
        const items = value as readonly unknown[];
        return items.length === 0 ? null : `[${items.map(write).join(",")}]`;
      };
    }
    case "map":
      throw new Error(`${field.name}: etcd has no maps`);
  }
}

/** Of a oneof's field, which is told also when it has its default. */
function alwaysWriter(field: DescField): (value: unknown) => string {
  if (field.fieldKind === "scalar") return scalarWriter(field.scalar);
  if (field.fieldKind === "message") return writerOf(field.message) as (value: unknown) => string;
  throw new Error(`${field.name}: etcd has no such field in a oneof`);
}

function itemWriter(field: DescField & { fieldKind: "list" }): (item: unknown) => string {
  switch (field.listKind) {
    case "message":
      return writerOf(field.message) as (item: unknown) => string;
    case "enum":
      return enumWriter(field.enum) as (item: unknown) => string;
    case "scalar":
      return scalarWriter(field.scalar);
  }
}

const enumWriter =
  ({ value: byNumber }: DescEnum) =>
  (value: number): string => {
    const known = byNumber[value];
    return known ? `"${known.name}"` : String(value);
  };

function scalarWriter(scalar: ScalarType): (value: unknown) => string {
  switch (scalar) {
    case ScalarType.BYTES:
      return (value) => `"${toBase64(value as Uint8Array)}"`;
    case ScalarType.STRING:
      return (value) => JSON.stringify(value);
    case ScalarType.INT64:
    case ScalarType.UINT64:
      return (value) => `"${String(value)}"`;
    default:
      return String;
  }
}

function isDefault(value: unknown): boolean {
  if (value instanceof Uint8Array) return value.length === 0;
  return value === 0n || value === "" || value === false || value === 0;
}
