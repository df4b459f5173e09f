/** What a filter says, as a tree. Operators are named as the errors name them. */

export type ValueOperator = "Equal" | "Not Equal" | "In" | "Not In" | "Matches" | "Not Matches";
export type EmptinessOperator = "Is Empty" | "Is Not Empty";
export type MatchOperator = ValueOperator | EmptinessOperator;

/** The parts between the dots and in brackets, at least one. */
export type Selector = readonly string[];

export interface ValueMatch {
  type: "match";
  selector: Selector;
  operator: ValueOperator;
  value: string;
}

export type Match = ValueMatch | { type: "match"; selector: Selector; operator: EmptinessOperator };

export type Expression =
  | Match
  | { type: "not"; operand: Expression }
  /** At least two operands each. */
  | { type: "and" | "or"; operands: readonly Expression[] };
