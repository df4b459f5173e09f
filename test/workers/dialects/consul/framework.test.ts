/** What holds for every path of Consul's API: routing, methods, error forms, parameters. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
});
afterAll(async () => {
  await edge.stop();
});

const ask = async (path: string, init: Parameters<Edge["request"]>[1] = {}) => {
  const response = await edge.request(path, { ...init });
  return { status: response.status, headers: response.headers, text: await response.text() };
};

describe("routing", () => {
  test("a leader is there at once", async () => {
    expect(await ask("/v1/status/leader")).toMatchObject({ status: 200, text: '"127.0.0.1:8300"' });
  });

  test.each([
    ["/v1/nothing", 404, "Invalid URL path: not a recognized HTTP API endpoint\n"],
    ["/v1/status/leader/", 404, "Invalid URL path: not a recognized HTTP API endpoint\n"],
    ["/v1/status/leader?dc=elsewhere", 500, "No path to datacenter"],
    [
      "/v1/status/leader?partition=a",
      400,
      'Invalid query parameter: "partition" - Partitions are a Consul Enterprise feature',
    ],
  ])("%s", async (path, status, text) => {
    const reply = await ask(path);
    expect(reply).toMatchObject({ status, text });
    expect(reply.headers.get("content-type")).toBe("text/plain; charset=utf-8");
  });

  test("a wrong method names the right ones; OPTIONS lists them", async () => {
    const wrong = await ask("/v1/status/leader", { method: "PUT" });
    expect(wrong).toMatchObject({ status: 405, text: "method PUT not allowed" });
    expect(wrong.headers.get("allow")).toBe("GET");
    expect((await ask("/v1/status/leader", { method: "OPTIONS" })).headers.get("allow")).toBe("OPTIONS,GET");
  });

  test("?pretty is indented and ends with a line", async () => {
    expect((await ask("/v1/status/peers?pretty")).text).toBe('[\n    "127.0.0.1:8300"\n]\n');
  });

  test("without a token only what needs no right is told, with an unknown one nothing", async () => {
    expect(await ask("/v1/status/leader", { token: null })).toMatchObject({ status: 200 });
    const denied = await ask("/v1/operator/raft/configuration", { token: null });
    expect(denied.status).toBe(403);
    expect(denied.text).toMatch(/^Permission denied: anonymous token lacks permission 'operator:read'/);
    expect(await ask("/v1/status/leader", { token: "nobody's" })).toMatchObject({ status: 403, text: "ACL not found" });
  });
});
