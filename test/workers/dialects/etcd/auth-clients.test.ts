/** Users of etcd as its own clients have them, over gRPC: the npm package `etcd3`, and `etcdctl` where it is installed. */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { promisify } from "node:util";
import {
  Etcd3,
  EtcdAuthenticationFailedError,
  EtcdPermissionDeniedError,
  EtcdRoleExistsError,
  EtcdRoleNotFoundError,
  EtcdRoleNotGrantedError,
  EtcdUserExistsError,
  EtcdUserNotFoundError,
  Range,
} from "etcd3";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import { Edge, TOKEN } from "../../../edge.ts";
import { closedPort } from "../../../scripts/agent/checks/servers.ts";

let edge: Edge;
let hosts: string;
const clients: Etcd3[] = [];
beforeAll(async () => {
  const port = await closedPort();
  hosts = `127.0.0.1:${port}`;
  edge = await Edge.start(["--etcd-port", String(port)]);
});
afterAll(async () => {
  for (const client of clients) client.close();
  await edge[Symbol.asyncDispose]();
});

function client(username: string, password: string): Etcd3 {
  const made = new Etcd3({ hosts, auth: { username, password } });
  clients.push(made);
  return made;
}

describe("etcd3", () => {
  test("the whole of its auth", async () => {
    const holder = client("root", TOKEN);
    const root = holder.user("root");
    await root.create("rootpw");
    await expect(root.create("rootpw")).rejects.toThrow(EtcdUserExistsError);
    await root.addRole("root");
    await holder.auth.authEnable();

    const admin = client("root", "rootpw");
    const [al, role] = [admin.user("al"), admin.role("reader")];
    await al.create("pw");
    await role.create();
    await expect(role.create()).rejects.toThrow(EtcdRoleExistsError);
    await role.grant([
      { permission: "Readwrite", range: Range.prefix("k") },
      { permission: "Read", key: "one" },
    ]);
    expect((await role.permissions()).map(({ permission }) => permission)).toEqual(["Readwrite", "Read"]);
    await role.revoke({ permission: "Read", key: "one" });
    await al.addRole(role);
    await expect(al.addRole("none")).rejects.toThrow(EtcdRoleNotFoundError);
    await expect(al.removeRole("other")).rejects.toThrow(EtcdRoleNotGrantedError);
    await expect(admin.user("none").delete()).rejects.toThrow(EtcdUserNotFoundError);
    expect((await al.roles()).map(({ name }) => name)).toEqual(["reader"]);
    expect((await admin.getUsers()).map(({ name }) => name)).toEqual(["al", "root"]);
    expect((await admin.getRoles()).map(({ name }) => name)).toEqual(["reader"]);

    const user = client("al", "pw");
    await user.put("k1").value("1");
    expect(await user.get("k1").string()).toBe("1");
    expect(await user.getAll().prefix("k").keys()).toEqual(["k1"]);
    await expect(user.put("m").value("1")).rejects.toThrow(EtcdPermissionDeniedError);
    await expect(user.getAll().keys()).rejects.toThrow(EtcdPermissionDeniedError);
    await expect(client("al", "wrong").get("k1")).rejects.toThrow(EtcdAuthenticationFailedError);

    // A token that has become void: the client logs in again by itself, and is refused when it cannot.
    await al.setPassword("2");
    await expect(user.get("k1")).rejects.toThrow(EtcdAuthenticationFailedError);
    expect(await client("al", "2").get("k1").string()).toBe("1");
    await al.delete();
    await holder.auth.authDisable();
    await root.delete();
  });
});

const ETCDCTL = "/usr/bin/etcdctl";

describe.runIf(existsSync(ETCDCTL))("etcdctl", () => {
  const run = async (user: string, ...args: string[]): Promise<string> => {
    const flags = [`--endpoints=${hosts}`, ...(user === "" ? [] : [`--user=${user}`])];
    const env = { ...process.env, ETCDCTL_API: "3" };
    const done = await promisify(execFile)(ETCDCTL, [...flags, ...args], { env }).catch((error) => error);
    return String(done.stdout) + String(done.stderr);
  };

  test("users, roles, and what they may", { timeout: 60_000 }, async () => {
    const holder = `any:${TOKEN}`;
    expect(await run(holder, "user", "add", "root:pw")).toContain("User root");
    expect(await run(holder, "user", "add", "bo:pw")).toContain("User bo created");
    // It grants the role `root` by itself.
    expect(await run(holder, "auth", "enable")).toContain("Authentication Enabled");
    const root = "root:pw";
    expect(await run(root, "role", "add", "rw")).toContain("Role rw created");
    expect(await run(root, "role", "grant-permission", "rw", "readwrite", "dir/", "--prefix")).toContain(
      "Role rw updated",
    );
    expect(await run(root, "role", "grant-permission", "rw", "read", "one")).toContain("Role rw updated");
    expect(await run(root, "role", "get", "rw")).toBe(
      "Role rw\nKV Read:\n\t[dir/, dir0) (prefix dir/)\n\tone\nKV Write:\n\t[dir/, dir0) (prefix dir/)\n",
    );
    expect(await run(root, "user", "grant-role", "bo", "rw")).toContain("Role rw is granted to user bo");
    expect(await run(root, "user", "get", "bo")).toContain("Roles: rw");
    expect(await run("bo:pw", "put", "dir/a", "1")).toBe("OK\n");
    expect(await run("bo:pw", "get", "dir/", "--prefix", "--print-value-only")).toBe("1\n");
    expect(await run("bo:pw", "put", "one", "1")).toContain("permission denied");
    expect(await run("bo:no", "get", "one")).toContain("authentication failed");
    expect(await run("", "get", "one")).toContain("user name is empty");
    expect(await run("bo:pw", "endpoint", "health")).toContain("is healthy");
    expect(await run(root, "role", "revoke-permission", "rw", "one")).toContain("is revoked");
    expect(await run(root, "user", "delete", "root")).toContain("invalid auth management");
    expect(await run(root, "auth", "disable")).toContain("Authentication Disabled");
  });
});
