/** Watches as server-sent events: rules W1 to W12 over HTTP. */
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge, events, type Sse } from "../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start();
});
afterAll(() => edge[Symbol.asyncDispose]());

const path = (query: string): string => `/api/v1/namespaces/default/watch?${query}`;

/** The next events that are changes. */
async function take(source: AsyncGenerator<Sse>, count: number): Promise<Sse[]> {
  const found: Sse[] = [];
  for await (const event of { [Symbol.asyncIterator]: () => ({ next: () => source.next() }) }) {
    if (event.event === "progress") continue;
    found.push(event);
    if (found.length === count) break;
  }
  return found;
}

async function open(query: string, headers: Record<string, string> = {}) {
  const end = new AbortController();
  const response = await edge.request(path(query), { headers, signal: end.signal });
  return { response, source: events(response), end: () => end.abort() };
}

test("W12: a list and a watch from its revision are complete; previous values on demand", async () => {
  await edge.put("/kv/w/a", "1");
  const list = await edge.api("/kv/w/?prefix=true");
  const watch = await open(`prefix=w/&since=${list.headers.get("x-holdfast-revision")}&previous=true`);
  await edge.put("/kv/w/a", "2");
  await edge.put("/kv/elsewhere", "x");
  await edge.put("/kv/w/b", "3");
  await edge.api("/kv/w/a", { method: "DELETE" });
  const seen = await take(watch.source, 3);
  watch.end();
  expect(
    seen.map(({ event, data }) => [
      event,
      data.key,
      data.value && atob(data.value),
      data.previous && atob(data.previous.value),
    ]),
  ).toEqual([
    ["put", "w/a", "2", "1"],
    ["put", "w/b", "3", undefined],
    ["delete", "w/a", undefined, "2"],
  ]);
  const ids = seen.map(({ id }) => Number(id));
  expect(ids).toEqual(ids.toSorted((a, b) => a - b));
});

test("W4, W5: a transaction is not split, and resuming by the last id goes on without loss or repeat", async () => {
  const { json } = await edge.put("/kv/r/start", "");
  const batch = { then: Array.from({ length: 20 }, (_, at) => ({ type: "put", key: `r/${at}`, value: "" })) };
  await edge.api("/txn", { method: "POST", body: batch });
  await edge.put("/kv/r/end", "");
  const whole = await open(`prefix=r/&since=${json.modRevision}`);
  const all = await take(whole.source, 21);
  whole.end();
  const withId = all.filter(({ id }) => id !== undefined);
  // Only the last of a revision's events can be resumed from.
  expect(withId).toHaveLength(2);
  const resumed = await open("prefix=r/", { "last-event-id": withId[0]!.id! });
  expect((await take(resumed.source, 1))[0]!.data.key).toBe("r/end");
  resumed.end();
  const beginning = await open("prefix=r/", { "last-event-id": String(json.modRevision) });
  expect(await take(beginning.source, 21)).toEqual(all);
  beginning.end();
});

test("W1 to W3: under concurrent writers a watch tells every change once, in order", async () => {
  const watch = await open("prefix=c/");
  const writers = Array.from({ length: 8 }, async (_, writer) => {
    const revisions: number[] = [];
    for (let at = 0; at < 25; at++)
      revisions.push((await edge.put(`/kv/c/${writer}-${at % 5}`, String(at))).json.modRevision);
    return revisions;
  });
  const seen = await take(watch.source, 200);
  watch.end();
  const written = (await Promise.all(writers)).flat().toSorted((a, b) => a - b);
  expect(seen.map(({ data }) => data.modRevision)).toEqual(written);
});

test("W5: when the owner breaks off, the stream ends, and the next one goes on after the last id", async () => {
  const watch = await open("prefix=broken/");
  await edge.put("/kv/broken/a", "1");
  const [first] = await take(watch.source, 1);
  await edge.put("/kv/broken/never", "2", { headers: { "x-holdfast-test-abort": "before_commit" } });
  expect((await watch.source.next()).done).toBe(true);
  await edge.put("/kv/broken/b", "3");
  const next = await open("prefix=broken/", { "last-event-id": first!.id! });
  expect((await take(next.source, 1))[0]!.data.key).toBe("broken/b");
  next.end();
});

test("readers of the same range are told the same, each from where it began", async () => {
  const { json } = await edge.put("/kv/same/a", "1");
  const early = await open(`prefix=same/&since=${json.modRevision - 1}`);
  const late = await open(`prefix=same/&since=${json.modRevision}`);
  const withPrevious = await open(`prefix=same/&since=${json.modRevision}&previous=true`);
  await edge.put("/kv/same/a", "2");
  const [, second] = await take(early.source, 2);
  expect(await take(late.source, 1)).toEqual([second]);
  const [told] = await take(withPrevious.source, 1);
  expect(told!.data).toMatchObject({ ...second!.data, previous: { value: btoa("1") } });
  for (const watch of [early, late, withPrevious]) watch.end();
});

test("W6: without changes a mark tells how far was looked", async () => {
  const { json } = await edge.put("/kv/somewhere", "");
  const watch = await open(`prefix=nothing/&since=${json.modRevision - 1}`);
  const { value } = await watch.source.next();
  watch.end();
  expect(value).toMatchObject({ event: "progress" });
  expect(Number(value!.id)).toBeGreaterThanOrEqual(json.modRevision);
});

test("W7: a revision that has not been reached, and wrong parameters, are refused before the stream begins", async () => {
  expect((await edge.ask(path("since=99999999"))).json).toMatchObject({ status: 400, code: "future_revision" });
  expect((await edge.ask(path("since=-1"))).json).toMatchObject({ status: 400, field: "since" });
  expect((await edge.ask(path("key=a&prefix=b"))).json).toMatchObject({ status: 400, field: "key" });
  expect((await edge.ask(path(""), { headers: { "last-event-id": "x" } })).json).toMatchObject({
    field: "Last-Event-ID",
  });
});

test("a client that hangs up while it waits is forgotten", async () => {
  const quiet = (await edge.api("/status")).json.waiters;
  const watches = await Promise.all(Array.from({ length: 10 }, () => open("prefix=hang/")));
  const waiting = await edge.until("/status", ({ json }) => json.waiters >= quiet + 10);
  expect(waiting.json.waiters).toBeGreaterThanOrEqual(quiet + 10);
  for (const watch of watches) watch.end();
  // The runtime tells of a closed connection at a write that comes after it; without changes, marks are such writes.
  const gone = await edge.until("/status", async ({ json }) => {
    await edge.put("/kv/hang/wake", "");
    return json.waiters <= quiet;
  });
  expect(gone.json.waiters).toBeLessThanOrEqual(quiet);
});
