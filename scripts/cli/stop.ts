/** When a long-running command is asked to stop: a signal, or the end of the launcher that started it. */

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

export type StopReason = (typeof SIGNALS)[number] | "disconnect";

/**
 * Calls back once; later requests are swallowed, because Ctrl-C under npm arrives twice (terminal and npm).
 * The returned function takes the handlers off again.
 */
export function onStop(callback: (reason: StopReason) => void): () => void {
  let isAsked = false;
  const ask = (reason: StopReason): void => {
    if (isAsked) return;
    isAsked = true;
    callback(reason);
  };
  const handlers = SIGNALS.map((signal) => [signal, () => ask(signal)] as const);
  for (const [signal, handler] of handlers) process.on(signal, handler);
  const disconnected = (): void => ask("disconnect");
  process.on("disconnect", disconnected);
  return () => {
    for (const [signal, handler] of handlers) process.off(signal, handler);
    process.off("disconnect", disconnected);
  };
}
