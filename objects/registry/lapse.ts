/** What becomes of registry records whose time has passed. */
import type { Deadline } from "../leases/deadlines.ts";
import type { DetachHandlers } from "../leases/leases.ts";
import type { Context, Txn } from "../store/txn.ts";
import { OUTPUT_CHARACTERS_MAX } from "./limits.ts";
import { deregister } from "./registry.ts";
import { instanceSpace } from "./spaces.ts";
import { subjectOf } from "./timers.ts";
import { checksOf, setCheck } from "./write.ts";

/** An instance whose lease goes takes its place in the service's counts along. */
export const detachHandlers: DetachHandlers = {
  instance: (txn, context, key) => {
    const [service = "", id = ""] = instanceSpace.parts(key);
    deregister(txn, context, { service, id });
  },
};

/** Applies one lapsed deadline of the registry. */
export function lapse(txn: Txn, context: Context, { key, kind }: Pick<Deadline, "key" | "kind">): void {
  const { service, id, check } = subjectOf(key);
  if (kind !== "check") {
    deregister(txn, context, { service, id });
    return;
  }
  const last = checksOf(txn, { service, id })?.find((one) => one.id === check)?.output ?? "";
  const output = last === "" ? EXPIRED : `${EXPIRED} (last output before timeout follows): ${last}`;
  setCheck(txn, context.now, { service, id }, check, "critical", output.slice(0, OUTPUT_CHARACTERS_MAX));
}

const EXPIRED = "TTL expired";
