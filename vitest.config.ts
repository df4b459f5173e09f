import { defineConfig } from "vitest/config";

export default defineConfig({
  // What runs in the runtime only has a stand-in where parts of the edge are tested outside it.
  resolve: { alias: { "cloudflare:workers": new URL("test/cloudflare-workers.ts", import.meta.url).pathname } },
  test: {
    include: ["test/**/*.test.ts"],
    testTimeout: 30_000,
    hookTimeout: 60_000,
    // Two cores: servers under test and their clients share them.
    maxWorkers: 2,
  },
});
