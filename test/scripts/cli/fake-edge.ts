/** An HTTP server that answers what a test tells it to, and keeps what it was asked. */
import { once } from "node:events";
import http, { type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";

export interface Asked {
  method: string;
  /** Below the namespace, query included. */
  path: string;
  namespace: string;
  headers: IncomingMessage["headers"];
  body: string;
}

export type Answerer = (asked: Asked, response: ServerResponse) => unknown;

export class FakeEdge implements AsyncDisposable {
  readonly asked: Asked[] = [];
  readonly #server: http.Server;
  #arrived = Promise.withResolvers<void>();

  private constructor(answer: Answerer) {
    this.#server = http.createServer(async (request, response) => {
      const chunks: Buffer[] = [];
      // A caller that breaks off has asked nothing.
      try {
        for await (const chunk of request as AsyncIterable<Buffer>) chunks.push(chunk);
      } catch {
        return;
      }
      const [, namespace = "", path = ""] = /^\/api\/v1\/namespaces\/([^/]+)(.*)$/.exec(request.url ?? "") ?? [];
      const body = Buffer.concat(chunks).toString();
      const asked = { method: request.method ?? "", path, namespace, headers: request.headers, body };
      this.asked.push(asked);
      this.#arrived.resolve();
      this.#arrived = Promise.withResolvers();
      answer(asked, response);
    });
  }

  static async start(answer: Answerer): Promise<FakeEdge> {
    const edge = new FakeEdge(answer);
    edge.#server.listen(0, "127.0.0.1");
    await once(edge.#server, "listening");
    return edge;
  }

  get address(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /** Resolves when so many matching requests have arrived. */
  async received(count: number, method: string, path: string): Promise<void> {
    while (this.asked.filter((one) => one.method === method && one.path === path).length < count) {
      await this.#arrived.promise;
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#server.closeAllConnections();
    this.#server.close();
    await once(this.#server, "close");
  }
}

export function answerJson(response: ServerResponse, value: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json", "x-holdfast-revision": "7" });
  response.end(JSON.stringify(value));
}

export function answerProblem(response: ServerResponse, status: number, code: string, detail = "told so"): void {
  response.writeHead(status, { "content-type": "application/problem+json" });
  response.end(JSON.stringify({ type: "about:blank", title: code, status, detail, code }));
}
