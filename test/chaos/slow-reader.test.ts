/** Readers that never read: they are told to come again, and the process does not grow by what they leave unread. */
import { connect, type Socket } from "node:net";
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";
import { Edge, TOKEN } from "../edge.ts";
import { runtimesOf } from "../scripts/serve/holdfast-process.ts";

const READERS = 5;
const GROWTH_MAX_MB = 32;
const KEYS = [0, 1, 2, 3];

function memoryMb(pid: number): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(readFileSync(`/proc/${pid}/status`, "utf8"))![1]) / 1024;
}

/** A watch over a plain socket, of which nothing is taken after the first bytes. */
function openUnread(edge: Edge): Promise<Socket> {
  const { hostname, port } = new URL(edge.address);
  const socket = connect({ host: hostname, port: Number(port) });
  socket.write(
    `GET /api/v1/namespaces/default/watch?prefix=big/ HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer ${TOKEN}\r\n\r\n`,
  );
  return new Promise((resolve) => socket.once("data", () => resolve(socket.pause())));
}

test.runIf(process.platform === "linux")(
  "W11: five watchers that never read cost no more than 32 MB",
  async () => {
    await using edge = await Edge.start();
    const [runtime] = runtimesOf(edge.pid);
    const value = "x".repeat(64 * 1024);
    const write = async (count: number): Promise<void> => {
      for (let written = 0; written < count; written += KEYS.length) {
        const answers = await Promise.all(KEYS.map((key) => edge.put(`/kv/big/${key}`, value)));
        for (const { status } of answers) expect(status).toBe(200);
      }
    };
    const growthOf = async (act: () => Promise<void>): Promise<number> => {
      const before = memoryMb(runtime!);
      await act();
      return memoryMb(runtime!) - before;
    };
    // What writing itself needs is not the readers'.
    await write(1000);
    const usual = await growthOf(() => write(2000));
    const sockets = await Promise.all(Array.from({ length: READERS }, () => openUnread(edge)));
    // 125 MB that each of them leaves unread.
    const growth = (await growthOf(() => write(2000))) - Math.max(0, usual);
    for (const socket of sockets) socket.destroy();
    expect(growth).toBeLessThan(GROWTH_MAX_MB);
    expect((await edge.api("/kv/big/0")).text).toBe(value);
  },
  180_000,
);
