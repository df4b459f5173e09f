/** One request through the gateway with a `fetch` of the test's own: time limits, and which failure is followed by what. */
import { expect, test } from "vitest";
import type { Instance } from "../../../objects/model.ts";
import type { GatewayDeps } from "../../../workers/gateway/gateway.ts";
import { routeRequest } from "../../../workers/gateway/gateway.ts";
import type { AttemptOutcome } from "../../../workers/gateway/observe.ts";

const target = { namespace: "default", service: "web", path: "/x?y=1", prefix: "/route/web" };

interface Run {
  response: Response;
  /** The URLs that were asked, in order. */
  asked: string[];
  outcomes: AttemptOutcome["result"][];
}

type Answer = (url: string, request: Request) => Promise<Response>;

async function route(
  answer: Answer,
  request = new Request("http://edge/"),
  deps: Partial<GatewayDeps> = {},
): Promise<Run> {
  const asked: string[] = [];
  const outcomes: AttemptOutcome["result"][] = [];
  const instances = ["a", "b"].map((id) => ({
    id,
    address: `${id}.example`,
    ports: { default: 80 },
    protocol: "http",
    weight: 1,
    status: "passing",
    adminState: "up",
    suspect: false,
    reach: "direct",
  }));
  const view = { service: "web", revision: 1, modRevision: 1, instances: instances as unknown as Instance[] };
  const response = await routeRequest(request, target, {
    resolver: { peek: () => undefined, resolve: async () => ({ view: view as never, ageSeconds: 0, stale: false }) },
    fetch: ((sent: Request) => {
      asked.push(sent.url);
      return answer(sent.url, sent);
    }) as typeof fetch,
    assertEgress: () => {},
    clientAddress: "192.0.2.7",
    now: Date.now,
    random: () => 0,
    onOutcome: ({ result }) => outcomes.push(result),
    ...deps,
  });
  return { response, asked, outcomes };
}

const lost = (): Promise<Response> => Promise.reject(new Error("Network connection lost."));
const never = (): Promise<Response> => new Promise(() => {});

test("a connection that fails is followed by the next instance with the same request", async () => {
  const headers: string[] = [];
  const { response, asked, outcomes } = await route((url, request) => {
    headers.push(JSON.stringify([...request.headers]));
    return url.includes("//a.") ? lost() : Promise.resolve(new Response("b"));
  });
  expect(await response.text()).toBe("b");
  expect(asked).toEqual(["http://a.example/x?y=1", "http://b.example/x?y=1"]);
  expect(outcomes).toEqual(["lost", "response"]);
  expect(headers[0]).toBe(headers[1]);
  expect(headers[0]).toContain('["x-forwarded-for","192.0.2.7"]');
});

test("an answer that does not come in time is given up, and no other instance is asked", async () => {
  let discarded = false;
  const late = Promise.withResolvers<Response>();
  const { response, asked, outcomes } = await route(() => late.promise, undefined, { timeoutMs: 5 });
  expect(await response.json()).toMatchObject({ status: 504, reason: "timeout" });
  expect([asked.length, outcomes]).toEqual([1, ["timeout"]]);
  late.resolve(new Response(new ReadableStream({ cancel: () => void (discarded = true) })));
  await late.promise;
  await Promise.resolve();
  expect(discarded).toBe(true);
});

test("the time is that of all attempts together", async () => {
  const { response, asked } = await route((url) => (url.includes("//a.") ? lost() : never()), undefined, {
    timeoutMs: 5,
  });
  expect(response.status).toBe(504);
  expect(asked).toHaveLength(2);
});

test("a client that has left is nobody's failure", async () => {
  const client = new AbortController();
  const request = new Request("http://edge/", { signal: client.signal });
  const { response, asked, outcomes } = await route(() => {
    client.abort();
    return lost();
  }, request);
  expect([response.status, asked.length, outcomes]).toEqual([499, 1, ["client_gone"]]);
});

test("what does not bear repeating is not repeated", async () => {
  const { response, asked } = await route(lost, new Request("http://edge/", { method: "POST" }));
  expect([response.status, asked.length]).toEqual([502, 1]);
});
