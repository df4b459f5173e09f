/** A stream of watches without a server: what takes a clock, or a reader and a namespace of a certain slowness. */
import { create } from "@bufbuild/protobuf";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import { utf8 } from "../../../../objects/bytes.ts";
import type { ChangesInput } from "../../../../objects/core.ts";
import { HoldfastError } from "../../../../objects/errors.ts";
import type { StoreEvent } from "../../../../objects/store/store.ts";
import { inRange } from "../../../../objects/store/txn.ts";
import type { WatchRequest } from "../../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import { WatchRequestSchema } from "../../../../workers/dialects/etcd/gen/etcdserverpb_pb.js";
import type { WatchCall } from "../../../../workers/dialects/etcd/watch-stream.ts";
import { WatchStream } from "../../../../workers/dialects/etcd/watch-stream.ts";
import { OPEN } from "../../../../workers/request/authorizer.ts";
import type { Following } from "../../../../workers/request/namespace-client.ts";

vi.mock("cloudflare:workers", () => ({ waitUntil: () => {} }));

/** A namespace of keys alone, and a caller. */
class Fake {
  revision = 1;
  compacted = 0;
  readonly events: StoreEvent[] = [];
  /** Each call that was made, with how long it would wait. */
  readonly calls: { since: number; ranges: number; waitMs: number }[] = [];
  readonly #gone = new AbortController();
  readonly #requests: WatchRequest[] = [];
  #wakeRequests = (): void => {};
  #waiting = new Set<() => void>();

  get waiting(): number {
    return this.#waiting.size;
  }

  put(key: string, value = ""): number {
    const revision = ++this.revision;
    const record = {
      key: utf8(key),
      value: utf8(value),
      createRevision: revision,
      modRevision: revision,
      version: 1,
      lease: null,
    };
    this.events.push({ revision, space: "kv", key: record.key, record, before: null });
    for (const wake of this.#waiting) wake();
    return revision;
  }

  ask(...unions: NonNullable<MessageInitShape<typeof WatchRequestSchema>["requestUnion"]>[]): void {
    this.#requests.push(...unions.map((requestUnion) => create(WatchRequestSchema, { requestUnion })));
    this.#wakeRequests();
  }

  go(): void {
    this.#gone.abort();
  }

  replies(progressMs: number) {
    return new WatchStream(this.#call(), progressMs).replies(this.#asked());
  }

  async *#asked(): AsyncGenerator<WatchRequest> {
    for (;;) {
      const request = this.#requests.shift();
      if (request) yield request;
      else await new Promise<void>((resolve) => (this.#wakeRequests = resolve));
    }
  }

  #call(): WatchCall {
    return {
      header: (revision) => ({ revision: BigInt(revision) }),
      headerWithoutRevision: {},
      signal: this.#gone.signal,
      identify: () => Promise.resolve({ authorizer: OPEN }),
      client: {
        query: () => Promise.resolve({ value: null as never, revision: this.revision }),
        follow: (input, waitMs) => this.#follow(input, waitMs),
      },
    };
  }

  #follow({ since, ranges, resumes }: ChangesInput, waitMs: number): Following {
    this.calls.push({ since, ranges: ranges.length, waitMs });
    const { promise, resolve, reject } = Promise.withResolvers<Awaited<Following["answer"]>>();
    const answer = (isOver: boolean): void => {
      const events = this.events.filter(
        ({ key, revision }) => revision > since && ranges.some((range) => inRange(key, range)),
      );
      if (since < this.compacted - (resumes ? 1 : 0)) {
        reject(new HoldfastError("compacted", "", { compacted: this.compacted }));
      } else if (events.length > 0 || isOver)
        resolve({ value: { events, revision: this.revision }, revision: this.revision });
      else return void this.#waiting.add(wake);
      this.#waiting.delete(wake);
    };
    const wake = (): void => answer(false);
    answer(waitMs === 0);
    return { answer: promise, leave: () => answer(true) };
  }
}

const PROGRESS_MS = 1000;
const createRequest = (key: string, more: object = {}) =>
  ({ case: "createRequest", value: { key: utf8(key), ...more } }) as const;

let fake: Fake;
beforeEach(() => {
  vi.useFakeTimers({ toFake: ["setInterval", "clearInterval"] });
  fake = new Fake();
});
afterEach(() => vi.useRealTimers());

test("who wants it is told of progress while nothing else is told, in its own name", async () => {
  const replies = fake.replies(PROGRESS_MS);
  fake.ask(createRequest("a", { progressNotify: true, watchId: 3n }), createRequest("b", { watchId: 4n }));
  expect((await replies.next()).value).toMatchObject({ created: true, watchId: 3n });
  expect((await replies.next()).value).toMatchObject({ created: true, watchId: 4n });
  const next = replies.next();
  const elsewhere = fake.put("c");
  vi.advanceTimersByTime(PROGRESS_MS);
  expect((await next).value).toEqual({ header: { revision: BigInt(elsewhere) }, watchId: 3n });
  const event = replies.next();
  fake.put("a");
  expect((await event).value).toMatchObject({ watchId: 3n, events: [{}] });
  const after = replies.next();
  // It has spoken in this interval; in the next it has not.
  vi.advanceTimersByTime(PROGRESS_MS);
  await vi.waitFor(() => expect(fake.waiting).toBe(1));
  vi.advanceTimersByTime(PROGRESS_MS);
  expect((await after).value).toMatchObject({ watchId: 3n });
  await leave(replies);
});

test("a reader that does not come back holds one batch, and is told when what it missed is gone", async () => {
  const replies = fake.replies(PROGRESS_MS);
  fake.ask(createRequest("a"), createRequest("later", { startRevision: 100n }));
  await replies.next();
  await replies.next();
  const event = replies.next();
  fake.put("a", "1");
  expect((await event).value).toMatchObject({ events: [{}] });
  const calls = fake.calls.length;
  for (let i = 0; i < 10; i++) fake.put("a");
  fake.compacted = fake.revision - 1;
  expect(fake.calls).toHaveLength(calls);
  expect((await replies.next()).value).toEqual({
    header: {},
    watchId: 0n,
    canceled: true,
    compactRevision: BigInt(fake.compacted),
  });
  const later = replies.next();
  while (fake.revision < 99) fake.put("later");
  fake.put("later", "hundred");
  expect((await later).value).toMatchObject({ watchId: 1n, events: [{ kv: { modRevision: 100n } }] });
  await leave(replies);
});

test("all of a stream wait with one call, which is given up when the caller goes", async () => {
  const replies = fake.replies(PROGRESS_MS);
  const count = 50;
  fake.ask(...Array.from({ length: count }, (_, i) => createRequest(`k${i}`)));
  for (let i = 0; i < count; i++) await replies.next();
  const next = replies.next();
  await vi.waitFor(() => expect(fake.waiting).toBe(1));
  expect(fake.calls.at(-1)).toMatchObject({ ranges: count });
  expect(fake.calls.length).toBeLessThan(count / 2);
  fake.go();
  expect(await next).toEqual({ done: true, value: undefined });
  expect(fake.waiting).toBe(0);
});

test("watches on more ranges than one call takes are told no more than their own", async () => {
  const replies = fake.replies(PROGRESS_MS);
  const count = 1100;
  fake.ask(...Array.from({ length: count }, (_, i) => createRequest(`k${String(i).padStart(4, "0")}`)));
  for (let i = 0; i < count; i++) await replies.next();
  const next = replies.next();
  await vi.waitFor(() => expect(fake.waiting).toBe(1));
  expect(fake.calls.at(-1)).toMatchObject({ ranges: 1 });
  fake.put("k0500x");
  fake.put("k0777");
  expect((await next).value).toMatchObject({ watchId: 777n, events: [{}] });
  await leave(replies);
});

test("there is an end to how many watches a stream may have", async () => {
  const replies = fake.replies(PROGRESS_MS);
  const key = "x".repeat(1024 * 1024);
  fake.ask(...["a", "b", "c", "d", "e"].map((name) => createRequest(name + key)));
  const reasons: unknown[] = [];
  for (let i = 0; i < 5; i++) reasons.push((await replies.next()).value?.cancelReason);
  const full = "rpc error: code = ResourceExhausted desc = etcdserver: too many requests";
  expect(reasons).toEqual([undefined, full, full, full, full]);
  await leave(replies);
});

/** Goes while nothing is under way any more. */
async function leave(replies: AsyncGenerator<unknown>): Promise<void> {
  const last = replies.next();
  fake.go();
  while (!(await last).done && !(await replies.next()).done);
}
