/** Single runs with what is handed in; the real network is in prober.test.ts. */
import { describe, expect, test } from "vitest";
import { parseEgressPolicy } from "../../../objects/egress.ts";
import type { HttpCheck, TcpCheck } from "../../../objects/model.ts";
import { USER_AGENT, runHttpCheck } from "../../../objects/probing/http-check.ts";
import { OUTPUT_BYTES_MAX, cleanOutput, timeoutOf } from "../../../objects/probing/output.ts";
import { runTcpCheck } from "../../../objects/probing/tcp-check.ts";
import type { Connection } from "../../../objects/probing/tcp-check.ts";

const policy = parseEgressPolicy({});
const common = {
  id: "c",
  name: "c",
  notes: "",
  successThreshold: 1,
  failureThreshold: 1,
  warningThreshold: 1,
  deregisterAfterMs: null,
  intervalMs: 1000,
  timeoutMs: 50,
};
const http = (change: Partial<HttpCheck> = {}): HttpCheck => ({
  ...common,
  type: "http",
  url: "http://example.com/health",
  method: "GET",
  headers: {},
  body: "",
  redirects: true,
  ...change,
});
const tcp = (change: Partial<TcpCheck> = {}): TcpCheck => ({
  ...common,
  type: "tcp",
  host: "",
  port: 5432,
  tls: false,
  ...change,
});
const never = (): never => {
  throw new Error("must not be called");
};

describe("http", () => {
  test.each([
    [200, "passing"],
    [204, "passing"],
    [299, "passing"],
    [429, "warning"],
    [302, "critical"], // a redirect without a place to go
    [304, "critical"],
    [404, "critical"],
    [500, "critical"],
  ])("%i is %s", async (status, expected) => {
    const outcome = await runHttpCheck(http(), policy, async () => new Response(null, { status, statusText: "Word" }));
    expect(outcome).toEqual({
      status: expected,
      output: `HTTP GET http://example.com/health: ${status} Word Output: `,
    });
  });

  test("the request is as the check says, fetch follows nothing, and it names itself", async () => {
    let seen: RequestInit = {};
    const check = http({ method: "post", body: "ping", headers: { "X-Key": "v" } });
    await runHttpCheck(check, policy, async (_, init) => {
      seen = init;
      return new Response("ok");
    });
    expect(seen).toMatchObject({ method: "POST", body: "ping", redirect: "manual" });
    const headers = new Headers(seen.headers);
    expect([headers.get("x-key"), headers.get("user-agent")]).toEqual(["v", USER_AGENT]);
  });

  /** Answers each URL as told; anything else is not found. */
  const site =
    (pages: Record<string, [status: number, location: string]>, seen: [string, RequestInit][] = []) =>
    async (url: URL, init: RequestInit): Promise<Response> => {
      seen.push([url.href, init]);
      const [status, location] = pages[url.href] ?? [200, ""];
      return new Response(null, { status, headers: location === "" ? {} : { location } });
    };

  test("redirects are followed, with method and body as Fetch says, and judged by the last answer", async () => {
    const seen: [string, RequestInit][] = [];
    const pages = site(
      {
        "http://example.com/health": [307, "/a"],
        "http://example.com/a": [302, "http://example.com:8080/b"],
        "http://example.com:8080/b": [200, ""],
      },
      seen,
    );
    const check = http({ method: "POST", body: "ping", headers: { "x-key": "v" } });
    expect((await runHttpCheck(check, policy, pages)).output).toMatch(/^HTTP POST http:\/\/example.com\/health: 200/);
    expect(seen.map(([url, { method, body }]) => [url, method, body])).toEqual([
      ["http://example.com/health", "POST", "ping"],
      ["http://example.com/a", "POST", "ping"],
      ["http://example.com:8080/b", "GET", undefined],
    ]);
    expect(new Headers(seen[2]![1].headers).get("x-key")).toBe("v");
  });

  test("another host gets none of the check's headers but its name, nor does a plain connection after a secure one", async () => {
    for (const [from, to] of [
      ["http://example.com/", "http://other.example.com/"],
      ["https://example.com/", "http://example.com/"],
    ] as const) {
      const seen: [string, RequestInit][] = [];
      const check = http({ url: from, headers: { "x-key": "v", "User-Agent": "mine" } });
      await runHttpCheck(check, policy, site({ [from]: [302, to] }, seen));
      const headers = new Headers(seen[1]![1].headers);
      expect([seen[1]![0], headers.get("x-key"), headers.get("user-agent")]).toEqual([to, null, "mine"]);
    }
  });

  test.each([
    ["http://169.254.169.254/latest", /refused.*metadata|link-local/],
    ["http://10.0.0.1/", /private/],
    ["file:///etc/passwd", /refused/],
    ["http://example.com/health", /stopped after 10 redirects/],
  ])("a redirect to %s is critical", async (location, expected) => {
    const seen: [string, RequestInit][] = [];
    const outcome = await runHttpCheck(http(), policy, site({ "http://example.com/health": [302, location] }, seen));
    expect(outcome).toMatchObject({ status: "critical", output: expect.stringMatching(expected) });
    expect(new Set(seen.map(([url]) => url))).toEqual(new Set(["http://example.com/health"]));
    expect(seen.length).toBeLessThanOrEqual(11);
  });

  test("redirects that are switched off are judged by their status", async () => {
    const pages = site({ "http://example.com/health": [301, "/a"] });
    expect((await runHttpCheck(http({ redirects: false }), policy, pages)).output).toContain("301");
  });

  test("a refused target is critical with the reason, and nothing is sent", async () => {
    for (const url of [
      "http://169.254.169.254/latest",
      "http://10.0.0.1/",
      "http://u:secret@example.com/",
      "ftp://x/",
      "?",
    ]) {
      const outcome = await runHttpCheck(http({ url }), policy, never);
      expect(outcome).toMatchObject({ status: "critical", output: expect.stringMatching(/refused/) });
      expect(outcome.output).not.toContain("secret");
    }
  });

  test("headers that cannot be sent are critical, not an exception", async () => {
    const outcome = await runHttpCheck(http({ headers: { "x-a": "1\r\nHost: other" } }), policy, never);
    expect(outcome.status).toBe("critical");
  });

  test("an endless body is read up to the output and then cancelled", async () => {
    let cancelled = false;
    let sentBytes = 0;
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        sentBytes += 1000;
        controller.enqueue(new Uint8Array(1000).fill(120));
      },
      cancel() {
        cancelled = true;
      },
    });
    const outcome = await runHttpCheck(http(), policy, async () => new Response(body, { status: 500 }));
    expect(new TextEncoder().encode(outcome.output).length).toBe(OUTPUT_BYTES_MAX);
    expect(cancelled).toBe(true);
    expect(sentBytes).toBeLessThan(3 * OUTPUT_BYTES_MAX);
  });

  test("a body that breaks off does not change the verdict", async () => {
    const body = new ReadableStream<Uint8Array>({
      pull(controller) {
        controller.error(new Error("reset"));
      },
    });
    expect((await runHttpCheck(http(), policy, async () => new Response(body))).status).toBe("passing");
  });

  test("an internal error of the runtime reads the same each time", async () => {
    const outputs = await Promise.all(
      ["a1", "b2"].map((id) =>
        runHttpCheck(http(), policy, () => Promise.reject(new Error(`internal error; reference = ${id}`))),
      ),
    );
    expect(outputs[0]).toEqual(outputs[1]);
  });
});

describe("tcp", () => {
  const connection = (opened: Promise<unknown>): Connection & { closes: number } => ({
    opened,
    closed: opened,
    closes: 0,
    async close() {
      this.closes++;
    },
  });

  test("passing when it opens, at the instance's address when the check names none, in the judged spelling", async () => {
    const seen: string[] = [];
    const socket = connection(Promise.resolve());
    const open = parseEgressPolicy({ HOLDFAST_EGRESS_ALLOW: "private" });
    const outcome = await runTcpCheck(tcp(), "0x7f.1", open, (address) => {
      seen.push(address);
      return socket;
    });
    expect([outcome.status, seen, socket.closes]).toEqual(["passing", ["127.0.0.1:5432"], 1]);
    await runTcpCheck(tcp({ host: "::1" }), "ignored", open, (address) => {
      seen.push(address);
      return socket;
    });
    expect(seen[1]).toBe("[::1]:5432");
  });

  test("critical with the reason when it fails, when it hangs, and when it is refused; always closed", async () => {
    const failing = connection(Promise.reject(new Error("connection refused")));
    expect(await runTcpCheck(tcp(), "example.com", policy, () => failing)).toEqual({
      status: "critical",
      output: "TCP connect example.com:5432: connection refused",
    });
    const hanging = connection(new Promise(() => {}));
    expect((await runTcpCheck(tcp(), "example.com", policy, () => hanging)).output).toMatch(
      /no connection within 50 ms/,
    );
    expect([failing.closes, hanging.closes]).toEqual([1, 1]);
    expect((await runTcpCheck(tcp(), "fd00:ec2::254", policy, never)).output).toMatch(/metadata/);
  });
});

describe("output", () => {
  test("control and direction characters and lone surrogates are dropped, lines stay", () => {
    expect(cleanOutput("a\u0000b\u001b[31m\r\nc\td\u202ee\u0085\ud800f")).toBe("ab[31m\nc\tde\ufffdf");
  });

  test("never over 4 KiB, never within a character", () => {
    const cut = cleanOutput("ü".repeat(4000) + "x");
    expect(cut).toBe("ü".repeat(2048));
    expect(cleanOutput(`a${"€".repeat(3000)}`)).toBe(`a${"€".repeat(1365)}`);
  });

  test("timeouts are kept within 10 ms and a minute", () => {
    expect([0, 10, 61_000, Number.NaN].map(timeoutOf)).toEqual([10, 10, 60_000, 10_000]);
  });
});
