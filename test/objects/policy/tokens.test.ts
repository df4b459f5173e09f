/** Policies, roles, tokens and auth methods as records: what is unique, what is linked, what a secret opens. */
import { beforeEach, describe, expect, test } from "vitest";
import { MANAGEMENT_ID, READ_ONLY_ID } from "../../../objects/policy/policies.ts";
import { RESOLVED_FROM } from "../../../objects/policy/principal.ts";
import type { Statement } from "../../../objects/policy/statements.ts";
import { decide } from "../../../objects/policy/statements.ts";
import { ANONYMOUS_ACCESSOR } from "../../../objects/policy/tokens.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

const run: World["run"] = (command, input) => world.run(command, input);
/** All but the one that is always there. */
const listed = () => ask("token.list", {}).items.filter(({ accessor }) => accessor !== ANONYMOUS_ACCESSOR);
const ask: World["ask"] = (query, input) => world.ask(query, input);

const allowKv = (name: string): Statement => ({ effect: "allow", verbs: ["read"], kind: "kv", match: "prefix", name });
const secret = (digit: string) => ({ hash: digit.repeat(64), sealed: `sealed ${digit}` });
const policy = (name: string, statements: Statement[] = [allowKv(name)]) => run("policy.put", { name, statements });
const may = (digit: string, name: string): boolean => {
  const { principal, defaultPolicy } = ask("policy.resolve", { secretHash: digit.repeat(64) });
  return principal !== null && decide(principal.statements, "read", "kv", name, defaultPolicy);
};

describe("policies", () => {
  test("come back as they were written, by id and by name", () => {
    const source = { dialect: "consul", text: 'key_prefix "a" { policy = "read" }' };
    const extra = { consul: { datacenters: ["dc1"] } };
    const written = run("policy.put", { name: "a", description: "of a", statements: [allowKv("a")], source, extra });
    expect(written.id).toMatch(/^[0-9a-f-]{36}$/);
    expect(ask("policy.get", { id: written.id })).toEqual(written);
    expect(ask("policy.get", { name: "a" })).toEqual(written);
    expect(written).toMatchObject({ source, extra, description: "of a" });
    expect(codeOf(() => ask("policy.get", { name: "b" }))).toBe("not_found");
  });

  test("have unique names; a rename frees the old one", () => {
    const { id } = policy("a");
    expect(codeOf(() => policy("a"))).toBe("already_exists");
    expect(codeOf(() => policy("global-management"))).toBe("already_exists");
    run("policy.put", { id, name: "b", statements: [] });
    expect(policy("a").id).not.toBe(id);
    expect(codeOf(() => run("policy.put", { id, name: "a", statements: [] }))).toBe("already_exists");
  });

  test("are written by compare-and-set where that is asked for", () => {
    const { id, modRevision } = policy("a");
    expect(codeOf(() => run("policy.put", { id, name: "a", statements: [], cas: modRevision - 1 }))).toBe("conflict");
    run("policy.put", { id, name: "a", statements: [], cas: modRevision });
    expect(codeOf(() => run("policy.delete", { id, cas: modRevision }))).toBe("conflict");
    expect(codeOf(() => run("policy.put", { id: MANAGEMENT_ID.replace("1", "7"), name: "x", statements: [] }))).toBe(
      "not_found",
    );
  });

  test("built in ones can be renamed, and nothing else", () => {
    const builtin = ask("policy.get", { id: MANAGEMENT_ID });
    expect(codeOf(() => run("policy.delete", { id: MANAGEMENT_ID }))).toBe("unsupported");
    expect(codeOf(() => run("policy.put", { id: MANAGEMENT_ID, name: "root", statements: [] }))).toBe("unsupported");
    run("policy.put", { id: MANAGEMENT_ID, name: "root", statements: builtin.statements });
    expect(ask("policy.get", { name: "root" }).id).toBe(MANAGEMENT_ID);
    expect(codeOf(() => ask("policy.get", { name: builtin.name }))).toBe("not_found");
    expect(ask("policy.list", {}).items.map(({ name }) => name)).toEqual(["root", "builtin/global-read-only"]);
  });

  test("everything is allowed by one built in, everything but reading stopped by the other", () => {
    const { statements } = ask("policy.get", { id: MANAGEMENT_ID });
    expect(decide(statements, "grant", "acl", "")).toBe(true);
    const reading = ask("policy.get", { id: READ_ONLY_ID }).statements;
    expect(decide(reading, "watch", "queue", "q")).toBe(true);
    expect(decide(reading, "backup", "snapshot", "", "allow")).toBe(false);
  });

  test("are listed in pages that together hold each once", () => {
    const names = Array.from({ length: 1200 }, (_, i) => policy(`p${i}`, []).name);
    const first = ask("policy.list", {});
    const second = ask("policy.list", { after: first.after });
    expect(second.after).toBeNull();
    const all = [...first.items, ...second.items].map(({ name }) => name);
    expect(all.toSorted()).toEqual([...names, "global-management", "builtin/global-read-only"].toSorted());
  });
});

describe("tokens", () => {
  test("are found by the hash of their secret, which is never told", () => {
    const { id } = policy("a");
    const token = run("token.create", { secret: secret("1"), policies: [{ name: "a" }], description: "one" });
    expect(token).toMatchObject({
      policies: [{ id, name: "a" }],
      sealedSecret: "sealed 1",
      method: null,
      local: false,
    });
    expect(JSON.stringify([token, ask("token.list", {})])).not.toContain("1".repeat(64));
    expect(ask("token.get", { secretHash: "1".repeat(64) })).toEqual({ ...token, statements: [] });
    expect(may("1", "abc")).toBe(true);
    expect(may("1", "b")).toBe(false);
    expect(may("2", "abc")).toBe(false);
  });

  test("have an accessor and a secret that no other has", () => {
    const { accessor } = run("token.create", { secret: secret("1") });
    expect(codeOf(() => run("token.create", { secret: secret("1") }))).toBe("already_exists");
    expect(codeOf(() => run("token.create", { accessor, secret: secret("2") }))).toBe("already_exists");
    expect(codeOf(() => run("token.create", { accessor: ANONYMOUS_ACCESSOR, secret: secret("2") }))).toBe(
      "already_exists",
    );
    expect(codeOf(() => run("token.create", { secret: { hash: "no hash", sealed: "" } }))).toBe("invalid_argument");
  });

  test("grant what their roles grant; a link to nothing is refused", () => {
    policy("a");
    run("role.put", { name: "reader", policies: [{ name: "a" }], statements: [allowKv("own")] });
    run("token.create", { secret: secret("1"), roles: [{ name: "reader" }] });
    expect([may("1", "a"), may("1", "own"), may("1", "b")]).toEqual([true, true, false]);
    expect(codeOf(() => run("token.create", { secret: secret("2"), policies: [{ name: "gone" }] }))).toBe("not_found");
    expect(codeOf(() => run("role.put", { name: "r", policies: [{ id: "gone" }] }))).toBe("not_found");
    expect(codeOf(() => run("role.put", { name: "reader" }))).toBe("already_exists");
  });

  test("lose what a deleted policy or role granted, also when its name is given again", () => {
    const { id } = policy("a");
    const role = run("role.put", { name: "reader", statements: [allowKv("r")] });
    const { accessor } = run("token.create", { secret: secret("1"), policies: [{ id }], roles: [{ id: role.id }] });
    expect(ask("token.list", { policy: id, role: role.id }).items).toHaveLength(1);
    run("policy.delete", { id });
    run("role.delete", { id: role.id });
    policy("a");
    run("role.put", { name: "reader", statements: [allowKv("r")] });
    expect(ask("token.get", { accessor })).toMatchObject({ policies: [], roles: [] });
    expect([may("1", "a"), may("1", "r")]).toEqual([false, false]);
  });

  test("end when they expire, and are removed by later ones", () => {
    const expiresAt = world.now + 60_000;
    const { accessor } = run("token.create", { secret: secret("1"), statements: [allowKv("")], expiresAt });
    expect(may("1", "a")).toBe(true);
    world.now = expiresAt;
    expect(may("1", "a")).toBe(false);
    expect(codeOf(() => ask("token.get", { accessor }))).toBe("not_found");
    expect(codeOf(() => run("token.update", { accessor }))).toBe("not_found");
    expect(listed()).toEqual([]);
    // The secret is free again only once the record is gone, which the write itself sees to.
    run("token.create", { secret: secret("1") });
    expect(codeOf(() => run("token.create", { secret: secret("2"), expiresAt: world.now }))).toBe("invalid_argument");
  });

  test("are updated and deleted by accessor", () => {
    const { accessor, modRevision } = run("token.create", { secret: secret("1"), statements: [allowKv("a")] });
    expect(codeOf(() => run("token.update", { accessor, cas: modRevision + 5 }))).toBe("conflict");
    run("token.update", { accessor, statements: [allowKv("b")], description: "new" });
    expect([may("1", "a"), may("1", "b")]).toEqual([false, true]);
    expect(run("token.delete", { accessor })).toEqual({ existed: true });
    expect(run("token.delete", { accessor })).toEqual({ existed: false });
    expect(may("1", "b")).toBe(false);
  });

  test("are cloned with all they grant, under another secret", () => {
    policy("a");
    run("role.put", { name: "r" });
    const original = run("token.create", {
      secret: secret("1"),
      policies: [{ name: "a" }],
      roles: [{ name: "r" }],
      statements: [allowKv("own")],
      local: true,
    });
    const clone = run("token.clone", { accessor: original.accessor, secret: secret("2"), description: "copy" });
    expect(clone).toMatchObject({
      policies: original.policies,
      roles: original.roles,
      local: true,
      description: "copy",
    });
    expect(clone.accessor).not.toBe(original.accessor);
    expect([may("2", "a"), may("2", "own")]).toEqual([true, true]);
  });

  test("the anonymous one is there unwritten, can be given rights, and not be deleted", () => {
    const anonymous = () => ask("policy.resolve", { secretHash: null });
    expect(anonymous()).toMatchObject({
      principal: { accessor: ANONYMOUS_ACCESSOR, statements: [] },
      defaultPolicy: "deny",
    });
    run("token.update", { accessor: ANONYMOUS_ACCESSOR, statements: [allowKv("public/")] });
    expect(anonymous().principal?.statements).toEqual([allowKv("public/")]);
    expect(codeOf(() => run("token.delete", { accessor: ANONYMOUS_ACCESSOR }))).toBe("unsupported");
    run("settings.update", { policy: { default: "allow" } });
    expect(anonymous().defaultPolicy).toBe("allow");
  });

  test("the first one is given once", () => {
    const token = run("token.bootstrap", { secret: secret("1") });
    expect(token.policies).toEqual([{ id: MANAGEMENT_ID, name: "global-management" }]);
    expect(may("1", "anything")).toBe(true);
    run("token.delete", { accessor: token.accessor });
    expect(codeOf(() => run("token.bootstrap", { secret: secret("2") }))).toBe("conflict");
  });
});

describe("auth methods", () => {
  const method = (name = "ci") => run("authMethod.put", { name, type: "jwt", config: { issuer: "x" } });
  const login = (digit: string, method = "ci") =>
    run("token.create", { secret: secret(digit), method, statements: [allowKv("")], policies: [{ name: "no such" }] });

  test("give tokens, as long as something is granted", () => {
    method();
    expect(login("1")).toMatchObject({ method: "ci", policies: [] });
    expect(codeOf(() => run("token.create", { secret: secret("2"), method: "ci" }))).toBe("permission_denied");
    expect(codeOf(() => login("2", "none"))).toBe("not_found");
    expect(codeOf(() => run("token.clone", { accessor: listed()[0]!.accessor, secret: secret("3") }))).toBe(
      "unsupported",
    );
  });

  test("take their rules and tokens along, also those there are too many of for one command", () => {
    method();
    run("bindingRule.put", { method: "ci", bind: { type: "role", name: "r" } });
    for (let i = 0; i < 1001; i++) {
      run("token.create", {
        secret: { hash: i.toString(16).padStart(64, "0"), sealed: "" },
        method: "ci",
        statements: [allowKv("")],
      });
    }
    expect(run("authMethod.delete", { name: "ci" })).toEqual({ existed: true, remaining: true });
    expect(ask("bindingRule.list", {}).items).toEqual([]);
    // Void already, and for ever: the method of the same name is another one.
    method();
    expect(listed()).toEqual([]);
    const last = Array.from({ length: 1001 }, (_, i) => i.toString(16).padStart(64, "0"));
    for (const secretHash of last) expect(ask("policy.resolve", { secretHash }).principal).toBeNull();
    expect(run("authMethod.delete", { name: "ci" })).toEqual({ existed: true, remaining: false });
  });

  test("and their rules keep what they are", () => {
    method();
    const rule = run("bindingRule.put", { method: "ci", selector: "a == b", bind: { type: "role", name: "r" } });
    expect(ask("bindingRule.get", { id: rule.id })).toEqual(rule);
    expect(ask("bindingRule.list", { method: "other" }).items).toEqual([]);
    method("other");
    const change = { id: rule.id, method: "other", bind: rule.bind };
    expect(codeOf(() => run("bindingRule.put", change))).toBe("invalid_argument");
    expect(codeOf(() => run("bindingRule.put", { method: "none", bind: rule.bind }))).toBe("not_found");
    expect(codeOf(() => run("authMethod.put", { name: "ci", type: "other", config: {} }))).toBe("invalid_argument");
    expect(run("bindingRule.delete", { id: rule.id })).toEqual({ existed: true });
    expect(codeOf(() => ask("bindingRule.get", { id: rule.id }))).toBe("not_found");
  });
});

test("whatever a token is resolved from is known to have changed when it has", () => {
  const lastChange = () => world.core.store.lastChange(RESOLVED_FROM);
  const ids = { policy: "", role: "" };
  const changes: Record<string, () => unknown> = {
    policy: () => (ids.policy = policy("a").id),
    user: () => run("user.create", { name: "u", password: null }),
    role: () => (ids.role = run("role.put", { name: "r", policies: [{ id: ids.policy }] }).id),
    token: () => run("token.create", { secret: secret("1"), roles: [{ id: ids.role }] }),
    "policy taken away": () => run("policy.delete", { id: ids.policy }),
    "role taken away": () => run("role.delete", { id: ids.role }),
    settings: () => run("settings.update", { policy: { default: "allow" } }),
  };
  const unrelated = () => run("kv.put", { key: new Uint8Array([1]), value: new Uint8Array() });
  unrelated();
  for (const [what, change] of Object.entries(changes)) {
    const before = lastChange();
    change();
    expect([what, lastChange()]).toEqual([what, world.core.revision]);
    expect(lastChange()).toBeGreaterThan(before);
  }
  const before = lastChange();
  unrelated();
  expect(lastChange()).toBe(before);
});
