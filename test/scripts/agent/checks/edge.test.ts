/** The whole way: registered at the edge, run by the agent inside `serve`, told to the edge. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { closedPort, grpcServer, health, udpServer } from "./servers.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--dns-port", "0", "--enable-script-checks"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const register = (id: string, body: object) =>
  edge.put(`/services/web/instances/${id}`, { address: "127.0.0.1", port: 80, ...body });
/** The instance once its first check is so. */
const until = (id: string, status: string) =>
  edge.until(`/services/web/instances/${id}`, ({ json }) => json.checks[0].status === status);

describe("the agent", () => {
  test("is told of the first check that is ever registered, runs it, and follows what it says", async () => {
    let status = 1;
    await using server = await grpcServer(() => ({ message: health(status) }));
    const check = { type: "grpc", port: server.port, interval: 1 };
    expect((await register("grpc", { node: "Holdfast", checks: [check] })).json).toMatchObject({
      status: "critical",
      checks: [{ output: "no agent has run this check yet" }],
    });
    expect((await until("grpc", "passing")).json).toMatchObject({
      status: "passing",
      checks: [{ output: `gRPC check 127.0.0.1:${server.port}: success` }],
    });
    status = 2;
    expect((await until("grpc", "critical")).json).toMatchObject({
      status: "critical",
      checks: [{ output: `gRPC check 127.0.0.1:${server.port}: NOT_SERVING` }],
    });
  });

  test("runs the checks of instances without a node, of its node itself, and of no other node", async () => {
    await using server = await udpServer();
    const check = { type: "udp", port: server.port, interval: 1 };
    await register("loose", { checks: [check] });
    await register("other", { node: "there", checks: [{ ...check, port: await closedPort() }] });
    await edge.put("/nodes/holdfast", {
      address: "127.0.0.1",
      checks: [{ type: "script", args: ["true"], interval: 1 }],
    });
    await until("loose", "passing");
    await edge.until("/nodes/holdfast", ({ json }) => json.status === "passing");
    expect((await edge.api("/nodes/holdfast")).json.checks[0]).toMatchObject({ status: "passing", output: "" });
    expect((await edge.api("/services/web/instances/other")).json.checks[0]).toMatchObject({
      output: "no agent has run this check yet",
    });
  });

  test("runs what Consul's clients register with their agent", async () => {
    await using server = await grpcServer((service) => ({ message: health(service === "pay" ? 1 : 2) }), true);
    const GRPC = `127.0.0.1:${server.port}/pay`;
    const Check = { GRPC, GRPCUseTLS: true, TLSSkipVerify: true, Interval: "1s" };
    const put = await edge.ask("/v1/agent/service/register", { method: "PUT", body: { Name: "pay", Port: 1, Check } });
    expect(put.status).toBe(200);
    const index = (reply: { headers: Headers }): string => reply.headers.get("x-consul-index") ?? "";
    let reply = await edge.ask("/v1/health/checks/pay");
    for (let asked = 0; reply.json[0].Status !== "passing" && asked < 5; asked++) {
      reply = await edge.ask(`/v1/health/checks/pay?index=${index(reply)}&wait=10s`);
    }
    expect(reply.json[0]).toMatchObject({ Status: "passing", Output: `gRPC check ${GRPC}: success`, Type: "grpc" });
  });

  test("finds namespaces that come later", async () => {
    await using server = await grpcServer(() => ({}));
    const check = { type: "h2ping", port: server.port, tls: false, interval: 1 };
    const path = "/api/v1/namespaces/team/services/web/instances/h2";
    await edge.ask(path, { method: "PUT", body: { address: "127.0.0.1", checks: [check] } });
    const deadline = performance.now() + 20_000;
    let output = "";
    while (output !== "HTTP2 ping was successful" && performance.now() < deadline) {
      output = (await edge.ask(path)).json.checks[0].output;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    expect(output).toBe("HTTP2 ping was successful");
  });
});
