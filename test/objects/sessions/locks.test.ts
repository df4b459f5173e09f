/**
 * Keys as locks: what acquire, release and plain writes do in each state; and, against a model, that a key never has two
 * holders.
 */
import fc from "fast-check";
import { beforeEach, describe, expect, test } from "vitest";
import { prefixEnd, text, utf8 } from "../../../objects/bytes.ts";
import type { KeyEntry } from "../../../objects/kv/entries.ts";
import { RANGE_RECORDS_MAX } from "../../../objects/kv/key.ts";
import type { SessionInput } from "../../../objects/sessions/sessions.ts";
import { codeOf, World } from "../fixture.ts";

let world: World;
let a: string;
let b: string;

beforeEach(() => {
  world = new World();
  a = session({ name: "a" });
  b = session({ name: "b" });
});

function session(change: Partial<SessionInput> = {}): string {
  const input: SessionInput = {
    name: "",
    node: "n1",
    ensure: { name: "n1", address: "192.0.2.7" },
    behavior: "release",
    lockDelayMs: 15_000,
    ttlMs: null,
    checks: [],
    ...change,
  };
  return world.run("session.create", input).id;
}

const key = utf8("lock");
const entry = (name = "lock"): KeyEntry | null => world.core.query("kv.entry", { key: utf8(name) }, world.now);
const acquire = (id: string, value = "v", flags?: string) =>
  world.run("kv.acquire", { key, value: utf8(value), session: id, flags });
const release = (id: string, value = "v", flags?: string) =>
  world.run("kv.release", { key, value: utf8(value), session: id, flags });
const set = (value: string, more: { flags?: string; cas?: number } = {}) =>
  world.run("kv.set", { key, value: utf8(value), ...more });
const destroy = (id: string) => world.run("session.destroy", { id });

describe("acquire", () => {
  test("an absent key is made, with value and flags, and counts one", () => {
    expect(acquire(a, "mine", "42").applied).toBe(true);
    expect(entry()).toMatchObject({ session: a, lockIndex: 1, flags: "42", token: entry()!.modRevision });
    expect(text(entry()!.value)).toBe("mine");
  });

  test("a free key counts one more", () => {
    set("before");
    acquire(a);
    release(a);
    expect(acquire(b).applied).toBe(true);
    expect(entry()).toMatchObject({ session: b, lockIndex: 2 });
  });

  test("the holder acquires again: another value, the same count, the same grant", () => {
    acquire(a, "1");
    const { token, modRevision } = entry()!;
    expect(acquire(a, "2").applied).toBe(true);
    expect(entry()).toMatchObject({ lockIndex: 1, token });
    expect(entry()!.modRevision).toBeGreaterThan(modRevision);
  });

  test("what another holds is refused, and nothing changes", () => {
    acquire(a, "1");
    const before = world.core.revision;
    expect(acquire(b, "2")).toMatchObject({ applied: false, refused: "held", entry: { session: a } });
    expect(world.core.revision).toBe(before);
  });

  test("a session that is not there is an error", () => {
    destroy(b);
    expect(codeOf(() => acquire(b))).toBe("not_found");
    expect(codeOf(() => acquire("nothing\0of that kind"))).toBe("not_found");
    expect(entry()).toBeNull();
  });
});

describe("release", () => {
  test("only by the holder; it keeps the count and stores what it brings", () => {
    acquire(a, "held", "7");
    expect(release(b).applied).toBe(false);
    expect(entry()!.session).toBe(a);
    expect(release(a, "").applied).toBe(true);
    expect(entry()).toMatchObject({ session: null, lockIndex: 1, flags: "0", token: 0 });
    expect(entry()!.value).toHaveLength(0);
    expect(release(a).applied).toBe(false);
  });

  test("an absent key cannot be released, and no session is an error", () => {
    expect(release(a).applied).toBe(false);
    expect(codeOf(() => release(""))).toBe("invalid_argument");
  });

  test("starts no lock delay", () => {
    acquire(a);
    release(a);
    expect(acquire(b).applied).toBe(true);
  });
});

describe("writes of who does not ask for the lock", () => {
  test("keep the holder, and start its count anew", () => {
    acquire(a);
    set("other", { flags: "3" });
    expect(entry()).toMatchObject({ session: a, lockIndex: 0, flags: "3" });
    release(a);
    expect(acquire(b).applied).toBe(true);
    expect(entry()!.lockIndex).toBe(1);
  });

  test("the same write again writes nothing", () => {
    set("v", { flags: "1" });
    const before = world.core.revision;
    set("v", { flags: "1" });
    expect(world.core.revision).toBe(before);
    set("v", { flags: "2" });
    expect(world.core.revision).toBe(before + 1);
    acquire(a, "v", "2");
    acquire(a, "v", "2");
    expect(world.core.revision).toBe(before + 2);
  });

  test("cas: 0 makes, a revision replaces, anything else does not", () => {
    expect(set("1", { cas: 9 }).applied).toBe(false);
    expect(set("1", { cas: 0 }).applied).toBe(true);
    expect(set("2", { cas: 0 }).applied).toBe(false);
    const { modRevision } = entry()!;
    expect(set("2", { cas: modRevision }).applied).toBe(true);
    expect(set("3", { cas: modRevision }).applied).toBe(false);
    expect(text(entry()!.value)).toBe("2");
  });

  test("a dialect without locks leaves them as they are", () => {
    acquire(a, "v", "18446744073709551615");
    world.run("kv.put", { key, value: utf8("other") });
    expect(entry()).toMatchObject({ session: a, lockIndex: 1, flags: "18446744073709551615" });
  });

  test("flags are 64 bits and nothing else", () => {
    for (const flags of ["-1", "01", "1.5", "18446744073709551616", "x"]) {
      expect(
        codeOf(() => set("v", { flags })),
        flags,
      ).toBe("invalid_argument");
    }
  });
});

describe("deleting drops the lock", () => {
  test("by key", () => {
    acquire(a, "v", "5");
    world.run("kv.delete", { key });
    set("new");
    expect(entry()).toMatchObject({ session: null, lockIndex: 0, flags: "0" });
  });

  test("by range, all at once or partly", () => {
    acquire(a, "v", "5");
    world.run("kv.delete", { key: utf8("l"), to: prefixEnd(utf8("l")) });
    expect(acquire(b).applied).toBe(true);
    expect(world.run("kv.delete", { key: utf8("l"), to: prefixEnd(utf8("l")), partly: true })).toMatchObject({
      deleted: 1,
      more: false,
    });
    acquire(a);
    expect(entry()).toMatchObject({ session: a, lockIndex: 1, flags: "0" });
  });

  test("with the lease it lives on", () => {
    const { id } = world.run("leases.grant", { ttlMs: 5000 });
    world.run("kv.put", { key, value: utf8("v"), lease: id });
    acquire(a, "v", "5");
    expect(entry()!.lease).toBe(id);
    world.pass(5000);
    expect(entry()).toBeNull();
    set("new");
    expect(entry()).toMatchObject({ session: null, flags: "0" });
  });
});

describe("listings", () => {
  const put = (name: string, flags?: string) => world.run("kv.set", { key: utf8(name), value: utf8(name), flags });
  const names = (keys: Uint8Array[]): string[] => keys.map((found) => text(found));
  const list = (prefix: string) => world.core.query("kv.entries", { prefix: utf8(prefix) }, world.now);
  const keys = (prefix: string, separator?: string) =>
    names(
      world.core.query("kv.keys", { prefix: utf8(prefix), ...(separator && { separator: utf8(separator) }) }, world.now)
        .keys,
    );

  test("entries come with their attributes", () => {
    put("x/1");
    put("x/2", "7");
    world.run("kv.acquire", { key: utf8("x/3"), value: utf8(""), session: a });
    put("x/4", "9");
    put("y");
    expect(list("x/").entries.map(({ flags, session }) => [flags, session])).toEqual([
      ["0", null],
      ["7", null],
      ["0", a],
      ["9", null],
    ]);
  });

  test("keys are cut behind the first separator after the prefix, each told once", () => {
    for (const name of ["a", "b/", "b/1", "b/2/3", "c::d::e", "c::d::f", "d/x", "\uffff/1", "\uffff/2"]) put(name);
    expect(keys("", "/")).toEqual(["a", "b/", "c::d::e", "c::d::f", "d/", "\uffff/"]);
    expect(keys("b/", "/")).toEqual(["b/", "b/1", "b/2/"]);
    expect(keys("", "::")).toEqual(["a", "b/", "b/1", "b/2/3", "c::", "d/x", "\uffff/1", "\uffff/2"]);
    expect(keys("b")).toEqual(["b/", "b/1", "b/2/3"]);
    expect(keys("none/")).toEqual([]);
  });

  test("parts of one listing are of one revision", () => {
    const count = RANGE_RECORDS_MAX + 50;
    const operations = Array.from({ length: count }, (_, n) => `p/${String(n).padStart(6, "0")}`);
    for (let at = 0; at < count; at += 128) {
      world.run(
        "transaction.run",
        operations.slice(at, at + 128).map((name) => ({ type: "key.set", key: utf8(name), value: utf8("v") })),
      );
    }
    const first = list("p/");
    expect(first.entries).toHaveLength(RANGE_RECORDS_MAX);
    world.run("kv.delete", { key: utf8(operations.at(-1)!) });
    world.run("kv.set", { key: utf8("p/zzz"), value: utf8("late"), flags: "1" });
    const { revision, next } = first;
    const rest = world.core.query("kv.entries", { prefix: utf8("p/"), from: next!, revision }, world.now);
    expect(rest.next).toBeNull();
    expect([...first.entries, ...rest.entries].map((found) => text(found.key))).toEqual(operations);
  });
});

/** One key and what may be done to it; what the rules say of it, written down as simply as can be. */
interface Model {
  sessions: Map<string, { behavior: "release" | "delete"; delayMs: number }>;
  holder: string | null;
  lockIndex: number;
  exists: boolean;
  delayedUntil: number;
}

describe("against a model", () => {
  const action = fc.oneof(
    { weight: 4, arbitrary: fc.record({ do: fc.constant("acquire" as const), who: fc.nat(3), value: fc.nat(1) }) },
    { weight: 3, arbitrary: fc.record({ do: fc.constant("release" as const), who: fc.nat(3), value: fc.nat(1) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("destroy" as const), who: fc.nat(3) }) },
    { weight: 1, arbitrary: fc.record({ do: fc.constant("crash" as const), ms: fc.integer({ min: 0, max: 3000 }) }) },
    { weight: 2, arbitrary: fc.record({ do: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 3000 }) }) },
  );

  test("one holder at most, a count that never falls while the key is there, tokens that only rise", () => {
    fc.assert(
      fc.property(fc.array(action, { maxLength: 60 }), (actions) => {
        world = new World();
        const model: Model = { sessions: new Map(), holder: null, lockIndex: 0, exists: false, delayedUntil: 0 };
        const ids: string[] = [];
        const renew = (who: number): string => {
          const settings = {
            behavior: who % 2 === 0 ? ("release" as const) : ("delete" as const),
            delayMs: who * 1000,
          };
          ids[who] = session({ behavior: settings.behavior, lockDelayMs: settings.delayMs });
          model.sessions.set(ids[who], settings);
          return ids[who];
        };
        let lastToken = 0;
        for (const step of actions) {
          if (step.do === "crash") world.crash(step.ms);
          else if (step.do === "wait") world.pass(step.ms);
          else if (step.do === "destroy") {
            const id = ids[step.who];
            if (id === undefined) continue;
            destroy(id);
            const ended = model.sessions.get(id);
            model.sessions.delete(id);
            if (!ended || model.holder !== id) continue;
            model.holder = null;
            if (ended.behavior === "delete") [model.exists, model.lockIndex] = [false, 0];
            if (ended.delayMs > 0) model.delayedUntil = world.now + ended.delayMs;
          } else {
            const known = ids[step.who];
            const id = known !== undefined && model.sessions.has(known) ? known : renew(step.who);
            if (step.do === "acquire") {
              const may = world.now >= model.delayedUntil && (model.holder === null || model.holder === id);
              expect(acquire(id, String(step.value)).applied).toBe(may);
              if (!may) continue;
              const isNew = model.holder !== id;
              if (isNew) model.lockIndex++;
              [model.holder, model.exists] = [id, true];
              const { token } = entry()!;
              if (isNew) expect(token).toBeGreaterThan(lastToken);
              else expect(token).toBe(lastToken);
              lastToken = token;
            } else {
              expect(release(id, String(step.value)).applied).toBe(model.holder === id);
              if (model.holder === id) model.holder = null;
            }
          }
          const found = entry();
          expect(found !== null).toBe(model.exists);
          expect(found?.session ?? null).toBe(model.holder);
          expect(found?.lockIndex ?? 0).toBe(model.lockIndex);
        }
      }),
      { numRuns: 200 },
    );
  });
});
