/** From a token to what it may do, over a namespace that may not answer; and what routes demand. */
import { afterEach, beforeEach, describe, expect, test, vi } from "vitest";
import { prefixEnd, utf8 } from "../../../objects/bytes.ts";
import { HoldfastError } from "../../../objects/errors.ts";
import { CompiledPolicy } from "../../../objects/policy/compiled.ts";
import type { Resolution } from "../../../objects/policy/principal.ts";
import type { Statement } from "../../../objects/policy/statements.ts";
import { Authorizer, authorizerOf, forgetAuthorizers, hashOf } from "../../../workers/request/authorizer.ts";
import type { Bindings } from "../../../workers/request/bindings.ts";
import type { Permission } from "../../../workers/request/permission.ts";
import { enforceEarly, enforceParts } from "../../../workers/request/permission.ts";
import { open, seal } from "../../../workers/request/secrets.ts";

const allow = (name: string): Statement => ({ effect: "allow", verbs: ["read"], kind: "kv", match: "prefix", name });

/** A namespace that knows one token, and counts how often it is asked. */
class FakeNamespace {
  asked = 0;
  isOut = false;
  readonly named: string[] = [];
  /** What happens while an answer is on its way. */
  meanwhile: () => void = () => undefined;
  resolution: Resolution = { principal: null, defaultPolicy: "deny" };
  readonly #knownHash: string;

  constructor(secret: string) {
    this.#knownHash = hashOf(secret);
  }

  get env(): Bindings {
    const stub = {
      query: async (_name: string, { secretHash }: { secretHash: string | null }) => {
        this.asked++;
        if (this.isOut) {
          return { ok: false, error: new HoldfastError("unavailable", "out").toValue(), revision: 1 };
        }
        const { resolution } = this;
        await Promise.resolve();
        this.meanwhile();
        const value = secretHash === this.#knownHash ? resolution : { principal: null, defaultPolicy: "deny" };
        return { ok: true, value, revision: 1 };
      },
    };
    const directory = { has: async (namespace: string) => namespace === "other" };
    const getByName = (name: string) => {
      this.named.push(name);
      return stub;
    };
    return {
      HOLDFAST_ROOT_TOKEN: "root",
      NAMESPACE: { getByName },
      DIRECTORY: { getByName: () => directory },
    } as unknown as Bindings;
  }

  grant(statements: Statement[], more: Partial<NonNullable<Resolution["principal"]>> = {}): void {
    const principal = { accessor: "a1", isAnonymous: false, datacenter: "", expiresAt: null, statements, ...more };
    this.resolution = { principal, defaultPolicy: "deny" };
  }
}

const unknown = expect.objectContaining({ code: "unauthenticated" }) as Error;
const NAMESPACE = "default";

beforeEach(() => {
  vi.useFakeTimers({ toFake: ["Date"], now: 1_700_000_000_000 });
  forgetAuthorizers(NAMESPACE);
});
afterEach(() => {
  vi.useRealTimers();
});

describe("a token", () => {
  test("is asked for once in a while, and at once after a change made here", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([allow("a")]);
    const may = async () => (await authorizerOf("s", namespace.env, NAMESPACE)).allows("read", "kv", "a");
    expect([await may(), await may(), namespace.asked]).toEqual([true, true, 1]);
    namespace.grant([]);
    expect(await may()).toBe(true);
    forgetAuthorizers(NAMESPACE);
    expect(await may()).toBe(false);
    namespace.grant([allow("")]);
    vi.advanceTimersByTime(10_000);
    expect(await may()).toBe(true);
  });

  test("is honoured for at most 30 s while the namespace cannot be reached (P4)", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([allow("a")]);
    await authorizerOf("s", namespace.env, NAMESPACE);
    namespace.isOut = true;
    vi.advanceTimersByTime(29_999);
    expect((await authorizerOf("s", namespace.env, NAMESPACE)).principal).toBe("token:a1");
    vi.advanceTimersByTime(1);
    await expect(authorizerOf("s", namespace.env, NAMESPACE)).rejects.toMatchObject({ code: "unavailable" });
  });

  test("that nobody has is refused, and asked for again after a second", async () => {
    const namespace = new FakeNamespace("s");
    const { env } = namespace;
    await expect(authorizerOf("x", env, NAMESPACE)).rejects.toThrow(unknown);
    await expect(authorizerOf("x", env, NAMESPACE)).rejects.toThrow(unknown);
    expect(namespace.asked).toBe(1);
    vi.advanceTimersByTime(1000);
    await expect(authorizerOf("x", env, NAMESPACE)).rejects.toThrow(unknown);
    expect(namespace.asked).toBe(2);
  });

  test("that expires while it is kept is over", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([], { expiresAt: Date.now() + 5000 });
    await authorizerOf("s", namespace.env, NAMESPACE);
    vi.advanceTimersByTime(5000);
    await expect(authorizerOf("s", namespace.env, NAMESPACE)).rejects.toThrow(unknown);
  });

  test("is asked for again when a change overtook the answer", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([allow("a")]);
    namespace.meanwhile = () => {
      namespace.meanwhile = () => undefined;
      namespace.grant([]);
      forgetAuthorizers(NAMESPACE);
    };
    await authorizerOf("s", namespace.env, NAMESPACE);
    expect((await authorizerOf("s", namespace.env, NAMESPACE)).allows("read", "kv", "a")).toBe(false);
  });

  test("is not pushed out by guesses", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([]);
    await authorizerOf("s", namespace.env, NAMESPACE);
    for (let i = 0; i < 6000; i++) await authorizerOf(`guess ${i}`, namespace.env, NAMESPACE).catch(() => undefined);
    namespace.asked = 0;
    await authorizerOf("s", namespace.env, NAMESPACE);
    expect(namespace.asked).toBe(0);
  });

  test("that is local is void in another datacenter", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([], { datacenter: "dc1" });
    expect((await authorizerOf("s", namespace.env, NAMESPACE)).accessor).toBe("a1");
    await expect(authorizerOf("s", namespace.env, NAMESPACE, "dc2")).rejects.toThrow(unknown);
  });

  test("of one namespace says nothing in another", async () => {
    const namespace = new FakeNamespace("s");
    namespace.grant([allow("")]);
    await authorizerOf("s", namespace.env, NAMESPACE);
    namespace.resolution = { principal: null, defaultPolicy: "deny" };
    await expect(authorizerOf("s", namespace.env, "other")).rejects.toThrow(unknown);
  });

  test("cannot bring a namespace into being by naming it, nor can who has none", async () => {
    const namespace = new FakeNamespace("s");
    for (const token of ["s", null]) await expect(authorizerOf(token, namespace.env, "new")).rejects.toThrow(unknown);
    expect(namespace.named).toEqual([]);
    await expect(authorizerOf("x", namespace.env, "other")).rejects.toThrow(unknown);
    expect(namespace.named).toEqual(["other@dc1"]);
  });

  test("the root token may do everything, and asks nobody", async () => {
    const namespace = new FakeNamespace("s");
    const root = await authorizerOf("root", namespace.env, NAMESPACE);
    expect([root.principal, root.allows("grant", "acl"), namespace.asked]).toEqual(["root", true, 0]);
    expect(root.covers("delete", "kv", { from: utf8(""), to: null })).toBe(true);
  });

  test("is not needed in open mode; without a root token nothing goes", async () => {
    const { env } = new FakeNamespace("s");
    expect((await authorizerOf(null, { ...env, HOLDFAST_OPEN: "1" }, NAMESPACE)).allows("grant", "acl")).toBe(true);
    const { HOLDFAST_ROOT_TOKEN: _root, ...bare } = env;
    await expect(authorizerOf("root", bare, NAMESPACE)).rejects.toMatchObject({ code: "unavailable" });
  });
});

describe("a route's permissions", () => {
  interface Asked {
    params: Record<string, string>;
    range: string;
  }
  const reader = new Authorizer("token:x", "x", new CompiledPolicy([allow("a/")], "deny"), "deny");
  const one: Permission<Asked> = { verb: "read", kind: "kv", on: "key" };
  const below: Permission<Asked> = {
    verbs: ["read"],
    kinds: ["kv"],
    parts: async ({ range }) => [
      { verb: "read", kind: "kv", range: { from: utf8(range), to: prefixEnd(utf8(range)) }, asked: "what was asked" },
    ],
  };
  const denied = expect.objectContaining({ code: "permission_denied" }) as Error;

  test("are checked on the name, on each part, or left to the handler", async () => {
    const asked = (range: string): Asked => ({ params: {}, range });
    enforceEarly(reader, [one, below], { key: "a/" });
    expect(() => enforceEarly(reader, [one], { key: "b" })).toThrow(denied);
    await enforceParts(reader, [one, below], asked("a/"));
    const refused = enforceParts(reader, [below], asked("a"));
    await expect(refused).rejects.toMatchObject({ code: "permission_denied", details: { name: "what was asked" } });
    enforceEarly(reader, [{ verb: "read", kind: "kv", filtered: true }], { key: "b" });
    expect(() => enforceEarly(reader, [one, { verb: "operate", kind: "operator" }], { key: "a/" })).toThrow(denied);
  });

  test("refuse early who has none of the rights that could be asked for", () => {
    const writing: Permission<Asked> = { verbs: ["create", "update"], kinds: ["kv"], parts: () => [] };
    expect(() => enforceEarly(reader, [writing], {})).toThrow(denied);
    expect(() => enforceEarly(reader, [{ verb: "read", kind: "service", filtered: true }], {})).toThrow(denied);
    const nobody = new Authorizer("anonymous", "a", new CompiledPolicy([], "deny"), "deny");
    const unauthenticated = expect.objectContaining({ code: "unauthenticated" }) as Error;
    expect(() => enforceEarly(nobody, [one], { key: "a/" })).toThrow(unauthenticated);
  });

  test("filter what may be seen", () => {
    expect(reader.filter("read", "kv", ["a/1", "b", "a/2"], (key) => key)).toEqual(["a/1", "a/2"]);
    expect(reader.filter("read", "kv", [utf8("a/é")], (key) => key)).toHaveLength(1);
  });
});

describe("a sealed secret", () => {
  const env = { HOLDFAST_ROOT_TOKEN: "root" } as Bindings;

  test("is opened with the same root token, for the same token", async () => {
    const { hash, sealed } = await seal("secret", "accessor", env);
    expect(hash).toBe(hashOf("secret"));
    expect(sealed).not.toContain("secret");
    expect(await open(sealed, "accessor", env)).toBe("secret");
    expect((await seal("secret", "accessor", env)).sealed).not.toBe(sealed);
  });

  test("stays shut otherwise", async () => {
    const { sealed } = await seal("secret", "accessor", env);
    expect(await open(sealed, "another", env)).toBeNull();
    expect(await open(sealed, "accessor", { ...env, HOLDFAST_ROOT_TOKEN: "new" })).toBeNull();
    expect(await open(`${sealed.slice(0, -4)}AAA=`, "accessor", env)).toBeNull();
    expect(await open("", "accessor", env)).toBeNull();
    expect(await open("1.*", "accessor", env)).toBeNull();
  });
});
