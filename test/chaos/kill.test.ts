/**
 * `kill -9` of the whole server under concurrent writers, ten times. Rules K1, K2, K4, A2, L1, L2: what was acknowledged is
 * there with its revision, no revision was given twice, the chain of the log holds, and leases end neither early nor never.
 */
import { expect, test } from "vitest";
import { Edge } from "../edge.ts";

const KILLS = 10;
const WRITERS = 16;

interface Write {
  key: string;
  value: string;
  revision: number;
}

test("ten kills under load", async () => {
  await using edge = await Edge.start();
  const acknowledged: Write[] = [];
  const unknown: { key: string; value: string }[] = [];
  let count = 0;

  // Renewed all the time; must be there at every look.
  await edge.put("/services/beat/instances/kept", { address: "192.0.2.1", port: 1, ttl: 20 });

  for (let round = 0; round < KILLS; round++) {
    const stop = new AbortController();
    const enough = Promise.withResolvers<void>();
    const target = acknowledged.length + 50;
    const writers = Array.from({ length: WRITERS }, async () => {
      while (!stop.signal.aborted) {
        const key = `k${count++ % 40}`;
        const value = `v${count}`;
        try {
          const { status, json } = await edge.put(`/kv/${key}`, value, { signal: AbortSignal.timeout(5000) });
          if (status === 200) acknowledged.push({ key, value, revision: json.modRevision });
          else unknown.push({ key, value });
        } catch {
          unknown.push({ key, value });
          // The server is gone: until it is back there is nothing to write to.
          if (stop.signal.aborted) return;
          await new Promise((resolve) => setTimeout(resolve, 20));
        }
        if (acknowledged.length >= target) enough.resolve();
      }
    });
    const beats = await edge.api("/services/beat/instances/kept/heartbeat", { method: "POST" });
    expect(beats.status).toBe(200);
    await enough.promise;
    // In the middle of whatever is going on.
    stop.abort();
    await edge.kill();
    await Promise.all(writers);
    await edge.boot();
    expect((await edge.api("/services/beat/instances/kept")).status).toBe(200);
  }

  expect(acknowledged.length).toBeGreaterThanOrEqual(KILLS * 50);
  const revisions = acknowledged.map(({ revision }) => revision);
  expect(new Set(revisions).size).toBe(revisions.length);

  // Each key holds the last write that was acknowledged, or one that was called and never answered.
  for (const key of new Set(acknowledged.map((write) => write.key))) {
    const last = acknowledged.filter((write) => write.key === key).toSorted((a, b) => b.revision - a.revision)[0]!;
    const reply = await edge.api(`/kv/${key}`);
    const revision = Number(reply.headers.get("x-holdfast-mod-revision"));
    if (reply.text === last.value) expect(revision).toBe(last.revision);
    else {
      expect(revision).toBeGreaterThan(last.revision);
      expect(unknown).toContainEqual({ key, value: reply.text });
    }
  }
  // And at its own revision every acknowledged write is what it was.
  for (const { key, value, revision } of acknowledged.filter((_, at) => at % 7 === 0)) {
    expect((await edge.api(`/kv/${key}?revision=${revision}`)).text).toBe(value);
  }

  let since = 0;
  for (;;) {
    const verdict = (await edge.api(`/audit/verify?since=${since}`)).json;
    expect(verdict.brokenAt).toBeNull();
    if (verdict.checked === 0) break;
    since = verdict.through;
  }

  // A lease over a kill: there at once after the restart, and gone by itself.
  await edge.put("/services/lease/instances/a", { address: "192.0.2.1", ttl: 2 });
  await edge.api("/services/lease/instances/a/heartbeat", { method: "POST" });
  await edge.kill();
  await edge.boot();
  expect((await edge.api("/services/lease/instances/a")).status).toBe(200);
  const gone = await edge.until("/services/lease/instances/a", ({ status }) => status === 404);
  expect(gone.status).toBe(404);
}, 180_000);
