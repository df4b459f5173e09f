/** `holdfast serve` as a process, with a placeholder Worker in workerd. */
import { execFileSync } from "node:child_process";
import { existsSync, readFileSync, statSync, writeFileSync } from "node:fs";
import http from "node:http";
import net, { type AddressInfo } from "node:net";
import { once } from "node:events";
import { delimiter, join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import {
  HoldfastProcess,
  isAlive,
  PLACEHOLDER,
  RunningServe,
  runtimesOf,
  temporaryFolder,
} from "./holdfast-process.ts";

vi.setConfig({ testTimeout: 30_000 });

let folder: ReturnType<typeof temporaryFolder>;
let data: string;
const running: HoldfastProcess[] = [];

beforeEach(() => {
  folder = temporaryFolder();
  data = join(folder.path, "data");
});

afterEach(async () => {
  await Promise.all(running.splice(0).map((one) => one.stop()));
  folder[Symbol.dispose]();
});

async function start(
  args: string[] = [],
  options: Parameters<typeof RunningServe.start>[2] = {},
): Promise<RunningServe> {
  const serve = await RunningServe.start(data, args, options);
  running.push(serve);
  return serve;
}

function run(args: string[], env: Record<string, string> = {}): HoldfastProcess {
  const one = new HoldfastProcess(["serve", "--data", data, "--entry", PLACEHOLDER, ...args], { env });
  running.push(one);
  return one;
}

/** The process ended with this code and told why in one line. */
async function expectFailure(one: HoldfastProcess, code: number, line: RegExp): Promise<void> {
  const ended = await one.ended;
  expect(ended.stderr).toMatch(line);
  expect(ended.stderr.trim().split("\n")).toHaveLength(1);
  expect(ended.stdout).not.toContain("holdfast ready");
  expect(ended.code).toBe(code);
}

describe("start and stop", () => {
  test("the first start creates and prints the root token, the second one keeps it to itself", async () => {
    const first = await start();
    const token = readFileSync(join(data, "root-token"), "utf8").trim();
    expect(token).toMatch(/^hf_[\w-]{32}$/);
    expect(statSync(join(data, "root-token")).mode & 0o777).toBe(0o600);
    expect(statSync(data).mode & 0o777).toBe(0o700);
    expect(first.stdout.match(new RegExp(token, "g"))).toHaveLength(1);
    expect(JSON.parse(await first.get("/bindings"))).toEqual({
      HOLDFAST_ROOT_TOKEN: token,
      HOLDFAST_DATACENTER: "dc1",
      HOLDFAST_NODE: "holdfast",
      HOLDFAST_DOMAIN: "holdfast",
      HOLDFAST_EGRESS_ALLOW: "private",
      HOLDFAST_LOCAL: "1",
    });
    await first.stop();
    const second = await start();
    expect(second.stdout).not.toContain(token);
    expect(JSON.parse(await second.get("/bindings"))).toMatchObject({ HOLDFAST_ROOT_TOKEN: token });
  });

  test("it prints a line per surface and then one line that begins with `holdfast ready`", async () => {
    const serve = await start();
    const lines = serve.stdout.trim().split("\n");
    expect(lines.filter((line) => line.startsWith("holdfast ready"))).toEqual([lines.at(-1)]);
    for (const surface of ["api", "gateway", "doh"])
      expect(serve.stdout).toMatch(new RegExp(`^ {2}${surface} +http`, "m"));
    expect(serve.stdout).not.toMatch(/zookeeper|etcd|nacos|eureka|xds/);
  });

  test.each(["SIGTERM", "SIGINT"] as const)(
    "%s ends it with exit code 0 and leaves nothing running",
    async (signal) => {
      const serve = await start();
      const runtimes = runtimesOf(serve.pid);
      expect(runtimes).toHaveLength(1);
      expect(readFileSync(join(data, "address"), "utf8")).toBe(`${serve.address}\n`);
      const ended = await serve.stop(signal);
      expect(ended).toMatchObject({ code: 0, stderr: "" });
      expect(runtimes.filter(isAlive)).toEqual([]);
      expect(existsSync(join(data, "address"))).toBe(false);
    },
  );

  test("SIGTERM while it is starting ends it with exit code 0", async () => {
    const serve = run(["--no-agent", "--port", "0"]);
    await serve.says(/root token/);
    expect((await serve.stop()).code).toBe(0);
    expect(serve.stdout).not.toContain("holdfast ready");
  });

  test("state is kept across a stop", async () => {
    const first = await start();
    expect(await first.get("/count")).toBe("1");
    await first.stop();
    expect(await (await start()).get("/count")).toBe("2");
  });

  test("it listens for DNS and etcd, and only for what is built", async () => {
    const ports = { dns: await closedPort(), etcd: await closedPort() };
    const serve = run(["--port", "0", "--dns-port", String(ports.dns), "--etcd-port", String(ports.etcd)]);
    await serve.says(/^holdfast ready/m);
    for (const [name, port] of Object.entries(ports)) {
      expect(serve.stdout).toMatch(new RegExp(`^ {2}${name} +127\\.0\\.0\\.1:${port} `, "m"));
      const socket = net.connect(port, "127.0.0.1");
      await once(socket, "connect");
      socket.destroy();
    }
    expect(serve.stdout).not.toMatch(/^ {2}zookeeper/m);
  });
});

describe("crashes", () => {
  test("killed, it takes workerd along, and starts again on the same port and state", async () => {
    const first = await start();
    const port = new URL(first.address).port;
    expect(await first.get("/count")).toBe("1");
    const runtimes = runtimesOf(first.pid);
    expect(runtimes).toHaveLength(1);
    await first.stop("SIGKILL");
    const second = await start(["--port", port]);
    expect(runtimes.filter(isAlive)).toEqual([]);
    expect(await second.get("/count")).toBe("2");
  });

  test("a killed workerd comes back on the same port and state", async () => {
    const serve = await start();
    expect(await serve.get("/count")).toBe("1");
    for (const pid of runtimesOf(serve.pid)) process.kill(pid, "SIGKILL");
    await serve.says(/workerd is back/);
    expect(await serve.get("/count")).toBe("2");
    expect((await serve.stop()).code).toBe(0);
  });
});

describe("crashes without end", () => {
  test("a workerd that keeps ending is given up, with exit code 1", async () => {
    const serve = await start();
    for (let round = 1; round <= 6; round++) {
      for (const pid of runtimesOf(serve.pid)) process.kill(pid, "SIGKILL");
      if (round <= 5) await serve.says(new RegExp(`(workerd is back[^]*){${round}}`));
    }
    const ended = await serve.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toContain("workerd ends again and again");
    expect(existsSync(join(data, "address"))).toBe(false);
  });
});

describe("refusals", () => {
  test("a taken port of the edge", async () => {
    await using taken = await listener();
    await expectFailure(
      run(["--port", String(taken.port)]),
      1,
      new RegExp(`^holdfast: port ${taken.port} on 127.0.0.1 is taken`),
    );
  });

  test.each(["dns", "etcd"])("a taken port of the agent: %s", async (name) => {
    await using taken = await listener();
    const others = ["--dns-port", "0", "--etcd-port", "0"];
    const one = run(["--port", "0", ...others, `--${name}-port`, String(taken.port)]);
    await expectFailure(one, 1, new RegExp(`^holdfast: port ${taken.port} on 127.0.0.1 is taken`));
  });

  test("a data folder that is in use", async () => {
    const serve = await start();
    await expectFailure(
      run(["--port", "0", "--no-agent"]),
      1,
      new RegExp(`in use by another edge \\(${serve.address}\\)`),
    );
    expect(await serve.get("/health/ready")).toBe("ready");
  });

  test.each([
    ["--open beyond loopback", ["--open", "--host", "0.0.0.0"], {}, 1, /^holdfast: --open is for loopback only/],
    ["a short root token", ["--root-token", "short"], {}, 1, /^holdfast: --root-token: .* 16 to 512 characters/],
    ["a short root token in the environment", [], { HOLDFAST_ROOT_TOKEN: "short" }, 1, /16 to 512 characters/],
    ["a port that is none", ["--port", "eighty"], {}, 2, /^holdfast: --port: "eighty" is not a port/],
    ["a port that is none in the environment", [], { HOLDFAST_DNS_PORT: "65536" }, 2, /"65536" is not a port/],
    ["an unknown option", ["--prot", "80"], {}, 2, /^holdfast: unknown option '--prot'/],
    ["a foreign address", ["--host", "192.0.2.1"], {}, 1, /not one of this machine/],
  ] as const)("%s", async (_name, args, env, code, line) => {
    await expectFailure(run(["--port", "0", "--no-agent", ...args], env), code, line);
    expect(existsSync(join(data, "root-token"))).toBe(false);
  });

  test.each([
    ["does not parse", "export default {", /cannot bundle the edge: .*broken\.ts:1: /],
    [
      "throws when it is loaded",
      "throw new Error('not today'); export default {}",
      /the edge did not start: .*not today/,
    ],
  ])("a Worker that %s", async (_name, source, line) => {
    const entry = join(folder.path, "broken.ts");
    writeFileSync(entry, source);
    const one = new HoldfastProcess(["serve", "--data", data, "--port", "0", "--no-agent", "--entry", entry]);
    const ended = await one.ended;
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(line);
  });
});

describe("tokens", () => {
  test("a given root token is used instead of the stored one, and forgotten at the end", async () => {
    await (await start()).stop();
    const stored = readFileSync(join(data, "root-token"), "utf8");
    const serve = await start(["--root-token", "0123456789abcdef"]);
    expect(JSON.parse(await serve.get("/bindings"))).toMatchObject({ HOLDFAST_ROOT_TOKEN: "0123456789abcdef" });
    expect(serve.stdout).not.toContain("0123456789abcdef");
    expect(readFileSync(join(data, "root-token"), "utf8")).toBe(stored);
    expect(statSync(join(data, "token-override")).mode & 0o777).toBe(0o600);
    await serve.stop();
    expect(existsSync(join(data, "token-override"))).toBe(false);
  });

  test("--open creates no token and says so", async () => {
    const serve = await start(["--open"]);
    expect(existsSync(join(data, "root-token"))).toBe(false);
    expect(serve.stdout).toContain("without a token");
    expect(JSON.parse(await serve.get("/bindings"))).toMatchObject({ HOLDFAST_OPEN: "1" });
  });
});

describe("the Worker's network", () => {
  test("loopback can be reached, the metadata address cannot", async () => {
    const upstream = http.createServer((_, response) => response.end("upstream"));
    upstream.listen(0, "127.0.0.1");
    await once(upstream, "listening");
    const at = `127.0.0.1:${(upstream.address() as AddressInfo).port}`;
    try {
      const serve = await start();
      expect(await serve.get(`/fetch?to=http://${at}/`)).toBe("upstream");
      expect(await serve.get(`/connect?to=${at}`)).toBe("opened");
      expect(await serve.get("/fetch?to=http://169.254.169.254/")).toMatch(/^refused/);
      expect(await serve.get("/connect?to=169.254.169.254:80")).toMatch(/^refused/);
      // The log tells that it was the rule, and not the lack of a route.
      await serve.says(/blocked by restrictPeers/);
    } finally {
      upstream.close();
    }
  });
});

describe("an old Node", () => {
  const old = (process.env["PATH"] ?? "")
    .split(delimiter)
    .map((part) => join(part, "node"))
    .find((path) => existsSync(path) && Number(/^v(\d+)/.exec(execFileSync(path, ["-v"]).toString())?.[1]) < 22);

  test.skipIf(old === undefined)(
    "starts the checkout's Node, and passes signals and the exit code through",
    async () => {
      const serve = await start([], { node: old as string });
      expect(await serve.get("/count")).toBe("1");
      const runtimes = runtimesOf(serve.pid);
      expect(runtimes).toHaveLength(1);
      expect((await serve.stop()).code).toBe(0);
      expect(runtimes.filter(isAlive)).toEqual([]);
      const refused = new HoldfastProcess(["serve", "--port", "x"], { node: old as string });
      await expectFailure(refused, 2, /not a port/);
    },
  );

  test.skipIf(old === undefined)("killed, takes the rest along", async () => {
    const serve = await start([], { node: old as string });
    // The pipes close when the last process that holds them is gone.
    await serve.stop("SIGKILL");
    await using again = await listener(Number(new URL(serve.address).port));
    expect(again.port).toBeGreaterThan(0);
  });
});

async function listener(port = 0): Promise<AsyncDisposable & { port: number }> {
  const server = net.createServer();
  server.listen(port, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    [Symbol.asyncDispose]: async () => {
      server.close();
      await once(server, "close");
    },
  };
}

async function closedPort(): Promise<number> {
  await using one = await listener();
  return one.port;
}
