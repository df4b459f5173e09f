/**
 * What a call carries besides its messages: names in lower case, a name may come several times. Values under a name that
 * ends in `-bin` are bytes, all others are printable ASCII.
 * Source: github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md, "Custom-Metadata".
 */
export type Metadata = readonly (readonly [name: string, value: string | Uint8Array])[];

export const isBinaryName = (name: string): boolean => name.endsWith("-bin");

/** The first text under a name. */
export function textOf(metadata: Metadata, name: string): string | null {
  const found = metadata.find(([given]) => given === name)?.[1];
  return typeof found === "string" ? found : null;
}
