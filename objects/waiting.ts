/** How long one call may wait for a change, in milliseconds. Apart, because the edge needs it without the object's code. */
export const WAIT_MAX_MS = 60_000;
