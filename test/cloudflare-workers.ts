/** Stands in for the runtime's module where parts of the edge are tested in Node. */

/** Nothing ends a promise early here. */
export function waitUntil(_promise: Promise<unknown>): void {}
