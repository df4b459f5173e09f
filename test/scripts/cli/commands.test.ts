/** The command as a process, before a server that answers as the native API does. */
import { readFileSync, writeFileSync, existsSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { HoldfastProcess, temporaryFolder, type Ended } from "../serve/holdfast-process.ts";
import { answerJson, answerProblem, FakeEdge, type Answerer } from "./fake-edge.ts";

vi.setConfig({ testTimeout: 20_000 });

let scope: ReturnType<typeof temporaryFolder>;
let edge: FakeEdge;
let answer: Answerer;

beforeEach(async () => {
  scope = temporaryFolder();
  answer = (_, response) => answerJson(response, {});
  edge = await FakeEdge.start((asked, response) => answer(asked, response));
});

afterEach(async () => {
  await edge[Symbol.asyncDispose]();
  scope[Symbol.dispose]();
});

function start(...args: string[]): HoldfastProcess {
  return new HoldfastProcess(args, { env: { HOLDFAST_ADDR: edge.address, HOLDFAST_TOKEN: "t" } });
}

function run(...args: string[]): Promise<Ended> {
  return start(...args).ended;
}

const WEB = { service: "web", id: "web-1", address: "10.0.0.1", ports: { default: 80 }, status: "passing", weight: 1 };

describe("tables and JSON", () => {
  test("resolve", async () => {
    answer = (_, response) =>
      answerJson(response, { name: "web", revision: 7, instances: [{ ...WEB, adminState: "up" }] });
    const { stdout, code } = await run("resolve", "web", "--pick", "1");
    expect(stdout).toBe("ID     ADDRESS      STATUS   WEIGHT  ZONE  TAGS\nweb-1  10.0.0.1:80  passing  1\n");
    expect(code).toBe(0);
    expect(edge.asked[0]?.path).toBe("/resolve/web?healthy=true&pick=1");
    const machine = await run("resolve", "web", "--json");
    expect(JSON.parse(machine.stdout)).toMatchObject({ revision: 7, instances: [{ id: "web-1" }] });
  });

  test("resolve of what is nowhere is exit code 3, in both forms", async () => {
    answer = (_, response) => answerJson(response, { name: "web", revision: 7, instances: [] });
    expect(await run("resolve", "web")).toMatchObject({
      code: 3,
      stdout: "",
      stderr: "holdfast: no healthy instance of web\n",
    });
    const machine = await run("resolve", "web", "--json");
    expect(machine.code).toBe(3);
    expect(JSON.parse(machine.stdout)).toMatchObject({ instances: [] });
  });

  test("services", async () => {
    const service = { name: "web", class: "balanced", instanceCount: 3, healthyCount: 2, tags: ["a", "b"] };
    answer = (_, response) => answerJson(response, { services: [service] });
    expect((await run("services")).stdout).toBe("NAME  CLASS     HEALTHY  TAGS\nweb   balanced  2/3      a,b\n");
  });

  test("nodes, page by page, and the instances on one", async () => {
    const node = (name: string, ...statuses: string[]) => ({
      name,
      address: "10.0.0.1",
      status: statuses.includes("critical") ? "critical" : "passing",
      checks: statuses.map((status) => ({ status })),
    });
    answer = ({ path }, response) => {
      if (path === "/nodes/n1/instances") answerJson(response, { instances: [WEB], after: null });
      else if (path === "/nodes") answerJson(response, { nodes: [node("n1", "passing", "critical")], after: "n1" });
      else answerJson(response, { nodes: [node("n2")], after: null });
    };
    expect((await run("nodes")).stdout).toBe(
      "NODE  ADDRESS   STATUS    CHECKS\nn1    10.0.0.1  critical  1/2\nn2    10.0.0.1  passing   0/0\n",
    );
    expect(edge.asked[1]?.path).toBe("/nodes?after=n1");
    expect((await run("nodes", "n1")).stdout).toBe(
      "SERVICE  ID     ADDRESS      STATUS\nweb      web-1  10.0.0.1:80  passing\n",
    );
    expect(JSON.parse((await run("nodes", "--json")).stdout)).toMatchObject({
      nodes: [{ name: "n1" }, { name: "n2" }],
    });
  });

  test("kv list shows text, and escapes what would drive the terminal", async () => {
    const item = { key: "a", value: Buffer.from("\u001b[2Jx").toString("base64"), modRevision: 5 };
    answer = (_, response) => answerJson(response, { items: [item] });
    expect((await run("kv", "list", "a")).stdout).toBe(
      "KEY  REVISION  BYTES  VALUE\na    5         5      \\u001b[2Jx\n",
    );
  });

  test("kv get prints the bytes as they are", async () => {
    answer = (_, response) => response.end("no newline");
    expect((await run("kv", "get", "k")).stdout).toBe("no newline");
  });

  test("kv put reads from stdin", async () => {
    const put = start("kv", "put", "k", "-");
    put.child.stdin?.end("from stdin");
    expect(await put.ended).toMatchObject({ code: 0, stdout: "revision 7\n" });
    expect(edge.asked[0]).toMatchObject({ method: "PUT", path: "/kv/k", body: "from stdin" });
  });
});

describe("exit codes", () => {
  test.each([
    [404, "not_found", 3],
    [401, "unauthenticated", 4],
    [403, "permission_denied", 4],
    [503, "unavailable", 5],
    [409, "conflict", 6],
    [400, "invalid_argument", 1],
  ])("HTTP %d %s is exit code %s, with one line on stderr", async (status, code, exit) => {
    answer = (_, response) => answerProblem(response, status, code);
    expect(await run("kv", "get", "k")).toEqual({ code: exit, stdout: "", stderr: "holdfast: told so\n" });
  });

  test("no edge is exit code 5", async () => {
    const closed = await FakeEdge.start(() => {});
    const { address } = closed;
    await closed[Symbol.asyncDispose]();
    expect(await run("status", "--addr", address)).toMatchObject({
      code: 5,
      stderr: `holdfast: cannot reach ${address}: nothing listens there\n`,
    });
  });

  test.each([
    [["nonsense"]],
    [["kv"]],
    [["kv", "get"]],
    [["kv", "put", "k"]],
    [["kv", "put", "k", "v", "--cas", "x"]],
    [["register", "web", "--ttl", "soon"]],
    [["register", "web", "--interval", "1s"]],
    [["register", "web", "node", "server.js"]],
    [["status", "--addr", "ftp://x"]],
  ])("%j is wrong usage", async (args) => {
    expect((await run(...args)).code).toBe(2);
    expect(edge.asked).toEqual([]);
  });

  test("--help is no error", async () => {
    const { code, stdout } = await run("register", "--help");
    expect(code).toBe(0);
    expect(stdout).toContain("--deregister-after");
  });
});

describe("register", () => {
  test("all that can be told of an instance", async () => {
    const options = "--id web-1 --address 10.0.0.1 --port 80 --port admin=81 --ttl 10s --tag a --tag b --meta k=v=w";
    const more =
      "--check http://10.0.0.1/up --interval 1s --deregister-after 5s --node n --zone z --weight 3 --private";
    const { stdout, code } = await run("register", "web", ...options.split(" "), ...more.split(" "));
    expect({ stdout, code }).toEqual({ stdout: "registered web/web-1 at revision 7\n", code: 0 });
    expect(edge.asked[0]).toMatchObject({ method: "PUT", path: "/services/web/instances/web-1" });
    expect(JSON.parse(edge.asked[0]?.body ?? "")).toEqual({
      address: "10.0.0.1",
      ports: { default: 80, admin: 81 },
      ttl: 10,
      tags: ["a", "b"],
      meta: { k: "v=w" },
      checks: [{ id: "check-1", type: "http", url: "http://10.0.0.1/up", interval: 1, deregisterAfter: 5 }],
      node: "n",
      locality: { zone: "z" },
      weight: 3,
      private: true,
    });
  });

  test("the address is that of the interface that leads to the edge", async () => {
    await run("register", "web", "--port", "80");
    expect(JSON.parse(edge.asked[0]?.body ?? "")).toMatchObject({ address: "127.0.0.1" });
  });

  test("held, it is renewed, registered again when the edge forgot it, and deregistered at the end", async () => {
    let beats = 0;
    answer = ({ method }, response) => {
      if (method === "POST" && ++beats === 2) return answerProblem(response, 404, "not_found");
      if (method === "POST" && beats === 3) return answerProblem(response, 503, "unavailable");
      answerJson(response, {});
    };
    const held = start("register", "web", "--id", "1", "--ttl", "60ms", "--hold");
    await edge.received(4, "POST", "/services/web/instances/1/heartbeat");
    const ended = await held.stop("SIGINT");
    expect(ended.code).toBe(0);
    expect(ended.stderr).toMatch(/holding web\/1[^]*registered again[^]*told so; trying on[^]*is back/);
    expect(edge.asked.filter(({ method }) => method === "PUT")).toHaveLength(2);
    expect(edge.asked.at(-1)).toMatchObject({ method: "DELETE", path: "/services/web/instances/1" });
  });

  test("around a command, it lasts as long as the command and ends with its exit code", async () => {
    const script = "process.stdout.write(process.argv[1]); process.exit(9)";
    const command = [process.execPath, "-e", script, "--", "--flag"];
    const { code, stdout } = await run("register", "web", "--id", "1", "--", ...command);
    expect({ code, stdout }).toEqual({ code: 9, stdout: "--flag" });
    expect(edge.asked.map(({ method }) => method)).toEqual(["PUT", "DELETE"]);
    expect(JSON.parse(edge.asked[0]?.body ?? "")).toMatchObject({ ttl: 15 });
  });

  test("a signal goes to the command, which is waited for", async () => {
    const script = "process.on('SIGTERM', () => process.exit(3)); setInterval(() => {}, 1000); console.log('up')";
    const held = start("register", "web", "--id", "1", "--", process.execPath, "-e", script);
    await held.says(/up/);
    expect((await held.stop("SIGTERM")).code).toBe(3);
    expect(edge.asked.at(-1)?.method).toBe("DELETE");
  });

  test("a command that cannot be registered is not started", async () => {
    answer = (_, response) => answerProblem(response, 403, "permission_denied");
    const { code, stdout } = await run("register", "web", "--id", "1", "--", "echo", "started");
    expect({ code, stdout }).toEqual({ code: 4, stdout: "" });
  });

  test("a command that does not exist is told, and the instance is taken out", async () => {
    const { code, stderr } = await run("register", "web", "--id", "1", "--", "/no/such/program");
    expect(code).toBe(1);
    expect(stderr).toMatch(/^holdfast: cannot run \/no\/such\/program/);
    expect(edge.asked.at(-1)?.method).toBe("DELETE");
  });
});

describe("watch", () => {
  const value = Buffer.from("on").toString("base64");
  const put = (revision: number): string =>
    `retry: 1\nid: ${revision}\nevent: put\ndata: ${JSON.stringify({ key: "app/x", value })}\n\n`;

  test("goes on after the last event when the connection ends, until interrupted", async () => {
    let connections = 0;
    answer = (_, response) => {
      response.writeHead(200, { "content-type": "text/event-stream" });
      if (++connections === 1) response.end(put(1) + "id: 4\nevent: progress\ndata: {}\n\n");
      else response.write(put(5));
    };
    const watch = start("watch", "--prefix", "app/");
    await watch.says(/^5/m);
    const { code, stdout } = await watch.stop("SIGINT");
    expect({ code, stdout }).toEqual({ code: 0, stdout: "1  put     app/x  on\n5  put     app/x  on\n" });
    expect(edge.asked.map(({ path, headers }) => [path, headers["last-event-id"]])).toEqual([
      ["/watch?prefix=app%2F", undefined],
      ["/watch?prefix=app%2F", "4"],
    ]);
  });

  test("ends with an error when history was compacted", async () => {
    answer = (_, response) => {
      const problem = JSON.stringify({ code: "compacted", detail: "compacted up to 9" });
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.end(`${put(1)}event: error\ndata: ${problem}\n\n`);
    };
    const ended = await run("watch", "--json", "--since", "0");
    expect(ended).toMatchObject({ code: 1, stderr: "holdfast: compacted up to 9\n" });
    expect(JSON.parse(ended.stdout)).toEqual({ event: "put", revision: 1, key: "app/x", value });
  });

  test("ends at once without a valid token", async () => {
    answer = (_, response) => answerProblem(response, 401, "unauthenticated");
    expect((await run("watch")).code).toBe(4);
  });
});

describe("snapshot", () => {
  test("save writes the whole stream, for the owner alone", async () => {
    answer = (_, response) => response.writeHead(200, { "x-holdfast-revision": "7" }).end('{"a":1}\n{"b":2}\n');
    const file = join(scope.path, "snapshot");
    expect(await run("snapshot", "save", file)).toMatchObject({
      code: 0,
      stdout: "saved revision 7: 16 bytes\n",
      stderr: "",
    });
    expect(readFileSync(file, "utf8")).toBe('{"a":1}\n{"b":2}\n');
    expect(await run("snapshot", "save", "-")).toMatchObject({ code: 0, stdout: '{"a":1}\n{"b":2}\n' });
  });

  test("a stream that breaks off leaves the old file alone", async () => {
    answer = (_, response) => {
      response.writeHead(200);
      response.write('{"a":1}\n', () => response.destroy());
    };
    const file = join(scope.path, "snapshot");
    writeFileSync(file, "old");
    const ended = await run("snapshot", "save", file);
    expect(ended.code).toBe(1);
    expect(ended.stderr).toMatch(/^holdfast: the snapshot is not complete/);
    expect(readFileSync(file, "utf8")).toBe("old");
    expect(existsSync(`${file}.part`)).toBe(false);
  });

  test("restore sends a file, and stdin", async () => {
    const file = join(scope.path, "snapshot");
    writeFileSync(file, "x".repeat(300_000));
    expect(await run("snapshot", "restore", file, "--force")).toMatchObject({
      code: 0,
      stdout: "restored at revision 7\n",
    });
    expect(edge.asked[0]).toMatchObject({ method: "POST", path: "/restore?force=true" });
    expect(edge.asked[0]?.body).toHaveLength(300_000);
    const piped = start("snapshot", "restore", "-");
    piped.child.stdin?.end("piped");
    expect((await piped.ended).code).toBe(0);
    expect(edge.asked[1]).toMatchObject({ path: "/restore", body: "piped" });
  });

  test("restore of what is not empty tells the server's reason", async () => {
    answer = (_, response) => answerProblem(response, 409, "conflict", "the namespace is not empty");
    writeFileSync(join(scope.path, "snapshot"), "x");
    const ended = await run("snapshot", "restore", join(scope.path, "snapshot"));
    expect(ended).toMatchObject({ code: 6, stderr: "holdfast: the namespace is not empty\n" });
  });

  test("restore of a file that cannot be read", async () => {
    expect(await run("snapshot", "restore", scope.path)).toMatchObject({ code: 1, stdout: "" });
    expect(await run("snapshot", "restore", join(scope.path, "none"))).toMatchObject({ code: 1, stdout: "" });
  });
});
