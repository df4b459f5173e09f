/** One operation of a client's transaction, as it is carried out. */
import type { ErrorValue } from "../../../../objects/errors.ts";
import type { Operation, OperationResult } from "../../../../objects/transactions/transactions.ts";
import type { Exchange } from "../exchange.ts";

export interface Plan {
  operations: Operation[];
  isWrite: boolean;
  /** What it answers: one entry for each thing that was read or written; of each, whether the caller may see it. */
  results(results: OperationResult[], exchange: Exchange): Shown[];
  /** A failure in Consul's words. */
  words(error: ErrorValue): string;
}

export interface Shown {
  entry: object;
  isVisible: boolean;
}

/** It cannot be carried out, and neither can the transaction. */
export interface Refusal {
  refused: string;
}

export const isRefusal = (plan: Plan | Refusal): plan is Refusal => "refused" in plan;
