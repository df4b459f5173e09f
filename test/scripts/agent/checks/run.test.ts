/** Each kind of check against a real server, or a real process. */
import { existsSync, mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, expect, test, vi } from "vitest";
import { parseEgressPolicy } from "../../../../objects/egress.ts";
import type { AgentCheck, GrpcCheck, Http2Check, ScriptCheck, UdpCheck } from "../../../../objects/model.ts";
import { OUTPUT_BYTES_MAX } from "../../../../objects/probing/output.ts";
import { runAgentCheck } from "../../../../scripts/agent/checks/run.ts";
import { isAlive } from "../../serve/holdfast-process.ts";
import { closedPort, grpcServer, health, silentServer, udpServer } from "./servers.ts";

const policy = parseEgressPolicy({ HOLDFAST_EGRESS_ALLOW: "private" });
const never = new AbortController().signal;
const common = {
  id: "c",
  name: "c",
  notes: "",
  successThreshold: 1,
  failureThreshold: 1,
  warningThreshold: 1,
  deregisterAfterMs: null,
  intervalMs: 1000,
  timeoutMs: 5000,
};
const tls = { tls: false, tlsSkipVerify: false, tlsServerName: "" };
const udp = (port: number, change: Partial<UdpCheck> = {}): UdpCheck => ({
  ...common,
  type: "udp",
  host: "127.0.0.1",
  port,
  ...change,
});
const grpc = (port: number, change: Partial<GrpcCheck> = {}): GrpcCheck => ({
  ...common,
  ...tls,
  type: "grpc",
  host: "127.0.0.1",
  port,
  grpcService: "",
  ...change,
});
const h2ping = (port: number, change: Partial<Http2Check> = {}): Http2Check => ({
  ...common,
  ...tls,
  type: "h2ping",
  host: "127.0.0.1",
  port,
  ...change,
});
const script = (args: string[], change: Partial<ScriptCheck> = {}): ScriptCheck => ({
  ...common,
  type: "script",
  args,
  ...change,
});

const run = (check: AgentCheck, options: Partial<Parameters<typeof runAgentCheck>[2]> = {}) =>
  runAgentCheck(check, "127.0.0.1", { policy, scripts: true, signal: never, ...options });

describe("udp", () => {
  test("passes when the port answers, with an empty datagram", async () => {
    await using server = await udpServer();
    const output = `UDP connect 127.0.0.1:${server.port}: Success`;
    expect(await run(udp(server.port, { timeoutMs: 60_000 }))).toEqual({ status: "passing", output });
    expect(server.received).toEqual([Buffer.alloc(0)]);
  });

  test("passes when the port is silent, once the time is over", async () => {
    await using server = await udpServer(true);
    const output = `UDP connect 127.0.0.1:${server.port}: Success`;
    expect(await run(udp(server.port, { timeoutMs: 50 }))).toEqual({ status: "passing", output });
    expect(server.received).toHaveLength(1);
  });

  test("is critical when the port is refused", async () => {
    const port = await closedPort();
    expect(await run(udp(port, { timeoutMs: 60_000 }))).toEqual({
      status: "critical",
      output: expect.stringMatching(`^UDP connect 127.0.0.1:${port}: .*ECONNREFUSED`) as string,
    });
  });

  test("goes to the subject's address when it names no host, also by name", async () => {
    await using server = await udpServer();
    expect(
      await runAgentCheck(udp(server.port, { host: "" }), "localhost", { policy, scripts: false, signal: never }),
    ).toEqual({
      status: "passing",
      output: `UDP connect localhost:${server.port}: Success`,
    });
  });
});

describe("grpc", () => {
  test("passes on SERVING, and asks as the protocol says", async () => {
    await using server = await grpcServer(() => ({ message: health(1) }));
    expect(await run(grpc(server.port))).toEqual({
      status: "passing",
      output: `gRPC check 127.0.0.1:${server.port}: success`,
    });
    expect(server.asked[0]).toMatchObject({
      ":method": "POST",
      ":path": "/grpc.health.v1.Health/Check",
      "content-type": "application/grpc",
      te: "trailers",
    });
  });

  test("asks about one service, however long its name", async () => {
    const name = "s".repeat(120);
    await using server = await grpcServer((service) =>
      service === name ? { message: health(1) } : { code: 5, text: `unknown service: ${service}` },
    );
    expect(await run(grpc(server.port, { grpcService: name }))).toMatchObject({ status: "passing" });
    expect(await run(grpc(server.port, { grpcService: "other" }))).toEqual({
      status: "critical",
      output: `gRPC check 127.0.0.1:${server.port}/other: gRPC status 5: unknown service: other`,
    });
  });

  test.each([
    ["NOT_SERVING", { message: health(2) }],
    // No field is the default value.
    ["UNKNOWN", { message: Uint8Array.of() }],
    ["SERVICE_UNKNOWN", { message: health(3) }],
    ["status 9", { message: health(9) }],
    ["gRPC status 12: not there", { code: 12, text: "not there" }],
    ["HTTP status 502", { httpStatus: 502 }],
    ["the answer is no health message", { message: Uint8Array.of(0x08, 0x80) }],
    ["the answer is no health message", { message: Uint8Array.of(0x0f, 1) }],
    ["the answer is no health message", { message: Uint8Array.of(0x08, 1, 0x12, 5) }],
    ["the answer is too large", { message: new Uint8Array(10_000) }],
  ])("is critical: %s", async (reason, answer) => {
    await using server = await grpcServer(() => answer);
    expect(await run(grpc(server.port))).toEqual({
      status: "critical",
      output: `gRPC check 127.0.0.1:${server.port}: ${reason}`,
    });
  });

  test("fields that are not known are skipped", async () => {
    const message = Uint8Array.of(0x12, 2, 65, 66, 0x1d, 0, 0, 0, 0, 0x08, 1, 0x21, 0, 0, 0, 0, 0, 0, 0, 0);
    await using server = await grpcServer(() => ({ message }));
    expect(await run(grpc(server.port))).toMatchObject({ status: "passing" });
  });

  test("over TLS a certificate that nobody vouches for is refused, unless any will do", async () => {
    await using server = await grpcServer(() => ({ message: health(1) }), true);
    expect(await run(grpc(server.port, { tls: true }))).toMatchObject({
      status: "critical",
      output: expect.stringMatching(/self-signed/) as string,
    });
    expect(server.asked).toEqual([]);
    expect(await run(grpc(server.port, { tls: true, tlsSkipVerify: true }))).toMatchObject({ status: "passing" });
    const named = grpc(server.port, { tls: true, tlsSkipVerify: true, tlsServerName: "api.example" });
    expect(await run(named)).toMatchObject({ status: "passing" });
    expect(server.asked[1]![":authority"]).toBe(`api.example:${server.port}`);
    expect(await run(grpc(server.port))).toMatchObject({ status: "critical" });
  });

  test("is critical when nobody listens, and when nobody answers", async () => {
    expect((await run(grpc(await closedPort()))).output).toMatch(/ECONNREFUSED/);
    await using server = await silentServer();
    expect(await run(grpc(server.port, { timeoutMs: 50 }))).toEqual({
      status: "critical",
      output: `gRPC check 127.0.0.1:${server.port}: no answer within 50 ms`,
    });
  });
});

describe("h2ping", () => {
  test("passes when the ping is acknowledged, plain and over TLS", async () => {
    const expected = { status: "passing", output: "HTTP2 ping was successful" };
    await using plain = await grpcServer(() => ({}));
    await using secure = await grpcServer(() => ({}), true);
    expect(await run(h2ping(plain.port))).toEqual(expected);
    expect(await run(h2ping(secure.port, { tls: true, tlsSkipVerify: true }))).toEqual(expected);
    expect((await run(h2ping(secure.port, { tls: true }))).output).toMatch(/^HTTP2 ping 127.*self-signed/);
  });

  test("is critical when nobody listens, speaks HTTP/2 or answers", async () => {
    expect((await run(h2ping(await closedPort()))).output).toMatch(/ECONNREFUSED/);
    await using secure = await grpcServer(() => ({}), true);
    expect(await run(h2ping(secure.port))).toMatchObject({ status: "critical" });
    await using silent = await silentServer();
    expect((await run(h2ping(silent.port, { timeoutMs: 50 }))).output).toMatch(/no answer within 50 ms/);
  });
});

describe("script", () => {
  const folders: string[] = [];
  afterEach(() => {
    for (const folder of folders.splice(0)) rmSync(folder, { recursive: true });
  });

  test.each([
    [0, "passing"],
    [1, "warning"],
    [2, "critical"],
    [127, "critical"],
  ])("exit code %i is %s, with what it said", async (code, status) => {
    expect(await run(script(["sh", "-c", `echo out; echo err >&2; exit ${code}`]))).toEqual({
      status,
      output: "out\nerr\n",
    });
  });

  test("gets its arguments as they are: no shell reads them", async () => {
    expect((await run(script(["printf", "%s|", "a b", "$HOME", "; exit 3"]))).output).toBe("a b|$HOME|; exit 3|");
  });

  test("gets none of our settings", async () => {
    vi.stubEnv("HOLDFAST_ROOT_TOKEN", "secret");
    try {
      const { output } = await run(script(["env"]));
      expect(output).toContain("PATH=");
      expect(output).not.toContain("HOLDFAST");
    } finally {
      vi.unstubAllEnvs();
    }
  });

  test("that hangs is killed with all it started when its time is over", async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-script-"));
    folders.push(folder);
    const pidFile = join(folder, "pid");
    const args = ["sh", "-c", `sleep 1000 & echo $! > ${pidFile}; echo begun; wait`];
    expect(await run(script(args, { timeoutMs: 2000 }))).toEqual({
      status: "critical",
      output: "Script sh: no answer within 2000 ms",
    });
    expect(existsSync(pidFile)).toBe(true);
    const pid = Number(readFileSync(pidFile, "utf8"));
    await vi.waitFor(() => expect(isAlive(pid)).toBe(false), { timeout: 10_000 });
  });

  test("that leaves something behind is judged by its exit code, and what it left ends with its time", async () => {
    const outcome = await run(script(["sh", "-c", "sleep 1000 & echo $!; exit 1"], { timeoutMs: 2000 }));
    expect(outcome.status).toBe("warning");
    await vi.waitFor(() => expect(isAlive(Number(outcome.output))).toBe(false), { timeout: 10_000 });
  });

  test("shows the last 4 KiB of what it says, in whole characters", async () => {
    const { output } = await run(script(["node", "-e", `process.stdout.write("ü".repeat(50000) + "end")`]));
    const bytes = Buffer.byteLength(output);
    expect(bytes).toBeGreaterThan(OUTPUT_BYTES_MAX - 4);
    expect(bytes).toBeLessThanOrEqual(OUTPUT_BYTES_MAX);
    expect(output).toMatch(/^ü+end$/);
  });

  test("that cannot be started, or is ended by a signal, is critical", async () => {
    expect((await run(script(["/no/such/command"]))).output).toMatch(/^Script \/no\/such\/command: .*ENOENT/);
    expect(await run(script(["sh", "-c", "echo so far; kill -TERM $$"]))).toEqual({
      status: "critical",
      output: "ended by SIGTERM\nso far\n",
    });
  });

  test("is killed when the agent ends", async () => {
    const ending = new AbortController();
    const folder = mkdtempSync(join(tmpdir(), "holdfast-script-"));
    folders.push(folder);
    const pidFile = join(folder, "pid");
    const running = run(script(["sh", "-c", `echo $$ > ${pidFile}; exec sleep 1000`], { timeoutMs: 60_000 }), {
      signal: ending.signal,
    });
    await vi.waitFor(() => expect(readFileSync(pidFile, "utf8")).toMatch(/\d\n/), { timeout: 10_000 });
    ending.abort(new Error("the agent ends"));
    expect((await running).output).toMatch(/the agent ends/);
    expect(isAlive(Number(readFileSync(pidFile, "utf8")))).toBe(false);
  });

  test("is not started where scripts are not allowed", async () => {
    const folder = mkdtempSync(join(tmpdir(), "holdfast-script-"));
    folders.push(folder);
    const trace = join(folder, "trace");
    expect(await run(script(["touch", trace]), { scripts: false })).toEqual({
      status: "critical",
      output: "Script touch: scripts are disabled on this agent (--enable-script-checks)",
    });
    expect(existsSync(trace)).toBe(false);
  });
});

describe("the guard", () => {
  const publicOnly = parseEgressPolicy({});

  test.each([
    ["169.254.169.254", /link-local|metadata/],
    ["metadata.google.internal", /metadata/],
    ["0x7f.1", /loopback/],
    ["localhost", /loopback/],
    ["10.0.0.1", /private/],
    ["224.0.0.1", /multicast/],
  ])("refuses %s to every kind that goes out", async (host, expected) => {
    for (const check of [udp(9, { host }), grpc(9, { host }), h2ping(9, { host })]) {
      expect(await run(check, { policy: publicOnly })).toMatchObject({
        status: "critical",
        output: expect.stringMatching(expected) as string,
      });
    }
  });
});
