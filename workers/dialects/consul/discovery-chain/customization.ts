/**
 * The short hash that tells a chain compiled to somebody's wishes from the same chain without them. Load balancers put it
 * into names, so it is the same as Consul's to the bit.
 * Source: mitchellh/hashstructure (2017) over FNV-1, by its results.
 */
import { utf8 } from "../../../../objects/bytes.ts";
import { toNanoseconds } from "../durations.ts";

export interface Customization {
  meshGateway: string;
  protocol: string;
  connectTimeoutMs: number;
}

const PRIME = 1_099_511_628_211n;
const OFFSET = 14_695_981_039_346_656_037n;

const fnv = (bytes: Uint8Array): bigint =>
  bytes.reduce((hash, byte) => BigInt.asUintN(64, hash * PRIME) ^ BigInt(byte), OFFSET);

const ofText = (text: string): bigint => fnv(utf8(text));

function ofNumbers(...numbers: bigint[]): bigint {
  const view = new DataView(new ArrayBuffer(8 * numbers.length));
  for (const [index, number] of numbers.entries()) view.setBigUint64(8 * index, number, true);
  return fnv(new Uint8Array(view.buffer));
}

const ofStruct = (name: string, fields: Record<string, bigint>): bigint =>
  Object.entries(fields).reduce((hash, [field, value]) => hash ^ ofNumbers(ofText(field), value), ofText(name));

export function customizationHash({ meshGateway, protocol, connectTimeoutMs }: Customization): string {
  return ofStruct("", {
    OverrideMeshGateway: ofStruct("MeshGatewayConfig", { Mode: ofText(meshGateway) }),
    OverrideProtocol: ofText(protocol),
    OverrideConnectTimeout: ofNumbers(BigInt(toNanoseconds(connectTimeoutMs))),
  })
    .toString(16)
    .slice(0, 8);
}
