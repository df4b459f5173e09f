/** The node of callers that do not say which agent they take us for, and of instances that name none. */
export const DEFAULT_NODE = "holdfast";
