/** What clients are told they talk to: the version of Consul whose API this is. */
export const CONSUL_VERSION = "1.21.4";
