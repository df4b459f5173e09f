/** Users, roles and permissions by the npm package `etcd3` as it is, over gRPC through the agent's port. */
import { Etcd3, EtcdAuthenticationFailedError, EtcdPermissionDeniedError, EtcdUserExistsError, Range } from "etcd3";
import { afterAll, beforeAll, expect, test } from "vitest";
import { Edge } from "../../../edge.ts";
import { closedPort } from "../../../scripts/agent/checks/servers.ts";
import { told } from "./gateway.ts";

let edge: Edge;
let port: number;
const clients: Etcd3[] = [];

function login(username: string, password: string): Etcd3 {
  const client = new Etcd3({ hosts: `http://127.0.0.1:${port}`, auth: { username, password } });
  clients.push(client);
  return client;
}

beforeAll(async () => {
  port = await closedPort();
  edge = await Edge.start(["--etcd-port", String(port)]);
  await told(edge, "/auth/user/add", { name: "root", password: "secret of root" });
  await told(edge, "/auth/role/add", { name: "root" });
  await told(edge, "/auth/user/grant", { user: "root", role: "root" });
  await told(edge, "/auth/enable");
});
afterAll(async () => {
  for (const client of clients) client.close();
  await edge[Symbol.asyncDispose]();
});

test("root makes users, who may do what their roles let them", async () => {
  const root = login("root", "secret of root");
  const role = await root.role("app").create();
  await role.grant({ permission: "Readwrite", range: Range.prefix("app/") });
  expect(await role.permissions()).toMatchObject([{ permission: "Readwrite" }]);
  const user = await root.user("ann").create("secret of ann");
  await user.addRole("app");
  expect((await user.roles()).map(({ name }) => name)).toEqual(["app"]);
  expect((await root.getUsers()).map(({ name }) => name)).toContain("ann");
  expect((await root.getRoles()).map(({ name }) => name)).toContain("app");
  await expect(root.user("ann").create("again")).rejects.toThrow(EtcdUserExistsError);

  const ann = login("ann", "secret of ann");
  await ann.put("app/k").value("hers");
  expect(await ann.get("app/k").string()).toBe("hers");
  expect(await ann.getAll().prefix("app/").keys()).toEqual(["app/k"]);
  await expect(ann.put("other").value("x").exec()).rejects.toThrow(EtcdPermissionDeniedError);
  await expect(ann.getAll().keys()).rejects.toThrow(EtcdPermissionDeniedError);
});

test("a wrong password", async () => {
  const wrong = login("ann", "guessed");
  await expect(wrong.get("app/k").string()).rejects.toThrow(EtcdAuthenticationFailedError);
});
