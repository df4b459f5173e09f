/** What tokens may do to keys, sessions and events, and what they are not shown. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { createSession } from "./recipes.ts";

let edge: Edge;
/** Reads `app/` but not `app/secret`, writes `app/mine/`; sessions on worker-1; events that begin with `app`. */
let token: string;
beforeAll(async () => {
  edge = await Edge.start(["--no-agent"]);
  const rules = `
    key_prefix "app/" { policy = "read" }
    key_prefix "app/secret" { policy = "deny" }
    key_prefix "app/mine/" { policy = "write" }
    session "worker-1" { policy = "write" }
    event_prefix "app" { policy = "write" }
    node "n1" { policy = "write" }
    service "web" { policy = "write" }
  `;
  await put("/acl/policy", { Name: "some", Rules: rules });
  token = (await put("/acl/token", { Policies: [{ Name: "some" }] })).json.SecretID;
  for (const key of ["app/a", "app/dir/1", "app/mine/x", "app/secret/1", "other"]) await put(`/kv/${key}`, "v");
});
afterAll(() => edge[Symbol.asyncDispose]());

const put = (path: string, body?: unknown, as?: string) =>
  edge.ask(`/v1${path}`, { method: "PUT", body, ...(as !== undefined && { token: as }) });
const get = (path: string) => edge.ask(`/v1${path}`, { token });
const write = (path: string, body: unknown = "w") => put(path, body, token);
const remove = (path: string) => edge.ask(`/v1${path}`, { method: "DELETE", token });
const filtered = ({ headers }: { headers: Headers }) => headers.get("x-consul-results-filtered-by-acls");

describe("keys", () => {
  test("are read, listed and written as the rules say", async () => {
    expect((await get("/kv/app/a?raw")).text).toBe("v");
    const denied = await get("/kv/app/secret/1");
    expect(denied.status).toBe(403);
    expect(denied.text).toMatch(/^Permission denied: token with AccessorID '.*' lacks permission 'key:read' on "app/);
    expect((await get("/kv/none")).status).toBe(403);
    expect((await write("/kv/app/mine/y")).text).toBe("true");
    expect((await write("/kv/app/a")).status).toBe(403);
    expect((await remove("/kv/app/a")).status).toBe(403);
    expect((await remove("/kv/app/mine/y")).text).toBe("true");
    expect((await remove("/kv/app/?recurse")).status).toBe(403);
  });

  test("what may not be read is left out of lists, and so is what would only hint at it", async () => {
    const list = await get("/kv/?recurse");
    expect(list.json.map(({ Key }: { Key: string }) => Key)).toEqual(["app/a", "app/dir/1", "app/mine/x"]);
    expect(filtered(list)).toBe("true");
    expect((await get("/kv/app/?keys&separator=/")).json).toEqual(["app/a", "app/dir/", "app/mine/"]);
    expect((await get("/kv/?keys&separator=/")).json).toEqual(["app/"]);
    expect((await get("/kv/other?recurse")).status).toBe(404);
    expect(filtered(await get("/kv/app/dir/?keys&separator=/"))).toBeNull();
  });

  test("locks need the right to write the key, not to see the session", async () => {
    const id = await createSession(edge);
    expect((await write(`/kv/app/mine/lock?acquire=${id}`)).text).toBe("true");
    expect((await write(`/kv/app/a?acquire=${id}`)).status).toBe(403);
    await remove("/kv/app/mine/lock");
  });
});

describe("sessions", () => {
  test("are made, renewed, seen and destroyed on nodes that the rules name", async () => {
    expect((await write("/session/create", {})).status).toBe(403);
    await put("/catalog/register", { Node: "worker-1", Address: "192.0.2.1" });
    const made = await write("/session/create", { Node: "worker-1", NodeChecks: [] });
    expect(made.status).toBe(200);
    const [mine, other] = [made.json.ID as string, await createSession(edge)];
    const list = await get("/session/list");
    expect(list.json.map(({ ID }: { ID: string }) => ID)).toEqual([mine]);
    expect(filtered(list)).toBe("true");
    expect((await get(`/session/info/${other}`)).json).toEqual([]);
    expect((await write(`/session/renew/${mine}`)).status).toBe(200);
    expect((await write(`/session/renew/${other}`)).status).toBe(403);
    expect((await write(`/session/destroy/${other}`)).status).toBe(403);
    expect((await write(`/session/destroy/${mine}`)).text).toBe("true");
    expect((await write("/session/destroy/nobody")).text).toBe("true");
  });
});

describe("transactions", () => {
  test("tell each operation that is not allowed, and leave out what may not be seen", async () => {
    const denied = await write("/txn", [
      { KV: { Verb: "set", Key: "app/mine/x", Value: null } },
      { KV: { Verb: "set", Key: "app/a" } },
      { KV: { Verb: "check-index", Key: "other", Index: 1 } },
      { KV: { Verb: "check-not-exists", Key: "app/a" } },
      { KV: { Verb: "delete-tree", Key: "app/" } },
      { Node: { Verb: "set", Node: { Node: "n2", Address: "192.0.2.1" } } },
      { Service: { Verb: "set", Node: "n1", Service: { ID: "db", Service: "db" } } },
      { Check: { Verb: "set", Check: { Node: "n2", CheckID: "c" } } },
    ]);
    expect(denied.status).toBe(409);
    expect(denied.json.Errors.map(({ OpIndex }: { OpIndex: number }) => OpIndex)).toEqual([1, 2, 3, 4, 5, 6, 7]);
    expect(denied.json.Errors[0].What).toContain(`lacks permission 'key:write' on "app/a"`);
    const seen = await write("/txn", [
      { KV: { Verb: "get-tree", Key: "app/" } },
      { KV: { Verb: "get", Key: "other" } },
    ]);
    expect(seen.json.Results.map(({ KV }: { KV: { Key: string } }) => KV.Key)).toEqual([
      "app/a",
      "app/dir/1",
      "app/mine/x",
    ]);
    expect(seen.json.ResultsFilteredByACLs).toBe(true);
  });

  test("whose service an id is counts, not whose it is called", async () => {
    await put("/txn", [
      { Node: { Verb: "set", Node: { Node: "n1", Address: "192.0.2.1" } } },
      { Service: { Verb: "set", Node: "n1", Service: { ID: "db-1", Service: "db" } } },
      { Check: { Verb: "set", Check: { Node: "n1", CheckID: "db-check", ServiceID: "db-1" } } },
    ]);
    const called = { ID: "db-1", Service: "web" };
    for (const operation of [
      { Service: { Verb: "delete", Node: "n1", Service: called } },
      { Service: { Verb: "set", Node: "n1", Service: called } },
      { Check: { Verb: "delete", Check: { Node: "n1", CheckID: "db-check" } } },
      { Check: { Verb: "set", Check: { Node: "n1", CheckID: "new", ServiceID: "db-1", ServiceName: "web" } } },
    ]) {
      expect((await write("/txn", [operation])).status, JSON.stringify(operation)).toBe(409);
    }
    const own = { Service: { Verb: "set", Node: "n1", Service: { ID: "web-1", Service: "web" } } };
    expect((await write("/txn", [own])).status).toBe(200);
  });
});

test("events are fired and seen by their names", async () => {
  expect((await write("/event/fire/app-deploy", "1")).status).toBe(200);
  expect((await write("/event/fire/other", "1")).status).toBe(403);
  await put("/event/fire/other", "1");
  const list = await get("/event/list");
  expect(list.json.map(({ Name }: { Name: string }) => Name)).toEqual(["app-deploy"]);
  expect(filtered(list)).toBe("true");
});
