import { expect, test } from "vitest";
import { clientResponse } from "../../../workers/gateway/headers.ts";
import type { RouteTarget } from "../../../workers/gateway/match.ts";

const target: RouteTarget = { namespace: "default", service: "web", path: "/", prefix: "/route/web" };

function passed(headers: Record<string, string>, debug: string | null = null): { same: boolean; names: string[] } {
  const upstream = new Response("x", { headers });
  const response = clientResponse(upstream, target, debug);
  return { same: response === upstream, names: [...response.headers.keys()] };
}

test("a response that speaks of nothing but its own connection is passed on as it is", () => {
  for (const connection of ["keep-alive", "close", "Keep-Alive, Close", "", "keep-alive, ,upgrade"]) {
    expect(passed({ connection, "keep-alive": "timeout=5", "x-own": "1" }), connection).toMatchObject({ same: true });
  }
  expect(passed({ "x-own": "1", "content-length": "1" })).toMatchObject({ same: true });
  expect(passed({ "transfer-encoding": "chunked" })).toMatchObject({ same: true });
});

test("what Connection names goes with it", () => {
  expect(passed({ connection: "keep-alive, x-hop", "x-hop": "1", "x-own": "1" })).toEqual({
    same: false,
    names: ["content-type", "x-own"],
  });
});

test("a length beside a transfer coding is taken out, and so is what is not for clients", () => {
  expect(passed({ "transfer-encoding": "chunked", "content-length": "7" }).names).toEqual(["content-type"]);
  for (const name of ["alt-svc", "x-holdfast-revision", "proxy-authenticate", "service-worker-allowed"]) {
    expect(passed({ [name]: "1", connection: "close" }), name).toEqual({ same: false, names: ["content-type"] });
  }
});

test("the instance is told where that is asked for", () => {
  expect(passed({}, "web-1").names).toEqual(["content-type", "x-holdfast-instance"]);
});
