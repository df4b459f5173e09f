import { expect, test } from "vitest";
import { HoldfastError } from "../../../objects/errors.ts";
import type { Route } from "../../../workers/api/route.ts";
import { decodeParams, RouteTree } from "../../../workers/api/routing.ts";

const route = (method: Route["method"], path: string): Route =>
  ({ method, path, tag: "", id: `${method} ${path}`, summary: "", response: "", handle: () => {} }) as never;

const tree = new RouteTree("/base/{namespace}", [
  route("get", "/things"),
  route("get", "/things/{id}"),
  route("put", "/things/{id}"),
  route("get", "/things/all/parts"),
  route("get", "/things/{id}/parts/{part}"),
  route("put", "/kv/{key+}"),
]);

function found(method: string, path: string): unknown {
  const match = tree.find(path);
  return match && [match.operations.get(method)?.id, match.params];
}

test("a path is matched segment by segment, literally before by parameter, with a way back", () => {
  expect(found("GET", "/base/a/things")).toEqual(["get /things", { namespace: "a" }]);
  expect(found("PUT", "/base/a/things/1")).toEqual(["put /things/{id}", { namespace: "a", id: "1" }]);
  expect(found("GET", "/base/a/things/all/parts")).toEqual(["get /things/all/parts", { namespace: "a" }]);
  expect(found("GET", "/base/a/things/all/parts/2")).toEqual([
    "get /things/{id}/parts/{part}",
    { namespace: "a", id: "all", part: "2" },
  ]);
  expect(found("POST", "/base/a/things/1")).toEqual([undefined, { namespace: "a", id: "1" }]);
});

test("nothing between slashes is no parameter, and nothing is left over", () => {
  for (const path of [
    "/",
    "/base",
    "/base/a",
    "/base//things",
    "/base/a/things/",
    "/base/a/things/1/",
    "/x/a/things",
  ]) {
    expect(tree.find(path), path).toBeNull();
  }
});

test("a key is all that follows, slashes and nothing included", () => {
  for (const [path, key] of [
    ["/base/a/kv/x/y//z/", "x/y//z/"],
    ["/base/a/kv/", ""],
    ["/base/a/kv", ""],
  ] as const) {
    expect(found("PUT", path)).toEqual(["put /kv/{key+}", { namespace: "a", key }]);
  }
});

test("parameters are decoded after they were cut; what is not UTF-8 is refused by name", () => {
  expect(decodeParams({ id: "a%2Fb", key: "plain" })).toEqual({ id: "a/b", key: "plain" });
  expect(() => decodeParams({ id: "%ff" })).toThrow(HoldfastError);
  expect(() => decodeParams({ id: "%ff" })).toThrow("id: ");
});
