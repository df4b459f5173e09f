/** A Worker in the place of the edge: it shows what `serve` gives to a Worker, and stores something. */
import { connect } from "cloudflare:sockets";
import { DurableObject } from "cloudflare:workers";

export class Namespace extends DurableObject {
  count(): number {
    const { sql } = this.ctx.storage;
    sql.exec("CREATE TABLE IF NOT EXISTS calls (at INTEGER)");
    sql.exec("INSERT INTO calls VALUES (0)");
    return sql.exec<{ n: number }>("SELECT count(*) AS n FROM calls").one().n;
  }
}
export class Directory extends DurableObject {}
export class Prober extends DurableObject {}

interface Bindings {
  NAMESPACE: DurableObjectNamespace<Namespace>;
  [name: string]: unknown;
}

async function outcome(act: () => Promise<string>): Promise<Response> {
  return new Response(await act().catch((error: Error) => `refused: ${error.message}`));
}

export default {
  async fetch(request: Request, env: Bindings): Promise<Response> {
    const url = new URL(request.url);
    const to = url.searchParams.get("to") ?? "";
    switch (url.pathname) {
      case "/health/ready":
        return new Response("ready");
      case "/bindings":
        return Response.json(Object.fromEntries(Object.entries(env).filter(([, value]) => typeof value === "string")));
      case "/count":
        return new Response(String(await env.NAMESPACE.getByName("x").count()));
      case "/fetch":
        return outcome(async () => (await fetch(to)).text());
      case "/connect":
        return outcome(async () => {
          const socket = connect(to);
          await socket.opened;
          await socket.close();
          return "opened";
        });
      default:
        return new Response("not found", { status: 404 });
    }
  },
};
