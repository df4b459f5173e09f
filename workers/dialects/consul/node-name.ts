/** The default node: that of callers who do not say which agent they take us for, and of instances that name none. */
import type { Bindings } from "../../request/bindings.ts";

const UNTOLD = "holdfast";

/** On one machine it is the node whose checks are run here. */
export const defaultNodeOf = ({ HOLDFAST_NODE: name }: Pick<Bindings, "HOLDFAST_NODE">): string => name || UNTOLD;
