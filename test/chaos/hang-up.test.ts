/** Clients that hang up in the middle of a write: they keep no place, and take nobody's answer with them (O1). */
import { once } from "node:events";
import { connect } from "node:net";
import { expect, test } from "vitest";
import { Edge, TOKEN } from "../edge.ts";

const KV = "/api/v1/namespaces/default/kv";
/** More than one namespace lets wait at a time. */
const HANG_UPS = 300;

test("who hangs up keeps no place and ends nobody else's call", async () => {
  await using edge = await Edge.start(["--no-agent"]);
  expect((await edge.ask(`${KV}/first`, { method: "PUT", body: "x" })).status).toBe(200);
  let left = HANG_UPS;
  const hangUps = Array.from({ length: 6 }, async () => {
    while (left > 0) await hangUp(edge.address, left--);
  });
  let n = 0;
  const written: string[] = [];
  const writers = Array.from({ length: 4 }, async () => {
    while (left > 0) {
      const key = `steady-${n++}`;
      const reply = await edge.ask(`${KV}/${key}`, { method: "PUT", body: key });
      if (reply.status === 200) written.push(key);
      // A slow machine may refuse; nothing else is an answer.
      else expect(reply.json).toMatchObject({ code: "unavailable", reason: "overload" });
    }
  });
  await Promise.all([...hangUps, ...writers]);
  for (const key of written) expect((await edge.ask(`${KV}/${key}`)).text).toBe(key);
  expect(written.length).toBeGreaterThan(0);
});

/** Two writes, and the connection reset at some moment of their way: each is tried. */
async function hangUp(address: string, n: number): Promise<void> {
  const { hostname, port } = new URL(address);
  const socket = connect(Number(port), hostname);
  socket.on("error", () => {});
  await once(socket, "connect");
  const request = `PUT ${KV}/gone-${n} HTTP/1.1\r\nhost: x\r\nauthorization: Bearer ${TOKEN}\r\ncontent-length: 1\r\n\r\nx`;
  await new Promise<void>((resolve) => socket.write(request + request, () => resolve()));
  await new Promise<void>((resolve) => void setTimeout(resolve, n % 10));
  socket.resetAndDestroy();
}
