/**
 * How the Worker is run, as told by wrangler.toml. A copy, because reading the file through wrangler takes most of a
 * second at every start; a test compares the two.
 */

export const COMPATIBILITY_DATE = "2026-07-30";
export const COMPATIBILITY_FLAGS = ["nodejs_compat", "enable_request_signal", "no_web_socket_compression"];

/** Binding name → class. All keep their state in SQLite. */
export const DURABLE_OBJECTS: Record<string, string> = {
  NAMESPACE: "Namespace",
  DIRECTORY: "Directory",
  PROBER: "Prober",
};

/**
 * Where `fetch()` and `connect()` of the Worker may go: loopback and private ranges are what a local registry is for;
 * link-local is where clouds keep their metadata services.
 */
export const NETWORK = {
  allow: ["public", "private"],
  deny: ["169.254.0.0/16", "fe80::/10", "fd00:ec2::254/128"],
  // Without it nothing is reached over TLS at all.
  tlsOptions: { trustBrowserCas: true },
};
