/**
 * Paths and methods to operations: a tree of path segments, made once from the definitions. Segments are compared raw and
 * decoded afterwards, strictly: a path that is not UTF-8 is refused instead of being guessed at.
 *
 * Refuses to know: what an operation does, queries and bodies.
 */
import { invalid } from "../../objects/errors.ts";
import type { Route } from "./route.ts";

/** By method in capitals. */
type Operations = Map<string, Route>;

interface Node {
  literals: Map<string, Node>;
  parameter: { name: string; node: Node } | null;
  /** Of `{key+}`: everything from here on, which may be nothing. */
  rest: Operations | null;
  operations: Operations;
}

export interface Found {
  operations: Operations;
  /** Parameters by name, raw. */
  params: Record<string, string>;
}

const REST = "{key+}";

export class RouteTree {
  readonly #root = emptyNode();

  /** Every route below `base`, a path that may have parameters itself. */
  constructor(base: string, routes: readonly Route[]) {
    for (const route of routes) {
      const operations = this.#operationsOf(segmentsOf(base + route.path));
      operations.set(route.method.toUpperCase(), route);
    }
  }

  /** `path` is raw, with a leading slash and without a query. */
  find(path: string): Found | null {
    return match(this.#root, segmentsOf(path), 0);
  }

  #operationsOf(segments: string[]): Operations {
    let node = this.#root;
    for (const segment of segments) {
      if (segment === REST) return (node.rest ??= new Map());
      if (segment.startsWith("{")) node = (node.parameter ??= { name: segment.slice(1, -1), node: emptyNode() }).node;
      else if (node.literals.has(segment)) node = node.literals.get(segment)!;
      else node.literals.set(segment, (node = emptyNode()));
    }
    return node.operations;
  }
}

/** Literal segments go before parameters. Only the parameters that led to the operation are written down, on the way back. */
function match(node: Node, segments: string[], at: number): Found | null {
  const segment = segments[at];
  if (segment === undefined && node.operations.size > 0) return { operations: node.operations, params: {} };
  if (segment !== undefined) {
    const literal = node.literals.get(segment);
    const found = literal ? match(literal, segments, at + 1) : null;
    if (found) return found;
    const { parameter } = node;
    const below = parameter && segment !== "" ? match(parameter.node, segments, at + 1) : null;
    if (below) {
      below.params[parameter!.name] = segment;
      return below;
    }
  }
  return node.rest && { operations: node.rest, params: { key: segments.slice(at).join("/") } };
}

/** Codes: `invalid_argument` naming the parameter. */
export function decodeParams(params: Record<string, string>): Record<string, string> {
  for (const name in params) {
    const raw = params[name]!;
    if (!raw.includes("%")) continue;
    try {
      params[name] = decodeURIComponent(raw);
    } catch {
      throw invalid(name, "is not percent-encoded UTF-8");
    }
  }
  return params;
}

const emptyNode = (): Node => ({ literals: new Map(), parameter: null, rest: null, operations: new Map() });

const segmentsOf = (path: string): string[] => path.slice(1).split("/");
