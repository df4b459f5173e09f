/** A filter that Consul refuses: status 500, and the same text. */
import { ConsulError } from "../errors.ts";

export class FilterError extends ConsulError {
  /** The text without Consul's opening words, for the errors that put others before it (selectors of binding rules). */
  readonly reason: string;

  constructor(reason: string) {
    super(500, `Failed to create boolean expression evaluator: ${reason}`);
    this.name = "FilterError";
    this.reason = reason;
  }
}
