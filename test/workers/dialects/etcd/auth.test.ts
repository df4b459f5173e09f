/** Users and roles of etcd: texts, guards, what every part of a request takes, and the same rights through other doors. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked } from "../../../edge.ts";
import { Edge, TOKEN } from "../../../edge.ts";
import { b64, invalid, notFound, precondition } from "./gateway.ts";
import type { Refusal } from "./gateway.ts";
import { GatewayStream } from "./stream.ts";

let edge: Edge;
let open: Edge;
beforeAll(async () => {
  [edge, open] = await Promise.all([Edge.start(["--no-agent"]), Edge.start(["--no-agent", "--open"])]);
});
afterAll(() => Promise.all([edge, open].map((one) => one[Symbol.asyncDispose]())));

const DENIED: Refusal = { status: 403, code: 7, message: "etcdserver: permission denied" };
const BAD_TOKEN: Refusal = { status: 401, code: 16, message: "etcdserver: invalid auth token" };
const NO_TOKEN = invalid("etcdserver: user name is empty");
const NOT_ENABLED = precondition("etcdserver: authentication is not enabled");
const WRONG = invalid("etcdserver: authentication failed, invalid user ID or password");
const MANAGEMENT = invalid("etcdserver: invalid auth management");

type Answer = Record<string, never> | { [field: string]: unknown };

/** A namespace as one caller sees it. */
class As {
  readonly #at: Edge;
  readonly namespace: string;
  readonly token: string | null;

  constructor(namespace: string, token: string | null = TOKEN, at = edge) {
    this.namespace = namespace;
    this.token = token;
    this.#at = at;
  }

  with(token: string | null): As {
    return new As(this.namespace, token, this.#at);
  }

  async #post(path: string, body: unknown) {
    const asked: Asked = { method: "POST", body: JSON.stringify(body), token: this.token };
    return this.#at.ask(`/ns/${this.namespace}/v3${path}`, asked);
  }

  async told(path: string, body: unknown = {}): Promise<Answer> {
    const { status, json, text } = await this.#post(path, body);
    if (status !== 200) throw new Error(`${path} ${JSON.stringify(body)}: ${text}`);
    const { header, ...answer } = json;
    expect(header.raft_term).toBe("2");
    return answer;
  }

  /** "ok", or what is wrong. */
  async asks(path: string, body: unknown = {}): Promise<Refusal | "ok"> {
    const { status, json } = await this.#post(path, body);
    if (status === 200) return "ok";
    return { status, code: json.code, message: json.message };
  }

  async logIn(name: string, password: string): Promise<As> {
    const { token } = await this.told("/auth/authenticate", { name, password });
    return this.with(token as string);
  }

  native(path: string, asked: Asked = {}) {
    return this.#at.api(path, { token: this.token, ...asked }, this.namespace);
  }
}

type Permission = [type: "READ" | "WRITE" | "READWRITE", key: string, end?: string];
const permission = ([permType, key, end]: Permission) => ({
  permType,
  key: b64(key),
  ...(end !== undefined && { range_end: b64(end) }),
});

/** Auth on, with `root`/`rootpw` and one user `al`/`pw` who has a role for each list of permissions. */
async function withUser(at: As, ...roles: Permission[][]): Promise<{ root: As; al: As }> {
  await at.told("/auth/user/add", { name: "root", password: "rootpw" });
  await at.told("/auth/user/grant", { user: "root", role: "root" });
  await at.told("/auth/user/add", { name: "al", password: "pw" });
  for (const [index, permissions] of roles.entries()) {
    const name = `r${index}`;
    await at.told("/auth/role/add", { name });
    for (const one of permissions) await at.told("/auth/role/grant", { name, perm: permission(one) });
    await at.told("/auth/user/grant", { user: "al", role: name });
  }
  await at.told("/auth/enable");
  const nobody = at.with(null);
  return { root: await nobody.logIn("root", "rootpw"), al: await nobody.logIn("al", "pw") };
}

describe("texts", () => {
  test("before it is on", async () => {
    const at = new As("texts");
    const wanted: [string, object, Refusal | "ok"][] = [
      ["enable", {}, precondition("etcdserver: root user does not exist")],
      ["authenticate", { name: "a", password: "b" }, NOT_ENABLED],
      ["authenticate", {}, NOT_ENABLED],
      ["user/add", {}, NO_TOKEN],
      ["user/add", { name: "root" }, "ok"],
      ["user/add", { name: "root" }, precondition("etcdserver: user name already exists")],
      ["enable", {}, precondition("etcdserver: root user does not have root role")],
      ["user/grant", { user: "root", role: "root" }, "ok"],
      ["user/grant", { user: "root", role: "root" }, "ok"],
      ["role/get", { role: "root" }, precondition("etcdserver: role name not found")],
      ["user/revoke", { name: "root", role: "root" }, "ok"],
      ["user/revoke", { name: "root", role: "root" }, precondition("etcdserver: role is not granted to the user")],
      ["user/grant", { user: "nobody", role: "root" }, precondition("etcdserver: user name not found")],
      ["user/grant", { user: "root", role: "none" }, precondition("etcdserver: role name not found")],
      ["user/grant", {}, precondition("etcdserver: user name not found")],
      ["user/get", {}, precondition("etcdserver: user name not found")],
      ["user/delete", {}, precondition("etcdserver: user name not found")],
      ["user/changepw", {}, precondition("etcdserver: user name not found")],
      ["user/revoke", { name: "none", role: "r" }, precondition("etcdserver: user name not found")],
      ["role/add", {}, invalid("etcdserver: role name is empty")],
      ["role/add", { name: "r" }, "ok"],
      ["role/add", { name: "r" }, precondition("etcdserver: role name already exists")],
      ["role/grant", { name: "r" }, invalid("etcdserver: permission not given")],
      ["role/grant", { name: "no", perm: permission(["READ", "a"]) }, precondition("etcdserver: role name not found")],
      ["role/grant", { name: "r", perm: permission(["READ", ""]) }, MANAGEMENT],
      ["role/grant", { name: "r", perm: permission(["READ", "b", "a"]) }, MANAGEMENT],
      ["role/grant", { name: "r", perm: permission(["READ", "b", "b"]) }, MANAGEMENT],
      ["role/grant", { name: "r", perm: { ...permission(["READ", "b"]), permType: 7 } }, MANAGEMENT],
      ["role/revoke", { role: "r", key: b64("a") }, precondition("etcdserver: permission is not granted to the role")],
      ["role/revoke", { role: "no", key: b64("a") }, precondition("etcdserver: role name not found")],
      ["role/delete", { role: "no" }, precondition("etcdserver: role name not found")],
      ["role/delete", {}, precondition("etcdserver: role name not found")],
      ["role/get", {}, precondition("etcdserver: role name not found")],
      ["user/revoke", { name: "root", role: "r" }, precondition("etcdserver: role is not granted to the user")],
      ["disable", {}, "ok"],
    ];
    for (const [path, body, answer] of wanted) {
      expect([path, body, await at.asks(`/auth/${path}`, body)]).toEqual([path, body, answer]);
    }
  });

  test("names that no record can have are refused by name", async () => {
    const at = new As("texts");
    for (const name of ["x".repeat(257), "a\0b"]) {
      expect(await at.asks("/auth/user/add", { name })).toMatchObject({ status: 400, code: 3 });
      expect(await at.asks("/auth/role/add", { name })).toMatchObject({ status: 400, code: 3 });
      expect(await at.asks("/auth/authenticate", { name, password: name })).toEqual(NOT_ENABLED);
    }
  });

  test("permissions are told in the order of their keys; one of a place replaces the last", async () => {
    const at = new As("texts");
    const grant = (one: Permission) => at.told("/auth/role/grant", { name: "r", perm: permission(one) });
    await grant(["READ", "c", "\0"]);
    await grant(["READ", "a"]);
    await grant(["WRITE", "a"]);
    await grant(["READWRITE", "a", "b"]);
    expect(await at.told("/auth/role/get", { role: "r" })).toEqual({
      perm: [
        { permType: "WRITE", key: b64("a") },
        { permType: "READWRITE", key: b64("a"), range_end: b64("b") },
        { key: b64("c"), range_end: "AA==" },
      ],
    });
    await at.told("/auth/role/revoke", { role: "r", key: b64("c"), range_end: "AA==" });
    await at.told("/auth/role/revoke", { role: "r", key: b64("a") });
    expect(await at.told("/auth/role/get", { role: "r" })).toEqual({
      perm: [{ permType: "READWRITE", key: b64("a"), range_end: b64("b") }],
    });
  });

  test("while it is on: logins, guards, lists, and what everybody may see of themselves", async () => {
    const { root, al } = await withUser(new As("guards"), [["READ", "a"]]);
    const nobody = root.with(null);
    await root.told("/auth/user/add", { name: "np", options: { no_password: true } });
    await root.told("/auth/user/changepw", { name: "np", password: "pw" });
    await root.told("/auth/user/add", { name: "empty" });
    await root.told("/auth/role/add", { name: "root" });
    const noPassword = "auth: authentication failed, password was given for no password user";
    const wanted: [As, string, object, Refusal | "ok"][] = [
      [nobody, "authenticate", {}, WRONG],
      [nobody, "authenticate", { name: "none", password: "pw" }, WRONG],
      [nobody, "authenticate", { name: "root", password: "pw" }, WRONG],
      [nobody, "authenticate", { name: "al", password: "" }, WRONG],
      [nobody, "authenticate", { name: "np", password: "pw" }, { status: 500, code: 2, message: noPassword }],
      [nobody, "authenticate", { name: "empty", password: "" }, "ok"],
      [nobody, "user/list", {}, NO_TOKEN],
      [nobody, "enable", {}, NO_TOKEN],
      [nobody, "disable", {}, NO_TOKEN],
      [root.with("bad"), "user/list", {}, BAD_TOKEN],
      [root, "enable", {}, "ok"],
      [root, "user/delete", { name: "root" }, MANAGEMENT],
      [root, "user/revoke", { name: "root", role: "root" }, MANAGEMENT],
      [root, "role/delete", { role: "root" }, MANAGEMENT],
      [root, "user/revoke", { name: "al", role: "root" }, precondition("etcdserver: role is not granted to the user")],
      [al, "user/get", { name: "al" }, "ok"],
      [al, "user/get", { name: "root" }, DENIED],
      [al, "user/get", { name: "none" }, DENIED],
      [al, "role/get", { role: "r0" }, "ok"],
      [al, "role/get", { role: "root" }, DENIED],
      [al, "role/get", { role: "none" }, DENIED],
      ...["user/list", "role/list", "enable", "disable"].map((path): [As, string, object, Refusal] => [
        al,
        path,
        {},
        DENIED,
      ]),
      [al, "user/add", { name: "" }, DENIED],
      [al, "user/changepw", { name: "al", password: "2" }, DENIED],
      [al, "user/grant", { user: "al", role: "root" }, DENIED],
      [al, "role/grant", { name: "r0", perm: permission(["WRITE", "a"]) }, DENIED],
    ];
    for (const [as, path, body, answer] of wanted) {
      expect([path, body, await as.asks(`/auth/${path}`, body)]).toEqual([path, body, answer]);
    }
    expect(await root.told("/auth/user/list")).toEqual({ users: ["al", "empty", "np", "root"] });
    expect(await root.told("/auth/role/list")).toEqual({ roles: ["r0", "root"] });
    expect(await root.told("/auth/user/get", { name: "root" })).toEqual({ roles: ["root"] });
    expect(await root.told("/auth/user/get", { name: "np" })).toEqual({});
  });

  test("upkeep is for root; what only asks takes any token", async () => {
    const { root, al } = await withUser(new As("upkeep"));
    const nobody = al.with(null);
    for (const path of ["/maintenance/status", "/cluster/member/list", "/maintenance/alarm", "/lease/leases"]) {
      expect([path, await al.asks(path), await nobody.asks(path)]).toEqual([path, "ok", NO_TOKEN]);
    }
    for (const path of [
      "/maintenance/defragment",
      "/maintenance/hash",
      "/maintenance/hashkv",
      "/maintenance/snapshot",
    ]) {
      expect([path, await al.asks(path), await nobody.asks(path)]).toEqual([path, DENIED, NO_TOKEN]);
    }
    expect(await al.asks("/kv/compaction", { revision: 1 })).toEqual(DENIED);
    expect(await root.asks("/maintenance/defragment")).toBe("ok");
    expect(await al.asks("/lease/grant", { TTL: 60, ID: -7 })).toBe("ok");
    expect(await al.asks("/lease/grant", { TTL: 60 })).toBe("ok");
    expect(await nobody.asks("/lease/grant", { TTL: 60 })).toEqual(NO_TOKEN);
  });
});

describe("status", () => {
  test("is for everybody, and counts changes", async () => {
    const at = new As("status");
    const nobody = at.with(null);
    expect(await nobody.told("/auth/status")).toEqual({ authRevision: "1" });
    await withUser(at);
    const before = await nobody.told("/auth/status");
    expect(before).toMatchObject({ enabled: true });
    await at.told("/auth/role/add", { name: "r" });
    const after = await nobody.told("/auth/status");
    expect(BigInt(after["authRevision"] as string)).toBe(BigInt(before["authRevision"] as string) + 1n);
  });

  test("asking a namespace that is not there does not make it", async () => {
    const nobody = new As("not-there", null);
    expect(await nobody.told("/auth/status")).toEqual({ authRevision: "1" });
    expect(await nobody.asks("/auth/authenticate", { name: "a", password: "b" })).toEqual(NOT_ENABLED);
    const { json } = await edge.ask("/api/v1/namespaces");
    expect(JSON.stringify(json)).not.toContain("not-there");
  });
});

describe("tokens of Holdfast's", () => {
  test("are tokens of etcd, on or off; and passwords, for clients that can send nothing else", async () => {
    const at = new As("own");
    const nobody = at.with(null);
    expect(await at.asks("/kv/put", { key: b64("a") })).toBe("ok");
    expect(await nobody.told("/auth/authenticate", { name: "any", password: TOKEN })).toEqual({ token: TOKEN });
    expect(await nobody.asks("/kv/put", { key: b64("a") })).toEqual(NO_TOKEN);
    await withUser(at);
    expect(await at.asks("/kv/put", { key: b64("a") })).toBe("ok");
    expect(await nobody.told("/auth/authenticate", { name: "root", password: TOKEN })).toEqual({ token: TOKEN });
  });
});

describe("guessing", () => {
  test("is held up for that name, and shows nobody who is there", async () => {
    const at = new As("guessing");
    const { al } = await withUser(at);
    const nobody = at.with(null);
    const guess = (name: string, password = "no") => nobody.asks("/auth/authenticate", { name, password });
    for (let i = 0; i < 60; i++) expect([i, await guess("al")]).toEqual([i, WRONG]);
    const heldUp = { status: 429, code: 8, message: "etcdserver: too many requests" };
    expect([await guess("al"), await guess("al", "pw")]).toEqual([heldUp, heldUp]);
    expect([await guess("root", "rootpw"), await al.asks("/lease/leases")]).toEqual(["ok", "ok"]);
    for (let i = 0; i < 61; i++) expect([i, await guess(`none${i}`)]).toEqual([i, WRONG]);
  });
});

describe("the end of a token", () => {
  const PUT = ["/kv/put", { key: b64("a") }] as const;

  test("another password, the user's end, and auth turned off", async () => {
    const at = new As("ends");
    const { root, al } = await withUser(at, [["WRITE", "a"]]);
    const nobody = at.with(null);
    expect(await al.asks(...PUT)).toBe("ok");
    await root.told("/auth/user/changepw", { name: "al", password: "2" });
    expect(await al.asks(...PUT)).toEqual(BAD_TOKEN);
    expect(await nobody.asks("/auth/authenticate", { name: "al", password: "pw" })).toEqual(WRONG);
    const second = await nobody.logIn("al", "2");
    expect(await second.asks(...PUT)).toBe("ok");
    await root.told("/auth/disable");
    expect(await second.asks(...PUT)).toEqual(BAD_TOKEN);
    expect(await nobody.asks("/auth/authenticate", { name: "al", password: "2" })).toEqual(NOT_ENABLED);
    await at.told("/auth/enable");
    expect(await second.asks(...PUT)).toEqual(BAD_TOKEN);
    const third = await nobody.logIn("al", "2");
    await at.told("/auth/user/delete", { name: "al" });
    expect(await third.asks(...PUT)).toEqual(BAD_TOKEN);
  });

  test("a role taken, or deleted, counts at once", async () => {
    const { root, al } = await withUser(new As("roles"), [["WRITE", "a"]], [["WRITE", "b"]]);
    expect(await al.asks("/kv/put", { key: b64("b") })).toBe("ok");
    await root.told("/auth/user/revoke", { name: "al", role: "r1" });
    expect(await al.asks("/kv/put", { key: b64("b") })).toEqual(DENIED);
    await root.told("/auth/role/delete", { role: "r0" });
    expect(await al.asks(...PUT)).toEqual(DENIED);
    await root.told("/auth/role/add", { name: "r0" });
    await root.told("/auth/role/grant", { name: "r0", perm: permission(["WRITE", "a"]) });
    expect(await al.asks(...PUT)).toEqual(DENIED);
    expect(await root.told("/auth/user/get", { name: "al" })).toEqual({});
  });

  test("neither passwords nor tokens are in the audit log or a snapshot", async () => {
    const at = new As("secrets");
    const { al } = await withUser(at);
    const audit = await at.native("/audit?limit=1000");
    const snapshot = await at.native("/snapshot");
    expect([audit.status, snapshot.status]).toEqual([200, 200]);
    expect(audit.text).toContain("user:al");
    for (const secret of ["rootpw", al.token!, al.token!.split(".")[0]!]) {
      expect(audit.text.includes(secret) || snapshot.text.includes(secret)).toBe(false);
    }
  });
});

describe("what each part takes", () => {
  const at = () => new As("default");
  let al: As;
  let root: As;
  beforeAll(async () => {
    // Two roles whose ranges touch, one key to read and one to write.
    ({ al, root } = await withUser(
      at(),
      [
        ["READWRITE", "rw", "rx"],
        ["READ", "r"],
        ["WRITE", "w"],
      ],
      [["READ", "rx", "ry"]],
    ));
    for (const ID of [1, 2]) await root.told("/lease/grant", { TTL: 600, ID });
    await root.told("/kv/put", { key: b64("rw1"), lease: 1 });
    await root.told("/kv/put", { key: b64("z"), lease: 2 });
  });

  const range = (key: string, end?: string) => ({
    key: b64(key),
    ...(end !== undefined && { range_end: b64(end) }),
  });
  const compare = (key: string, end?: string) => ({ ...range(key, end), target: "VERSION", version: 0 });
  const txn = (body: object) => ["/kv/txn", body] as const;

  const CASES: [path: string, body: object, isAllowed: boolean][] = [
    ["/kv/range", range("r"), true],
    ["/kv/range", range("w"), false],
    ["/kv/range", range("rw", "rx"), true],
    ["/kv/range", range("rw", "ry"), true], // the union of two roles
    ["/kv/range", range("rw5", "rx5"), true],
    ["/kv/range", range("rw", "rz"), false],
    ["/kv/range", range("rv", "rx"), false],
    ["/kv/range", range("rw", "\0"), false],
    ["/kv/range", range("\0", "\0"), false],
    ["/kv/range", { ...range("r"), count_only: true }, true],
    ["/kv/range", { ...range("w"), count_only: true }, false],
    ["/kv/put", range("w"), true],
    ["/kv/put", range("r"), false],
    ["/kv/put", range("rx"), false],
    ["/kv/put", { key: b64("w"), prev_kv: true }, false],
    ["/kv/put", { key: b64("rw"), prev_kv: true }, true],
    ["/kv/put", { key: b64("rw"), lease: 1 }, true],
    ["/kv/put", { key: b64("rw"), lease: 2 }, false],
    ["/kv/deleterange", range("w"), true],
    ["/kv/deleterange", range("r"), false],
    ["/kv/deleterange", range("rw3", "rw4"), true],
    ["/kv/deleterange", range("rw3", "rx1"), false],
    ["/kv/deleterange", { ...range("w"), prev_kv: true }, false],
    [...txn({}), true],
    [...txn({ compare: [compare("r")] }), true],
    [...txn({ compare: [compare("w")] }), false],
    [...txn({ compare: [compare("rw", "rz")] }), false],
    [...txn({ success: [{ request_put: range("w") }] }), true],
    [...txn({ success: [{ request_put: range("r") }] }), false],
    [...txn({ failure: [{ request_put: range("r") }] }), false],
    [...txn({ success: [{ request_put: { key: b64("w"), prev_kv: true } }] }), false],
    [...txn({ success: [{ request_range: range("w") }] }), false],
    [...txn({ failure: [{ request_delete_range: range("r") }] }), false],
    [...txn({ failure: [{ request_delete_range: { ...range("w"), prev_kv: true } }] }), false],
    [...txn({ success: [{ request_put: { key: b64("rw"), lease: 2 } }] }), false],
    [...txn({ success: [{ request_txn: { success: [{ request_put: range("w") }] } }] }), true],
    [...txn({ success: [{ request_txn: { success: [{ request_put: range("r") }] } }] }), false],
    [...txn({ failure: [{ request_txn: { failure: [{ request_put: range("r") }] } }] }), false],
    [...txn({ failure: [{ request_txn: { compare: [compare("w")] } }] }), false],
    [...txn({ failure: [{ request_txn: { failure: [{ request_put: { key: b64("rw"), lease: 2 } }] } }] }), false],
    ["/lease/timetolive", { ID: 1, keys: true }, true],
    ["/lease/timetolive", { ID: 2, keys: true }, false],
    ["/lease/timetolive", { ID: 2 }, true],
    ["/lease/keepalive", { ID: 2 }, true],
    ["/lease/revoke", { ID: 2 }, false],
  ];
  test.each(CASES)("%s %j: %s", async (path, body, isAllowed) => {
    expect(await al.asks(path, body)).toEqual(isAllowed ? "ok" : DENIED);
    expect(await al.with(null).asks(path, body)).toEqual(NO_TOKEN);
  });

  test("a lease goes for who may delete all that hangs on it", async () => {
    await root.told("/lease/grant", { TTL: 600, ID: 3 });
    await root.told("/kv/put", { key: b64("w"), lease: 3 });
    await root.told("/kv/put", { key: b64("x"), lease: 3 });
    expect(await al.asks("/lease/revoke", { ID: 3 })).toEqual(DENIED);
    await root.told("/kv/deleterange", { key: b64("x") });
    expect(await al.asks("/lease/revoke", { ID: 3 })).toBe("ok");
  });

  test("a lease that nobody has is told as such", async () => {
    expect(await al.asks("/kv/put", { key: b64("w"), lease: 99 })).toEqual(
      notFound("etcdserver: requested lease not found"),
    );
    expect(await al.asks("/lease/revoke", { ID: 99 })).toEqual(notFound("etcdserver: requested lease not found"));
  });

  const inGo = (code: string, { message }: Refusal): string => `rpc error: code = ${code} desc = ${message}`;

  test("a watch takes the right to read all of its range, and the stream outlives a refusal", async () => {
    await using stream = new GatewayStream(edge, "/watch", al.token!);
    const watch = (create_request: object) => {
      stream.send({ create_request });
      return stream.next();
    };
    const denied = {
      watch_id: "-1",
      created: true,
      canceled: true,
      cancel_reason: inGo("PermissionDenied", DENIED),
    };
    for (const one of [range("w"), range("rw", "rz"), range("r", "\0"), {}, { key: "", range_end: "AA==" }]) {
      expect([one, await watch(one)]).toMatchObject([one, denied]);
    }
    expect(await watch(range("rw", "ry"))).not.toHaveProperty("canceled");
    await root.told("/kv/put", { key: b64("za") });
    await root.told("/kv/put", { key: b64("rx") });
    expect((await stream.next()).events.map(({ kv }: { kv: { key: string } }) => kv.key)).toEqual([b64("rx")]);

    await using stranger = new GatewayStream(edge, "/watch", "bad");
    stranger.send({ create_request: range("r") });
    expect(await stranger.next()).toMatchObject({ ...denied, cancel_reason: inGo("Unauthenticated", BAD_TOKEN) });
  });

  test("a watch ends before it tells what its caller may no longer read", async () => {
    await root.told("/auth/role/add", { name: "short" });
    await root.told("/auth/role/grant", { name: "short", perm: permission(["READ", "s"]) });
    await root.told("/auth/user/grant", { user: "al", role: "short" });
    await using stream = new GatewayStream(edge, "/watch", al.token!);
    stream.send({ create_request: range("s") }, { create_request: range("r") });
    expect([await stream.next(), await stream.next()]).toMatchObject([{ created: true }, { created: true }]);
    await root.told("/auth/user/revoke", { name: "al", role: "short" });
    await root.told("/kv/put", { key: b64("s") });
    expect(await stream.next()).toMatchObject({ canceled: true, cancel_reason: inGo("PermissionDenied", DENIED) });
    await root.told("/kv/put", { key: b64("r") });
    expect(await stream.next()).toMatchObject({ watch_id: "1", events: [{ kv: { key: b64("r") } }] });
  });

  test("locks and elections take what their keys take", async () => {
    const denied = { status: 500, code: 2, message: DENIED.message };
    const leader = (key: string) => ({ name: b64(key), key: b64(`${key}/1`), rev: "1", lease: "1" });
    expect(await al.asks("/lock/lock", { name: b64("rw-lock"), lease: 1 })).toBe("ok");
    expect(await al.asks("/lock/unlock", { key: b64("rw-lock/1") })).toBe("ok");
    expect(await al.asks("/lock/lock", { name: b64("w"), lease: 1 })).toEqual(denied);
    expect(await al.asks("/lock/unlock", { key: b64("x/1") })).toEqual(denied);
    expect(await al.asks("/lock/lock", { name: b64("rw-other"), lease: 2 })).toEqual(denied);
    expect(await al.asks("/election/campaign", { name: b64("rw-election"), lease: 1 })).toBe("ok");
    expect(await al.asks("/election/leader", { name: b64("rw-election") })).toBe("ok");
    expect(await al.asks("/election/campaign", { name: b64("x"), lease: 1 })).toEqual(denied);
    expect(await al.asks("/election/leader", { name: b64("x") })).toEqual(denied);
    expect(await al.asks("/election/proclaim", { leader: leader("x"), value: "" })).toEqual(denied);
    expect(await al.asks("/election/resign", { leader: leader("x") })).toEqual(denied);
  });

  test("through the native API a token may as much", async () => {
    const kv = (key: string, method: string, body?: string) =>
      al.native(`/kv/${key}`, { method, ...(body && { body }) });
    const wanted: [string, string, string | undefined, boolean][] = [
      ["r", "GET", undefined, true],
      ["w", "GET", undefined, false],
      ["w", "PUT", "1", true],
      ["r", "PUT", "1", false],
      ["rx", "PUT", "1", false],
      ["w", "DELETE", undefined, true],
      ["r", "DELETE", undefined, false],
    ];
    for (const [key, method, body, isAllowed] of wanted) {
      const { status } = await kv(key, method, body);
      expect([method, key, status === 403]).toEqual([method, key, !isAllowed]);
    }
    expect((await al.native("/policies")).status).toBe(403);
    expect((await al.with("bad").native("/kv/r")).status).toBe(401);
  });
});

describe("open mode", () => {
  test("asks nobody until auth is on, and then who they are", async () => {
    const at = new As("opened", null, open);
    expect(await at.asks("/kv/put", { key: b64("a") })).toBe("ok");
    expect(await at.asks("/auth/authenticate", { name: "a", password: "b" })).toEqual(NOT_ENABLED);
    const { root, al } = await withUser(at, [["READ", "a"]]);
    expect(await at.asks("/kv/put", { key: b64("a") })).toEqual(NO_TOKEN);
    expect(await at.with("bad").asks("/kv/put", { key: b64("a") })).toEqual(BAD_TOKEN);
    expect([await al.asks("/kv/range", { key: b64("a") }), await al.asks("/kv/put", { key: b64("a") })]).toEqual([
      "ok",
      DENIED,
    ]);
    expect(await new As("another", null, open).asks("/kv/put", { key: b64("a") })).toBe("ok");
    await root.told("/auth/disable");
    expect(await at.asks("/kv/put", { key: b64("a") })).toBe("ok");
  });
});
