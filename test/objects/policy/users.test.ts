/** Users, logins and what a role says of one place, as records: what voids a token, and what nobody may take away. */
import { beforeEach, describe, expect, test } from "vitest";
import type { CommandOutput } from "../../../objects/commands.ts";
import { MANAGEMENT_ID } from "../../../objects/policy/policies.ts";
import type { Statement } from "../../../objects/policy/statements.ts";
import { decide } from "../../../objects/policy/statements.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const run: World["run"] = (command, input) => world.run(command, input);
const ask: World["ask"] = (query, input) => world.ask(query, input);

const allowKv = (name: string): Statement => ({ effect: "allow", verbs: ["read"], kind: "kv", match: "exact", name });
const principalOf = (digit: string) => ask("policy.resolve", { secretHash: digit.repeat(64) }).principal;
const may = (digit: string, name: string): boolean =>
  decide(principalOf(digit)?.statements ?? [], "read", "kv", name, "deny");

const MINUTE = 60_000;

/** As the edge does it, once the password is right. */
function logIn(digit: string, name: string, lifeMs = MINUTE): CommandOutput<"login.begin"> {
  const { id, credential } = ask("user.credentials", { name }).user!;
  return run("login.begin", { user: id, credential, secret: { hash: digit.repeat(64), sealed: "" }, lifeMs });
}

function withAdministrator(): void {
  run("user.create", { name: "root", password: "hash of root" });
  run("user.grant", { name: "root", policy: { id: MANAGEMENT_ID } });
  run("login.turnOn", { administrator: "root" });
}

describe("users", () => {
  test("have unique names, and show nothing of their password", () => {
    run("user.create", { name: "a", password: "secret hash" });
    run("user.create", { name: "b", password: null });
    expect(codeOf(() => run("user.create", { name: "a", password: null }))).toBe("already_exists");
    const shown = [ask("user.get", { name: "a" }), ...ask("user.list", {}).items];
    expect(shown.map(({ hasPassword }) => hasPassword).filter(Boolean)).toHaveLength(2);
    expect(JSON.stringify(shown)).not.toContain("secret hash");
    expect(codeOf(() => ask("user.get", { name: "c" }))).toBe("not_found");
    expect(codeOf(() => run("user.create", { name: "", password: null }))).toBe("invalid_argument");
    expect(codeOf(() => run("user.create", { name: "c", password: "x".repeat(513) }))).toBe("invalid_argument");
  });

  test("a grant that is held changes nothing; one that has gone is not held by its name", () => {
    run("user.create", { name: "a", password: null });
    const { id } = run("role.put", { name: "r", statements: [allowKv("x")] });
    run("user.grant", { name: "a", role: { name: "r" } });
    const { changes } = ask("login.state", {});
    run("user.grant", { name: "a", role: { name: "r" } });
    expect(ask("login.state", {}).changes).toBe(changes);
    run("role.delete", { id });
    run("role.put", { name: "r" });
    expect(ask("user.get", { name: "a" }).roles).toEqual([]);
    expect(run("user.revoke", { name: "a", role: { name: "r" } })).toEqual({ existed: false });
    expect(codeOf(() => run("user.grant", { name: "a", role: { name: "none" } }))).toBe("not_found");
    expect(codeOf(() => run("user.revoke", { name: "none", role: { name: "r" } }))).toBe("not_found");
  });
});

describe("logins", () => {
  test("take somebody who may do everything, and keep them", () => {
    expect(codeOf(() => run("login.turnOn", { administrator: "root" }))).toBe("not_found");
    run("user.create", { name: "root", password: "h" });
    expect(codeOf(() => run("login.turnOn", { administrator: "root" }))).toBe("conflict");
    run("user.grant", { name: "root", policy: { id: MANAGEMENT_ID } });
    run("login.turnOn", { administrator: "root" });
    expect(codeOf(() => run("user.delete", { name: "root" }))).toBe("unsupported");
    expect(codeOf(() => run("user.revoke", { name: "root", policy: { id: MANAGEMENT_ID } }))).toBe("unsupported");
    run("login.turnOff", {});
    run("user.delete", { name: "root" });
  });

  test("are for the credential that was proven, while they are on", () => {
    run("user.create", { name: "a", password: "1" });
    expect(codeOf(() => logIn("a", "a"))).toBe("conflict");
    withAdministrator();
    const { id, credential } = ask("user.credentials", { name: "a" }).user!;
    run("user.setPassword", { name: "a", password: "2" });
    const secret = { hash: "a".repeat(64), sealed: "" };
    expect(codeOf(() => run("login.begin", { user: id, credential, secret, lifeMs: MINUTE }))).toBe("conflict");
    logIn("a", "a");
    expect(principalOf("a")?.user).toBe("a");
  });

  test("a token may what its user may now", () => {
    withAdministrator();
    run("user.create", { name: "a", password: "1", statements: [allowKv("own")] });
    run("role.put", { name: "r", statements: [allowKv("x")] });
    logIn("a", "a");
    expect([may("a", "own"), may("a", "x")]).toEqual([true, false]);
    run("user.grant", { name: "a", role: { name: "r" } });
    expect(may("a", "x")).toBe(true);
    run("user.revoke", { name: "a", role: { name: "r" } });
    expect(may("a", "x")).toBe(false);
  });

  const ENDS: [string, () => void][] = [
    ["another password", () => run("user.setPassword", { name: "a", password: "2" })],
    ["the user's end", () => run("user.delete", { name: "a" })],
    [
      "the user's end, also with another of the name",
      () => {
        run("user.delete", { name: "a" });
        run("user.create", { name: "a", password: "1" });
      },
    ],
    ["logins turned off", () => run("login.turnOff", {})],
    [
      "logins turned off and on again",
      () => {
        run("login.turnOff", {});
        run("login.turnOn", { administrator: "root" });
      },
    ],
    ["its time", () => (world.now += MINUTE)],
  ];
  test.each(ENDS)("a token is void after %s", (_what, end) => {
    withAdministrator();
    run("user.create", { name: "a", password: "1" });
    run("user.create", { name: "b", password: "1" });
    const { accessor } = logIn("a", "a");
    expect(principalOf("a")).not.toBeNull();
    end();
    expect(principalOf("a")).toBeNull();
    expect(codeOf(() => ask("token.get", { accessor }))).toBe("not_found");
  });

  test("a token lives on from when it was used, and cannot be cloned", () => {
    withAdministrator();
    const { accessor } = logIn("a", "root");
    world.now += MINUTE - 1;
    run("login.prolong", { accessor, lifeMs: MINUTE });
    world.now += MINUTE - 1;
    expect(principalOf("a")?.expiresAt).toBe(world.now + 1);
    world.now += 1;
    expect(codeOf(() => run("login.prolong", { accessor, lifeMs: MINUTE }))).toBe("not_found");
    const { accessor: other } = logIn("b", "root");
    const secret = { hash: "c".repeat(64), sealed: "" };
    expect(codeOf(() => run("token.clone", { accessor: other, secret }))).toBe("unsupported");
  });

  test("a token of an operator is not prolonged by this", () => {
    const secret = { hash: "c".repeat(64), sealed: "" };
    const { accessor } = run("token.create", { secret, expiresAt: world.now + MINUTE });
    run("login.prolong", { accessor, lifeMs: 2 * MINUTE });
    expect(ask("token.get", { accessor }).expiresAt).toBe(world.now + MINUTE);
  });

  test("every change of users, roles, and logins is counted", () => {
    const before = ask("login.state", {}).changes;
    run("user.create", { name: "a", password: "1" });
    const { id } = run("role.put", { name: "r" });
    run("role.grant", { name: "r", statement: allowKv("x") });
    run("role.delete", { id });
    withAdministrator();
    expect(ask("login.state", {}).changes).toBe(before + 7);
  });
});

describe("roles", () => {
  test("say one thing of a place", () => {
    run("role.put", { name: "r" });
    run("role.grant", { name: "r", statement: allowKv("x") });
    run("role.grant", { name: "r", statement: { ...allowKv("x"), verbs: ["update"] } });
    run("role.grant", { name: "r", statement: { ...allowKv("x"), match: "range", end: "y" } });
    expect(ask("role.get", { name: "r" }).statements.map(({ verbs }) => verbs)).toEqual([["update"], ["read"]]);
    expect(run("role.revoke", { name: "r", place: { kind: "kv", match: "exact", name: "x" } })).toEqual({
      existed: true,
    });
    const place = { kind: "kv", match: "range", name: "x", end: null } as const;
    expect(run("role.revoke", { name: "r", place })).toEqual({ existed: false });
    expect(ask("role.get", { name: "r" }).statements).toHaveLength(1);
    expect(codeOf(() => run("role.grant", { name: "none", statement: allowKv("x") }))).toBe("not_found");
  });
});
