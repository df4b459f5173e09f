/** What lookups ask for, where a test does not say otherwise. */
import type { LookupTarget } from "../../../objects/lookups/lookups.ts";

export const target = (overrides: Partial<LookupTarget> = {}): LookupTarget => ({
  service: "web",
  mesh: false,
  peer: "",
  onlyPassing: false,
  ignoreChecks: [],
  tags: [],
  meta: {},
  nodeMeta: {},
  near: "",
  failover: { nearest: 0, datacenters: [], targets: [] },
  ...overrides,
});
