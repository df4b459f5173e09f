/** The whole way: registered at the edge, run by the agent inside `serve`, told to the edge. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { closedPort, grpcServer, health, udpServer } from "./servers.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--dns-port", "0", "--node", "Here", "--enable-script-checks"]);
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
    expect((await register("grpc", { node: "here", checks: [check] })).json).toMatchObject({
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
    await edge.put("/nodes/Here", { address: "127.0.0.1", checks: [{ type: "script", args: ["true"], interval: 1 }] });
    await until("loose", "passing");
    await edge.until("/nodes/here", ({ json }) => json.status === "passing");
    expect((await edge.api("/nodes/here")).json.checks[0]).toMatchObject({ status: "passing", output: "" });
    expect((await edge.api("/services/web/instances/other")).json.checks[0]).toMatchObject({
      output: "no agent has run this check yet",
    });
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
