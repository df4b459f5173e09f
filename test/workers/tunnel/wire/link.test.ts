/** Two ends of a link without a socket: frames survive the way, credit bounds what is under way, and everybody gets a turn. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import type { Frame } from "../../../../workers/tunnel/wire/frames.ts";
import { CHUNK_BYTES_MAX, decodeFrames, FrameWriter, ProtocolError } from "../../../../workers/tunnel/wire/frames.ts";
import type { LinkStream, StreamEvents } from "../../../../workers/tunnel/wire/link.ts";
import { Link, LINK_WINDOW, STREAM_WINDOW } from "../../../../workers/tunnel/wire/link.ts";

const silent: StreamEvents = { onPart() {}, onEnd() {}, onClose() {} };
const opening = { path: "/a.B/c", timeoutMs: Infinity, metadata: [] };

interface Arrived {
  stream: LinkStream;
  bytes: number;
  /** Credit that has not been given back. */
  owed: number;
}

/** A caller and a taker; what one sends reaches the other when `carry` is called. */
class Pair {
  readonly arrived: Arrived[] = [];
  readonly caller: Link;
  readonly taker: Link;
  /** Sent and not carried yet. */
  under: Uint8Array[] = [];
  readonly #back: Uint8Array[] = [];
  #flushes: (() => void)[] = [];

  constructor(keptMax = Infinity) {
    const schedule = (flush: () => void): void => void this.#flushes.push(flush);
    this.caller = new Link({ send: (bytes) => this.under.push(bytes), schedule, keptMax });
    this.taker = new Link({
      send: (bytes) => this.#back.push(bytes),
      schedule,
      keptMax,
      accept: (stream) => {
        const arrived = { stream, bytes: 0, owed: 0 };
        this.arrived.push(arrived);
        return {
          ...silent,
          onPart(bytes, _length, cost) {
            arrived.bytes += bytes.length;
            arrived.owed += cost;
          },
        };
      },
    });
  }

  /** Until nothing is under way. */
  carry(): void {
    do {
      for (const flush of this.#flushes.splice(0)) flush();
      for (const bytes of this.under.splice(0)) this.taker.receive(bytes);
      for (const bytes of this.#back.splice(0)) this.caller.receive(bytes);
    } while (this.#flushes.length + this.under.length + this.#back.length > 0);
  }

  /** Takes all that has come on a stream. */
  take(arrived: Arrived): void {
    arrived.stream.credit(arrived.owed);
    arrived.owed = 0;
  }
}

describe("frames", () => {
  const bytes = fc.uint8Array({ maxLength: 300 });
  const stream = fc.integer({ min: 1, max: 2 ** 32 - 1 });
  const word = fc.integer({ min: 0, max: 2 ** 32 - 1 });
  const metadata = fc.array(
    fc.oneof(
      fc.tuple(fc.constantFrom("token", "x"), fc.string({ maxLength: 40 })),
      fc.tuple(fc.constantFrom("key-bin"), bytes),
    ),
    { maxLength: 5 },
  );
  const text = fc.string({ unit: "grapheme", maxLength: 60 });
  const frame: fc.Arbitrary<Frame> = fc.oneof(
    fc.record({
      type: fc.constant("open" as const),
      stream,
      path: text,
      timeoutMs: fc.oneof(fc.constant(Infinity), fc.double({ min: 0, noNaN: true })),
      metadata,
    }),
    fc.record({ type: fc.constant("headers" as const), stream, metadata }),
    fc.record({ type: fc.constant("message" as const), stream, length: word, bytes }),
    fc.record({ type: fc.constant("chunk" as const), stream, bytes }),
    fc.record({ type: fc.constant("end" as const), stream }),
    fc.record({
      type: fc.constant("status" as const),
      stream,
      status: fc.record({ code: word, message: text, metadata }),
    }),
    fc.record({ type: fc.constant("reset" as const), stream, code: word }),
    fc.record({ type: fc.constant("credit" as const), stream, bytes: word }),
    fc.constant({ type: "ping" as const, stream: 0 as const }),
    fc.record({ type: fc.constant("goAway" as const), stream: fc.constant(0 as const), reason: text }),
  );

  test("are read as they were written", () => {
    fc.assert(
      fc.property(fc.array(frame, { maxLength: 20 }), (frames) => {
        const writer = new FrameWriter();
        for (const one of frames) writer.write(one);
        expect(decodeFrames(writer.take())).toEqual(frames);
      }),
    );
  });

  test("cut short anywhere they are refused, and noise never does worse", () => {
    fc.assert(
      fc.property(frame, fc.nat(), (one, at) => {
        const writer = new FrameWriter();
        writer.write(one);
        const whole = writer.take();
        const cut = whole.subarray(0, 1 + (at % (whole.length - 1)));
        expect(() => decodeFrames(cut)).toThrow(ProtocolError);
      }),
    );
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (noise) => {
        try {
          decodeFrames(noise);
        } catch (error) {
          expect(error).toBeInstanceOf(ProtocolError);
        }
      }),
    );
  });
});

describe("credit", () => {
  test("a stream has its window under way, and goes on with what is taken", () => {
    const pair = new Pair();
    const stream = pair.caller.open(opening, silent);
    const size = 3 * STREAM_WINDOW;
    stream.sendPart(new Uint8Array(size), size);
    pair.carry();
    const [arrived] = pair.arrived;
    expect(arrived!.owed).toBeGreaterThan(STREAM_WINDOW - CHUNK_BYTES_MAX - 64);
    expect(arrived!.owed).toBeLessThanOrEqual(STREAM_WINDOW);
    expect(stream.isDrained).toBe(false);
    for (let rounds = 0; !stream.isDrained && rounds < 10; rounds++) {
      pair.take(arrived!);
      pair.carry();
    }
    expect(arrived!.bytes).toBe(size);
  });

  test("empty messages are not free", () => {
    const pair = new Pair();
    const stream = pair.caller.open(opening, silent);
    for (let i = 0; i < 10_000; i++) stream.sendPart(new Uint8Array(), 0);
    pair.carry();
    expect(pair.arrived[0]!.owed).toBeLessThanOrEqual(STREAM_WINDOW);
    expect(stream.isDrained).toBe(false);
  });

  test("all streams together have the connection's window in the pipe", () => {
    const pair = new Pair();
    const streams = Array.from({ length: 100 }, () => pair.caller.open(opening, silent));
    for (const stream of streams) stream.sendPart(new Uint8Array(200_000), 200_000);
    const inPipe = pair.under.reduce((sum, bytes) => sum + bytes.length, 0);
    expect(inPipe).toBeGreaterThan(LINK_WINDOW / 2);
    expect(inPipe).toBeLessThanOrEqual(LINK_WINDOW);
    pair.carry();
    expect(pair.arrived.map(({ bytes }) => bytes)).toEqual(streams.map(() => 200_000));
  });

  test("those that wait for the connection get their turns one by one", () => {
    const sent: Frame[] = [];
    const flushes: (() => void)[] = [];
    const link = new Link({
      send: (bytes) => sent.push(...decodeFrames(bytes)),
      schedule: (flush) => flushes.push(flush),
      keptMax: Infinity,
    });
    const streams = Array.from({ length: 40 }, () => link.open(opening, silent));
    for (const stream of streams) stream.sendPart(new Uint8Array(STREAM_WINDOW / 2), STREAM_WINDOW / 2);
    for (const flush of flushes.splice(0)) flush();
    const waiting = streams.filter(({ isDrained }) => !isDrained);
    expect(waiting.length).toBeGreaterThan(5);
    sent.length = 0;
    const writer = new FrameWriter();
    writer.write({ type: "credit", stream: 0, bytes: waiting.length * (CHUNK_BYTES_MAX + 64) });
    link.receive(writer.take());
    for (const flush of flushes) flush();
    expect(sent.map(({ stream }) => stream)).toEqual(waiting.map(({ id }) => id));
  });

  test("what is kept for readers is counted, and given back with the stream", () => {
    const pair = new Pair(1000);
    pair.caller.open(opening, silent);
    pair.caller.open(opening, silent);
    pair.carry();
    const [one, two] = pair.arrived.map(({ stream }) => stream);
    expect(one!.keep(600)).toBe(true);
    expect(two!.keep(600)).toBe(false);
    one!.sendStatus({ code: 0, message: "" });
    expect(two!.keep(600)).toBe(true);
  });
});

describe("ends", () => {
  test("a status comes behind all that was sent before it", () => {
    const pair = new Pair();
    let bytes = 0;
    let end: unknown;
    const stream = pair.caller.open(opening, {
      ...silent,
      onPart(part, _length, cost) {
        bytes += part.length;
        stream.credit(cost);
      },
      onClose: (ended) => (end = { ended, bytes }),
    });
    pair.carry();
    const [arrived] = pair.arrived;
    const status = { code: 5, message: "gone", metadata: [] };
    arrived!.stream.sendPart(new Uint8Array(3 * STREAM_WINDOW), 3 * STREAM_WINDOW);
    arrived!.stream.sendStatus(status);
    expect(arrived!.stream.isOver).toBe(false);
    pair.carry();
    expect(end).toEqual({ ended: { status }, bytes: 3 * STREAM_WINDOW });
    expect([pair.caller.streamCount, pair.taker.streamCount]).toEqual([0, 0]);
  });

  test("a reset drops what waits, and what still comes of it harms nobody", () => {
    const pair = new Pair();
    const stream = pair.caller.open(opening, silent);
    stream.sendPart(new Uint8Array(2 * STREAM_WINDOW), 2 * STREAM_WINDOW);
    pair.carry();
    const [arrived] = pair.arrived;
    arrived!.stream.sendPart(new Uint8Array(10), 10);
    stream.reset(1);
    pair.carry();
    expect(arrived!.stream.isOver).toBe(true);
    expect([pair.caller.isClosed, pair.taker.isClosed]).toEqual([false, false]);
  });

  test("with the link all streams end", () => {
    const pair = new Pair();
    const ends: unknown[] = [];
    for (let i = 0; i < 3; i++) pair.caller.open(opening, { ...silent, onClose: (end) => ends.push(end) });
    pair.caller.close();
    expect(ends).toEqual([null, null, null]);
  });
});
