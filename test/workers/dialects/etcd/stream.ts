/** A call of the JSON gateway that stays open: documents in, results out. */
import { once } from "node:events";
import { request as httpRequest } from "node:http";
import type { ClientRequest, IncomingMessage } from "node:http";
import { createInterface } from "node:readline";
import type { Edge } from "../../../edge.ts";
import { TOKEN } from "../../../edge.ts";

export class GatewayStream implements AsyncDisposable {
  readonly #request: ClientRequest;
  readonly #lines: Promise<AsyncIterator<string>>;

  constructor(edge: Edge, path: string, token: string = TOKEN) {
    const headers = { authorization: token, "transfer-encoding": "chunked" };
    this.#request = httpRequest(`${edge.address}/v3${path}`, { method: "POST", headers });
    // It is broken off by the test, at a time of its choosing.
    this.#request.on("error", () => {});
    this.#lines = once(this.#request, "response").then(([response]) =>
      createInterface({ input: response as IncomingMessage })[Symbol.asyncIterator](),
    );
    this.#lines.catch(() => {});
    this.#request.flushHeaders();
  }

  send(...documents: object[]): void {
    this.#request.write(documents.map((document) => JSON.stringify(document)).join(""));
  }

  // oxlint-disable-next-line typescript/no-explicit-any
  async next(): Promise<any> {
    const lines = await this.#lines;
    const { done, value } = await lines.next();
    if (done) return null;
    const line = JSON.parse(value);
    return line.result ?? line;
  }

  /** No more documents; the answer goes on. */
  end(): void {
    this.#request.end();
  }

  /** As a client goes that is ended. */
  reset(): void {
    this.#request.socket!.resetAndDestroy();
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#request.destroy();
  }
}
