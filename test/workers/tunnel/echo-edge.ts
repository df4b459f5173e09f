/** The edge with a service of its own behind the tunnel: what comes back is what was sent. */
import edge from "../../../workers/edge.ts";
import type { Bindings } from "../../../workers/request/bindings.ts";
import { problemResponse } from "../../../workers/request/problem.ts";
import type { Call, Handler, HttpCall, Reply, RequestHead } from "../../../workers/tunnel/calls.ts";
import { openTunnel } from "../../../workers/tunnel/tunnel.ts";
import { textOf } from "../../../workers/tunnel/wire/metadata.ts";
import type { Status } from "../../../workers/tunnel/wire/status.ts";
import { OK } from "../../../workers/tunnel/wire/status.ts";

export { Directory, Namespace, Prober } from "../../../workers/edge.ts";

const encoder = new TextEncoder();
const decoder = new TextDecoder();

/** What came of calls, by the name that they gave themselves. */
const ends = new Map<string, string>();

/** The first message again, with the metadata that came as headers and trailers. */
async function echo({ messages, metadata }: Call, reply: Reply): Promise<Status> {
  const { value } = await messages.next();
  const own = metadata.filter(([name]) => name.startsWith("x-"));
  if (own.length > 0) reply.sendHeaders(own);
  await reply.sendMessage(value ?? new Uint8Array());
  return { ...OK, metadata: own };
}

/** Every message again. */
async function converse({ messages }: Call, reply: Reply): Promise<Status> {
  for await (const message of messages) await reply.sendMessage(message);
  return OK;
}

/** `count size`: so many messages of so many bytes. Tells how many it could send. */
async function repeat({ messages, metadata, signal }: Call, reply: Reply): Promise<Status> {
  const { value } = await messages.next();
  const [count = 0, size = 0] = decoder.decode(value).split(" ").map(Number);
  const message = new Uint8Array(size).fill(7);
  let sent = 0;
  const name = textOf(metadata, "x-name") ?? "";
  signal.addEventListener("abort", () => ends.set(name, `aborted after ${sent}`));
  for (; sent < count; sent++) {
    ends.set(name, `at ${sent}`);
    await reply.sendMessage(message);
  }
  return OK;
}

/** Answers when it is called off, and not before. */
async function wait({ metadata, signal, deadline }: Call): Promise<Status> {
  const name = textOf(metadata, "x-name") ?? "";
  ends.set(name, deadline === null ? "waiting" : `waiting for ${deadline - Date.now() > 0 ? "a while" : "nothing"}`);
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  ends.set(name, "aborted");
  return OK;
}

/** `code text` as the status. */
async function fail({ messages }: Call): Promise<Status> {
  const { value } = await messages.next();
  const [, code, message] = /^(\d+) (.*)$/s.exec(decoder.decode(value))!;
  return { code: Number(code), message: message! };
}

/** Takes the first message when it is told so by `/take`. */
async function hesitate({ messages, metadata }: Call, reply: Reply): Promise<Status> {
  const name = textOf(metadata, "x-name") ?? "";
  ends.set(name, "hesitating");
  while (ends.get(name) !== "take") await scheduler.wait(10);
  let bytes = 0;
  for await (const message of messages) bytes += message.length;
  await reply.sendMessage(encoder.encode(String(bytes)));
  return OK;
}

async function crash(): Promise<Status> {
  throw new Error("a secret of the house");
}

const services = new Map([
  ["test.Echo", new Map<string, Handler>(Object.entries({ echo, converse, repeat, wait, fail, hesitate, crash }))],
]);

/** `/http/…`: what came, again. */
const told = async ({ url, headers, body }: HttpCall) => ({
  status: "200 OK",
  headers: "content-type: application/json\r\n",
  body: JSON.stringify({ url, token: headers.get("authorization"), body: decoder.decode(body), by: "tunnel" }),
});

/** `/http/wait`: answers when it is called off. */
async function idle({ headers, signal }: HttpCall) {
  const name = headers.get("x-name") ?? "";
  ends.set(name, "waiting");
  await new Promise((resolve) => signal.addEventListener("abort", resolve));
  ends.set(name, "aborted");
  return { status: "200 OK", headers: "", body: "" };
}

/** `/http/large`: as many letters as the body says. */
const large = async ({ body }: HttpCall) => ({
  status: "200 OK",
  headers: "",
  body: "x".repeat(Number(decoder.decode(body))),
});

/** `/http/source`: whence it came, in the words of the platform. */
const source = async ({ headers }: HttpCall) => ({
  status: "200 OK",
  headers: "",
  body: String(headers.get("cf-connecting-ip")),
});

const broken = (): Promise<never> => Promise.reject(new Error("a secret of the house"));

function route({ pathAndQuery }: RequestHead) {
  if (pathAndQuery === "/http/wait") return idle;
  if (pathAndQuery === "/http/large") return large;
  if (pathAndQuery === "/http/broken") return broken;
  if (pathAndQuery === "/http/source") return source;
  if (pathAndQuery === "/http/unroutable") throw new Error("no way");
  return pathAndQuery.startsWith("/http/told") ? told : null;
}

export default {
  async fetch(request, env, context): Promise<Response> {
    const { pathname, searchParams } = new URL(request.url);
    const name = searchParams.get("name") ?? "";
    if (pathname === "/tunnel") {
      // Refused as the edge does.
      return openTunnel(request, { services, route }, { env, namespace: "default" }).catch(problemResponse);
    }
    if (pathname === "/end") return new Response(ends.get(name) ?? "unknown");
    if (pathname === "/take") {
      ends.set(name, "take");
      return new Response("told");
    }
    if (pathname.startsWith("/http/")) return Response.json({ body: await request.text(), by: "pipe" });
    if (pathname === "/upload") return new Response(request.body);
    return edge.fetch(request, env, context);
  },
} satisfies ExportedHandler<Bindings>;
