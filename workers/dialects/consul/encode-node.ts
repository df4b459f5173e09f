/** A node as Consul shows it. Source: Consul 1.21, `structs.Node`. */
import type { Locality, RegisteredNode } from "../../../objects/model.ts";
import type { Place } from "./catalog/agent-node.ts";

export interface NodeEntry {
  ID: string;
  Node: string;
  Address: string;
  Datacenter: string;
  TaggedAddresses: Record<string, string>;
  Meta: Record<string, string>;
  Locality?: LocalityEntry;
  CreateIndex: number;
  ModifyIndex: number;
}

export function nodeEntry(node: RegisteredNode, { datacenter }: Pick<Place, "datacenter">): NodeEntry {
  return {
    ID: node.id,
    Node: node.name,
    Address: node.address,
    Datacenter: datacenter,
    TaggedAddresses: node.addresses,
    Meta: node.meta,
    ...locality(node),
    CreateIndex: node.createRevision,
    ModifyIndex: node.modRevision,
  };
}

export interface LocalityEntry {
  Region?: string;
  Zone?: string;
}

export function localityEntry({ region, zone }: Locality): LocalityEntry | null {
  if (region === "" && zone === "") return null;
  return { ...(region !== "" && { Region: region }), ...(zone !== "" && { Zone: zone }) };
}

/** To be spread: absent when nothing is told. */
export function locality(of: { locality: Locality }): { Locality?: LocalityEntry } {
  const entry = localityEntry(of.locality);
  return entry ? { Locality: entry } : {};
}
