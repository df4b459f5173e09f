import { expect, test } from "vitest";
import { HoldfastClient } from "../../../scripts/cli/client.ts";
import { answerJson, answerProblem, FakeEdge } from "./fake-edge.ts";

test("paths, token, namespace, query and body", async () => {
  await using edge = await FakeEdge.start((_, response) => answerJson(response, { ok: true }));
  const client = new HoldfastClient({ address: `${edge.address}/`, token: "secret", namespace: "a/b" });
  await client.register("my service", "id/1", { address: "10.0.0.1", ports: { default: 80 } });
  await client.resolve("web", { healthy: true, pick: 2, consistency: "strong" });
  await client.putKey("app/ü", "value", { cas: 0 });
  await client.deleteKey("app/", { prefix: true });
  const answer = await client.listKeys("app/", { keys: true });
  expect(answer).toEqual({ value: { ok: true }, revision: 7 });
  expect(edge.asked.map(({ method, path, body }) => `${method} ${path} ${body}`.trim())).toEqual([
    'PUT /services/my%20service/instances/id%2F1 {"address":"10.0.0.1","ports":{"default":80}}',
    "GET /resolve/web?healthy=true&pick=2&consistency=strong",
    "PUT /kv/app%2F%C3%BC?cas=0 value",
    "DELETE /kv/app%2F?prefix=true",
    "GET /kv/app%2F?keys=true&prefix=true",
  ]);
  expect(new Set(edge.asked.map(({ namespace }) => namespace))).toEqual(new Set(["a%2Fb"]));
  expect(edge.asked[0]?.headers).toMatchObject({ authorization: "Bearer secret", "content-type": "application/json" });
  expect(edge.asked[2]?.headers).toMatchObject({ "content-type": "application/octet-stream" });
});

test("values come back byte for byte", async () => {
  const bytes = Buffer.from([0, 255, 10, 128]);
  await using edge = await FakeEdge.start((_, response) => response.end(bytes));
  const { value } = await new HoldfastClient({ address: edge.address }).getKey("k");
  expect(Buffer.from(value)).toEqual(bytes);
});

test("a problem document becomes an error with its code, detail and facts", async () => {
  await using edge = await FakeEdge.start((_, response) => answerProblem(response, 409, "conflict", "revision is 4"));
  const failed = new HoldfastClient({ address: edge.address }).putKey("k", "v", { cas: 3 });
  await expect(failed).rejects.toMatchObject({ status: 409, code: "conflict", message: "revision is 4" });
});

test("an answer that is no problem document is told by its status", async () => {
  await using edge = await FakeEdge.start((_, response) => response.writeHead(502).end("<html>bad gateway"));
  await expect(new HoldfastClient({ address: edge.address }).status()).rejects.toMatchObject({
    status: 502,
    code: undefined,
    message: "HTTP 502",
  });
});

test("an answer that is no JSON is refused", async () => {
  await using edge = await FakeEdge.start((_, response) => response.end("<html>"));
  await expect(new HoldfastClient({ address: edge.address }).status()).rejects.toThrow(/did not answer in JSON/);
});

test("redirects are not followed: the token stays with its edge", async () => {
  await using other = await FakeEdge.start((_, response) => answerJson(response, {}));
  await using edge = await FakeEdge.start((_, response) => response.writeHead(307, { location: other.address }).end());
  await expect(new HoldfastClient({ address: edge.address, token: "secret" }).status()).rejects.toThrow(/cannot reach/);
  expect(other.asked).toEqual([]);
});

test("an edge that does not answer is given up", async () => {
  await using edge = await FakeEdge.start(() => {});
  const client = new HoldfastClient({ address: edge.address, timeoutMs: 50 });
  await expect(client.status()).rejects.toMatchObject({ status: 0, message: expect.stringContaining("in time") });
  await expect(client.snapshot()).rejects.toMatchObject({ status: 0, message: expect.stringContaining("in time") });
});

test.each(["ftp://x", "not a url"])("%s is no address", (address) => {
  expect(() => new HoldfastClient({ address })).toThrow(TypeError);
});
