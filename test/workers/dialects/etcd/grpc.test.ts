/** What a gRPC call may do: what its own token lets it, whoever has brought it. */

import * as grpc from "@grpc/grpc-js";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN } from "../../../edge.ts";
import { EchoClient } from "../../../scripts/agent/grpc/echo.ts";
import { closedPort } from "../../../scripts/agent/checks/servers.ts";

let edge: Edge;
let client: EchoClient;
beforeAll(async () => {
  const port = await closedPort();
  edge = await Edge.start(["--etcd-port", String(port)]);
  client = new EchoClient(port);
});
afterAll(async () => {
  client.close();
  await edge[Symbol.asyncDispose]();
});

/** `{key: "a"}`, of a range as of a put. */
const KEY_A = Buffer.from([0x0a, 1, 0x61]);

function call(method: string, headers: Record<string, string> = {}, message = KEY_A): Promise<unknown> {
  const metadata = new grpc.Metadata();
  for (const [name, value] of Object.entries(headers)) metadata.set(name, value);
  return client.call(`/etcdserverpb.KV/${method}`, message, {}, metadata);
}

describe("the agent has the root token, and its clients have what they show", () => {
  test("nothing", async () => {
    const refused = { code: grpc.status.INVALID_ARGUMENT, details: "etcdserver: user name is empty" };
    await expect(call("Put")).rejects.toMatchObject(refused);
    await expect(call("Range")).rejects.toMatchObject(refused);
  });

  test("a token that nobody has", async () => {
    await expect(call("Put", { token: "guessed" })).rejects.toMatchObject({
      code: grpc.status.UNAUTHENTICATED,
      details: "etcdserver: invalid auth token",
    });
  });

  test.each([
    ["token", TOKEN],
    ["authorization", TOKEN],
    ["authorization", `Bearer ${TOKEN}`],
  ])("a token as %s", async (name, value) => {
    await expect(call("Put", { [name]: value })).resolves.toBeDefined();
  });
});

describe("bad input", () => {
  test("bytes that are no message", async () => {
    await expect(call("Range", { token: TOKEN }, Buffer.from([0x0a, 200]))).rejects.toMatchObject({
      code: grpc.status.INTERNAL,
      details: expect.stringContaining("grpc: error unmarshalling request"),
    });
  });

  test("a method that there is not", async () => {
    await expect(call("Steal", { token: TOKEN })).rejects.toMatchObject({
      code: grpc.status.UNIMPLEMENTED,
      details: "unknown method Steal for service etcdserverpb.KV",
    });
  });

  test("a stream whose messages are none ends with a status", async () => {
    const metadata = new grpc.Metadata();
    metadata.set("token", TOKEN);
    const identity = (value: Buffer): Buffer => value;
    const path = "/etcdserverpb.Lease/LeaseKeepAlive";
    const stream = client.makeBidiStreamRequest(path, identity, identity, metadata, {});
    stream.write(Buffer.from([0x0a, 200]));
    const error = await new Promise((resolve) => stream.once("error", resolve));
    expect(error).toMatchObject({ code: grpc.status.INTERNAL });
  });
});
