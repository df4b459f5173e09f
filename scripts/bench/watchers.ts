/**
 * Many readers of one event stream, over plain sockets: each counts the changes it is told and does nothing else, since
 * they share two cores with what they measure.
 */
import { connect, type Socket } from "node:net";
import type { Holdfast } from "./servers.ts";

const CHANGE = Buffer.from("event: put");

export class Watchers implements Disposable {
  readonly #sockets: Socket[] = [];
  readonly #onChange: () => void;

  private constructor(onChange: () => void) {
    this.#onChange = onChange;
  }

  /** Resolves when all of them have been answered; `onChange` is called for each change and watcher. */
  static async open(holdfast: Holdfast, path: string, count: number, onChange: () => void): Promise<Watchers> {
    const watchers = new Watchers(onChange);
    await Promise.all(Array.from({ length: count }, () => watchers.#open(holdfast, path)));
    return watchers;
  }

  #open({ origin, headers }: Holdfast, path: string): Promise<void> {
    const { hostname, port, host } = new URL(origin);
    const socket = connect(Number(port), hostname);
    this.#sockets.push(socket);
    const lines = Object.entries({ host, ...headers }).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.write(`GET ${path} HTTP/1.1\r\n${lines.join("")}\r\n`);
    return new Promise((resolve, reject) => {
      socket.once("error", reject);
      socket.once("data", (head) => {
        if (!head.toString("latin1", 0, 12).endsWith(" 200")) return reject(new Error(`${path}: ${head.toString()}`));
        socket.on("data", this.#counter());
        resolve();
      });
    });
  }

  #counter(): (chunk: Buffer) => void {
    let rest: Buffer = Buffer.alloc(0);
    return (chunk) => {
      const data = rest.length > 0 ? Buffer.concat([rest, chunk]) : chunk;
      let from = 0;
      for (let at = data.indexOf(CHANGE); at !== -1; at = data.indexOf(CHANGE, from)) {
        from = at + CHANGE.length;
        this.#onChange();
      }
      // What a chunk ends with may be the beginning of one.
      rest = data.subarray(Math.max(from, data.length - CHANGE.length + 1));
    };
  }

  [Symbol.dispose](): void {
    for (const socket of this.#sockets) socket.destroy();
  }
}
