/** The pure parts of the command: durations, values, tables, exit codes, event streams. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { checks, ports } from "../../../scripts/cli/commands/values.ts";
import { seconds } from "../../../scripts/cli/duration.ts";
import { exitCodeOf } from "../../../scripts/cli/exit.ts";
import { errorLine, printable, table } from "../../../scripts/cli/output.ts";
import { serverSentEvents, type ServerSentEvent } from "../../../scripts/cli/sse.ts";
import { ERROR_CODES } from "../../../objects/errors.ts";

describe("durations", () => {
  test.each([
    ["10", 10],
    ["10s", 10],
    ["500ms", 0.5],
    ["1.5m", 90],
    ["2h", 7200],
    ["1d", 86_400],
  ])("%s is %d seconds", (text, value) => expect(seconds(text, "--ttl")).toBe(value));

  test.each(["", "0", "0s", "-1s", "s", "10 s", "1e3", "10x", "Infinity", "9999999999"])("%j is refused", (text) =>
    expect(() => seconds(text, "--ttl")).toThrow(/--ttl/),
  );
});

describe("values", () => {
  test("ports with and without a name", () => {
    expect(ports(["80", "admin=9000"])).toEqual({ default: 80, admin: 9000 });
    for (const bad of ["0", "65536", "=80", "http=", "a=b"]) expect(() => ports([bad])).toThrow(/--port/);
  });

  test("checks of all kinds, with the times where they belong", () => {
    const times = { interval: "1s", timeout: "500ms", deregisterAfter: "5s" };
    expect(checks(["http://127.0.0.1:80/up", "tcp://[::1]:81", "ttl:15s"], times)).toEqual([
      { id: "check-1", type: "http", url: "http://127.0.0.1:80/up", interval: 1, timeout: 0.5, deregisterAfter: 5 },
      { id: "check-2", type: "tcp", host: "::1", port: 81, interval: 1, timeout: 0.5, deregisterAfter: 5 },
      { id: "check-3", type: "ttl", ttl: 15, deregisterAfter: 5 },
    ]);
    for (const bad of ["", "file:///etc/passwd", "tcp://host", "127.0.0.1:80"]) {
      expect(() => checks([bad], {})).toThrow(/--check/);
    }
  });
});

describe("output", () => {
  test("columns line up, and the last one has no padding", () => {
    expect(
      table(
        ["A", "LONG"],
        [
          ["wide", "x"],
          ["b", ""],
        ],
      ),
    ).toBe("A     LONG\nwide  x\nb\n");
  });

  test("nothing a service registered drives the terminal", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), (text) => {
        // oxlint-disable-next-line no-control-regex -- finding control characters is the purpose
        expect(printable(text)).not.toMatch(/[\u0000-\u001f\u007f-\u009f\u202e]/);
      }),
    );
    expect(printable("\u001b[2Jcafé")).toBe("\\u001b[2Jcafé");
  });

  test("an error is one line", () => expect(errorLine("a\n  b\r\nc\n")).toBe("holdfast: a b c\n"));
});

describe("exit codes", () => {
  test.each([
    ["not_found", 404, 3],
    ["unauthenticated", 401, 4],
    ["permission_denied", 403, 4],
    ["unavailable", 503, 5],
    ["conflict", 409, 6],
    [undefined, 0, 5],
    [undefined, 404, 3],
    [undefined, 418, 1],
    ["unheard_of", 404, 1],
  ] as const)("%s with status %d is %d", (code, status, exit) => expect(exitCodeOf(code, status)).toBe(exit));

  test("every code of the edge has one that is no success and no usage error", () => {
    for (const code of ERROR_CODES) expect([1, 3, 4, 5, 6]).toContain(exitCodeOf(code, 500));
  });
});

describe("server-sent events", () => {
  async function read(chunks: Uint8Array[]): Promise<ServerSentEvent[]> {
    async function* stream(): AsyncGenerator<Uint8Array> {
      yield* chunks;
    }
    return Array.fromAsync(serverSentEvents(stream()));
  }
  const bytes = (text: string): Uint8Array => new TextEncoder().encode(text);

  test("fields, comments, several data lines, the last id and the delay", async () => {
    const text = ": hello\nid: 4\nevent: put\ndata: a\ndata:b\nretry: 250\n\ndata\n\nid\ndata: c\nunknown: x\n\n";
    expect(await read([bytes(text)])).toEqual([
      { event: "put", data: "a\nb", id: "4", retryMs: 250 },
      { event: "message", data: "", id: "4", retryMs: 250 },
      { event: "message", data: "c", id: "", retryMs: 250 },
    ]);
  });

  test("an event that was not finished is dropped", async () => {
    expect(await read([bytes("data: a\n\ndata: b\n")])).toHaveLength(1);
  });

  test("however the bytes are cut and the lines are ended, the events are the same", async () => {
    const text = 'id: 1\nevent: put\ndata: {"key":"ä🙂"}\n\n:\n\nid: 2\ndata: x\n\n';
    const expected = await read([bytes(text)]);
    expect(expected).toHaveLength(2);
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom("\n", "\r\n", "\r"),
        fc.array(fc.nat(80), { maxLength: 12 }),
        async (end, cuts) => {
          const whole = bytes(text.replaceAll("\n", end));
          const at = [0, ...cuts.map((cut) => Math.min(cut, whole.length)), whole.length].toSorted((a, b) => a - b);
          const chunks = at.slice(1).map((to, index) => whole.slice(at[index], to));
          expect(await read(chunks)).toEqual(expected);
        },
      ),
    );
  });

  test("a line without end is refused", async () => {
    await expect(read(Array.from({ length: 9 }, () => bytes("x".repeat(1024 * 1024))))).rejects.toThrow(/too long/);
  });
});
