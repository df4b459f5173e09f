/** What Consul's readers get while the namespace's object is out of reach. */
import { afterEach, beforeEach, expect, test, vi } from "vitest";
import type { Instance, ServiceView } from "../../../../objects/model.ts";
import { handleConsul } from "../../../../workers/dialects/consul/consul.ts";
import type { Bindings } from "../../../../workers/request/bindings.ts";
import { EdgeResolver } from "../../../../workers/resolver/resolver.ts";

const TOKEN = "root-token-0123456789abcdef";
const START_AT = Date.UTC(2026, 0, 1);

const view = (service: string): ServiceView => ({
  service,
  class: "balanced",
  modRevision: 7,
  revision: 9,
  instances: [
    {
      service,
      id: "a",
      node: "",
      address: "192.0.2.1",
      ports: { default: 80 },
      protocol: "http",
      weight: 1,
      tags: [],
      meta: {},
      locality: { region: "", zone: "", cluster: "" },
      status: "unknown",
      nodeStatus: "passing",
      inheritsAddress: false,
      adminState: "up",
      ephemeral: false,
      private: false,
      suspect: false,
      ttlMs: null,
      renewedAt: 0,
      checks: [],
      reach: "direct",
      origin: "api",
      extra: {},
      registeredAt: 0,
      createRevision: 7,
      modRevision: 7,
    } satisfies Instance & { createRevision: number; modRevision: number },
  ],
  nodes: {},
  selfPreservation: false,
});

let isDown = false;
/** Views that were sent whole. */
let carried = 0;

/** An object that answers views, until it is down. No feed: what is kept is not vouched for. */
const stub = {
  query: (_name: string, { service }: { service: string }) => answer({ ...view(service), after: null }),
  read: (_name: string, { service, known }: { service: string; known: number }) => {
    if (known !== 7) carried++;
    return answer({ value: known === 7 ? null : { ...view(service), after: null }, index: 7 });
  },
  changes: () => Promise.reject(new Error("no feed")),
};

function answer(value: unknown): Promise<unknown> {
  return isDown ? Promise.reject(new Error("gone")) : Promise.resolve({ ok: true, value, revision: 9 });
}

const env = {
  HOLDFAST_ROOT_TOKEN: TOKEN,
  NAMESPACE: { getByName: () => stub },
} as unknown as Bindings;

async function get(path: string) {
  const request = new Request(`http://127.0.0.1:8500${path}`, { headers: { "x-consul-token": TOKEN } });
  const resolver = new EdgeResolver(env, { waitUntil: () => {} });
  const response = await handleConsul(request, path, { env, resolver, namespace: null });
  return { status: response.status, headers: response.headers, text: await response.text() };
}

beforeEach(() => {
  isDown = false;
  carried = 0;
  vi.useFakeTimers({ now: START_AT, toFake: ["Date"] });
  vi.stubGlobal("scheduler", { wait: () => Promise.resolve() });
  vi.spyOn(console, "warn").mockImplementation(() => {});
});
afterEach(() => {
  vi.useRealTimers();
  vi.unstubAllGlobals();
  vi.restoreAllMocks();
});

test("?stale has the last good answer, with its age; a default read has none", async () => {
  const good = await get("/v1/health/service/web?stale");
  expect(good).toMatchObject({ status: 200 });
  expect(good.headers.get("x-consul-lastcontact")).toBe("0");
  isDown = true;
  vi.setSystemTime(START_AT + 90_000);
  const old = await get("/v1/health/service/web?stale");
  expect(old).toMatchObject({ status: 200, text: good.text });
  expect(Object.fromEntries(old.headers)).toMatchObject({
    "x-consul-lastcontact": "90000",
    "x-consul-knownleader": "false",
    "x-consul-effective-consistency": "stale",
    "x-consul-index": "7",
  });
  expect((await get("/v1/health/service/web")).status).toBeGreaterThanOrEqual(500);
});

test("?max_stale asks the owner when what is kept is older", async () => {
  await get("/v1/health/service/aged?stale");
  isDown = true;
  vi.setSystemTime(START_AT + 90_000);
  expect((await get("/v1/health/service/aged?stale&max_stale=2m")).status).toBe(200);
  expect((await get("/v1/health/service/aged?stale&max_stale=1m")).status).toBeGreaterThanOrEqual(500);
});

test("a default read carries a view only once", async () => {
  const first = await get("/v1/health/service/once");
  expect(carried).toBe(1);
  const second = await get("/v1/health/service/once");
  expect(carried).toBe(1);
  expect(second.text).toBe(first.text);
});
