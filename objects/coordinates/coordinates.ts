/**
 * Where nodes are in the network, as their agents measured it: one record a node and segment, the latest.
 *
 * Refuses to know: how coordinates are found, and what is sorted by them.
 */
import { HoldfastError, invalid } from "../errors.ts";
import type { Locality } from "../model.ts";
import { assertText, NAME_CHARACTERS_MAX } from "../registry/limits.ts";
import { nodeKey, nodeSpace } from "../registry/spaces.ts";
import type { Context, Reader, Txn } from "../store/txn.ts";
import { JsonSpace } from "../store/txn.ts";
import type { Coordinate } from "./vivaldi.ts";
import { DIMENSIONS, distance, hasOnlyNumbers } from "./vivaldi.ts";

export interface NodeCoordinate {
  node: string;
  segment: string;
  coordinate: Coordinate;
}

/** Node key, segment. */
export const coordinateSpace = new JsonSpace<NodeCoordinate>("coordinate");

const UPDATES_MAX = 1000;
const SEGMENT_CHARACTERS_MAX = 64;
const PAGE = 5000;
const OTHERS_MAX = 100_000;

/** Of a node's several, the last counts. Those of nodes that are not registered count for nothing. */
export function updateCoordinates(txn: Txn, _context: Context, updates: NodeCoordinate[]): { applied: number } {
  if (updates.length > UPDATES_MAX) throw invalid("coordinates", `must have at most ${UPDATES_MAX} entries`);
  const latest = new Map(updates.map((update) => [`${nodeKey(String(update.node))}\0${update.segment}`, update]));
  let applied = 0;
  for (const { node, segment, coordinate } of latest.values()) {
    assertText("node", node, NAME_CHARACTERS_MAX);
    assertText("segment", segment, SEGMENT_CHARACTERS_MAX);
    if (coordinate.vec.length !== DIMENSIONS) throw invalid("coordinate.vec", `must have ${DIMENSIONS} numbers`);
    if (!hasOnlyNumbers(coordinate)) throw invalid("coordinate", "must be finite");
    const known = nodeSpace.get(txn, nodeKey(node));
    if (!known) continue;
    const value = { node: known.name, segment, coordinate };
    const before = coordinateSpace.get(txn, nodeKey(node), segment);
    if (JSON.stringify(before) === JSON.stringify(value)) continue;
    coordinateSpace.put(txn, [nodeKey(node), segment], value);
    applied++;
  }
  return { applied };
}

/** With its node. */
export function dropCoordinates(txn: Txn, node: string): void {
  for (const { key } of coordinateSpace.under(txn, [nodeKey(node)])) txn.delete(coordinateSpace.name, key);
}

export interface CoordinatePage {
  coordinates: NodeCoordinate[];
  /** Continue with it; null at the end. */
  after: string | null;
}

export function listCoordinates(reader: Reader, { after = null }: { after?: string | null }): CoordinatePage {
  const records = coordinateSpace.under(reader, [], {
    limit: PAGE + 1,
    ...(after !== null && { after: coordinateSpace.key(...after.split("\0")) }),
  });
  const page = records.slice(0, PAGE);
  return {
    coordinates: page.map((record) => coordinateSpace.decode(record)),
    after: records.length > PAGE ? coordinateSpace.parts(page.at(-1)!.key).join("\0") : null,
  };
}

export function coordinatesOf(reader: Reader, { node }: { node: string }): NodeCoordinate[] {
  assertText("node", node, NAME_CHARACTERS_MAX);
  return coordinateSpace.under(reader, [nodeKey(node)]).map((record) => coordinateSpace.decode(record));
}

export interface Nearness {
  /** Seconds to each of the others, null where one has no coordinate; null when the node itself has none. */
  distances: (number | null)[] | null;
  /** The node's; null when it is not registered. */
  locality: Locality | null;
}

/** How near others are to a node; names in any case. Only coordinates of the same segment compare. */
export function nearnessOf(reader: Reader, { node, others }: { node: string; others: string[] }): Nearness {
  if (others.length > OTHERS_MAX) {
    throw new HoldfastError("too_large", `more than ${OTHERS_MAX} nodes`, { field: "others", limit: OTHERS_MAX });
  }
  const locality = nodeSpace.get(reader, nodeKey(node))?.locality ?? null;
  const own = new Map(coordinatesOf(reader, { node }).map(({ segment, coordinate }) => [segment, coordinate]));
  if (own.size === 0) return { distances: null, locality };
  const distances = others.map((other) => {
    for (const { segment, coordinate } of coordinatesOf(reader, { node: other })) {
      const from = own.get(segment);
      if (from) return distance(from, coordinate);
    }
    return null;
  });
  return { distances, locality };
}
