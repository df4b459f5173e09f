/** Rules as text, and what they allow: against a second writing of Consul's precedence. */
import fc from "fast-check";
import { describe, expect, test } from "vitest";
import { CompiledPolicy } from "../../../../../objects/policy/compiled.ts";
import type { DefaultPolicy, Statement } from "../../../../../objects/policy/statements.ts";
import { assertStatements } from "../../../../../objects/policy/statements.ts";
import { Authorizer } from "../../../../../workers/request/authorizer.ts";
import type { Access, Resource } from "../../../../../workers/dialects/consul/authorizer.ts";
import { PolicyAuthorizer } from "../../../../../workers/dialects/consul/acl/authorizer.ts";
import { statementsOf } from "../../../../../workers/dialects/consul/acl/rules.ts";
import { isIdentityName, rendered, TEMPLATES } from "../../../../../workers/dialects/consul/acl/templates.ts";

const authorizerOf = (statements: Statement[], otherwise: DefaultPolicy = "deny"): PolicyAuthorizer =>
  new PolicyAuthorizer(new Authorizer("token:x", "x", new CompiledPolicy(statements, otherwise), otherwise));
const under = (...policies: string[]): PolicyAuthorizer => authorizerOf(policies.flatMap(statementsOf));

type Level = "deny" | "read" | "list" | "write";
interface Rule {
  resource: string;
  match: "exact" | "prefix";
  name: string;
  policy: Level;
  intentions?: Level;
}
type Policy = { named: Rule[]; plain: Record<string, Level> };

/** Consul's rules once more: merge the policies, then the exact rule, then the longest prefix, then the default. */
class Oracle {
  readonly #named = new Map<string, { policy: Level; intentions?: Level }>();
  readonly #plain: Record<string, Level> = {};
  readonly #fallback: boolean;

  constructor(policies: Policy[], fallback: DefaultPolicy) {
    this.#fallback = fallback === "allow";
    for (const { named, plain } of policies) {
      for (const [resource, level] of Object.entries(plain)) {
        this.#plain[resource] = Oracle.#stronger(this.#plain[resource], level)!;
      }
      for (const { resource, match, name, policy, intentions } of named) {
        const key = `${resource}/${match}/${name}`;
        const before = this.#named.get(key);
        const merged = Oracle.#stronger(before?.intentions, intentions);
        const policyNow = Oracle.#stronger(before?.policy, policy)!;
        this.#named.set(key, { policy: policyNow, ...(merged && { intentions: merged }) });
      }
    }
  }

  static #stronger(a: Level | undefined, b: Level | undefined): Level | undefined {
    return (["deny", "write", "list", "read"] as const).find((level) => level === a || level === b);
  }

  allows(resource: string, access: Access, name: string): boolean {
    const level = this.#level(resource, name);
    if (level === undefined) return this.#fallback;
    const rank = { deny: 0, read: 1, list: 2, write: 3 };
    return rank[level] >= rank[access];
  }

  #level(resource: string, name: string): Level | undefined {
    if (["acl", "keyring", "operator"].includes(resource)) return this.#plain[resource];
    if (["mesh", "peering"].includes(resource)) return this.#plain[resource] ?? this.#plain["operator"];
    const of = resource === "intention" ? "service" : resource;
    let found = this.#named.get(`${of}/exact/${name}`);
    for (let length = name.length; !found && length >= 0; length--) {
      found = this.#named.get(`${of}/prefix/${name.slice(0, length)}`);
    }
    if (!found || resource !== "intention") return found?.policy;
    return found.intentions ?? (found.policy === "deny" ? "deny" : "read");
  }
}

const name = fc.string({ unit: fc.constantFrom("a", "b", "/", '"', "\\", "é"), maxLength: 4 });
const level = fc.constantFrom<Level>("deny", "read", "write");
const rule: fc.Arbitrary<Rule> = fc.oneof(
  fc.record({
    resource: fc.constantFrom("agent", "node", "session", "event", "query"),
    match: fc.constantFrom("exact", "prefix"),
    name,
    policy: level,
  }),
  fc.record({
    resource: fc.constant("key"),
    match: fc.constantFrom("exact", "prefix"),
    name,
    policy: fc.constantFrom<Level>("deny", "read", "list", "write"),
  }),
  fc.record(
    {
      resource: fc.constant("service"),
      match: fc.constantFrom("exact", "prefix"),
      name,
      policy: level,
      intentions: level,
    },
    { requiredKeys: ["resource", "match", "name", "policy"] },
  ),
);
const policy: fc.Arbitrary<Policy> = fc.record({
  named: fc.array(rule, { maxLength: 5 }),
  plain: fc.record(
    { acl: level, keyring: level, operator: level, mesh: level, peering: level },
    { requiredKeys: [] },
  ) as fc.Arbitrary<Record<string, Level>>,
});
const resource = fc.constantFrom<Resource>(
  ...(["acl", "agent", "event", "intention", "key", "keyring", "mesh", "node"] as const),
  ...(["operator", "peering", "query", "service", "session"] as const),
);

function inHcl({ named, plain }: Policy): string {
  const blocks = named.map(({ resource: of, match, name: on, policy: to, intentions }) => {
    const more = intentions ? `  intentions = "${intentions}"\n` : "";
    return `${of}${match === "prefix" ? "_prefix" : ""} ${JSON.stringify(on)} {\n  policy = "${to}" # why\n${more}}`;
  });
  return [...blocks, ...Object.entries(plain).map(([of, to]) => `${of} = "${to}"`)].join("\n");
}

/** The names of a resource in one object where none is repeated, else as a list. */
function inJson({ named, plain }: Policy): string {
  const document: Record<string, unknown> = { ...plain };
  for (const { resource: of, match, name: on, policy: to, intentions } of named) {
    const field = `${of}${match === "prefix" ? "_prefix" : ""}`;
    const list = (document[field] ??= []) as unknown[];
    list.push({ [on]: { policy: to, intentions } });
  }
  return JSON.stringify(document);
}

describe("a decision", () => {
  test("is Consul's, for any policies and any question", () => {
    fc.assert(
      fc.property(
        fc.array(policy, { maxLength: 3 }),
        resource,
        name,
        fc.constantFrom<DefaultPolicy>("deny", "allow"),
        fc.boolean(),
        (policies, of, on, fallback, json) => {
          const statements = policies.flatMap((one) => statementsOf(json ? inJson(one) : inHcl(one)));
          assertStatements("statements", statements);
          const authorizer = authorizerOf(statements, fallback);
          const oracle = new Oracle(policies, fallback);
          for (const access of ["read", "write"] as const) {
            expect([access, authorizer.allows(of, access, on)]).toEqual([access, oracle.allows(of, access, on)]);
          }
          if (of === "key") expect(authorizer.allows(of, "list", on)).toBe(oracle.allows(of, "list", on));
        },
      ),
      { numRuns: 10_000 },
    );
  });

  test("never widens when a policy that only denies is added", () => {
    const denying = policy.map(({ named }) => ({
      named: named.map((one) => ({
        ...one,
        policy: "deny" as const,
        ...(one.intentions && { intentions: "deny" as const }),
      })),
      plain: {},
    }));
    fc.assert(
      fc.property(fc.array(policy, { maxLength: 3 }), denying, resource, name, (policies, extra, of, on) => {
        const before = authorizerOf(policies.flatMap((one) => statementsOf(inHcl(one))));
        const after = authorizerOf([...policies, extra].flatMap((one) => statementsOf(inHcl(one))));
        for (const access of ["read", "write"] as const) {
          if (after.allows(of, access, on)) expect(before.allows(of, access, on)).toBe(true);
        }
      }),
      { numRuns: 3000 },
    );
  });

  test("on the wildcard intention is taken from all of them", () => {
    const some = under('service "a" { policy = "write" intentions = "write" }');
    expect([some.allows("intention", "read", "*"), some.allows("intention", "write", "*")]).toEqual([true, false]);
    const all = under('service_prefix "" { policy = "write" intentions = "write" }');
    expect(all.allows("intention", "write", "*")).toBe(true);
    const but = under('service_prefix "" { policy = "write" intentions = "write" } service "a" { policy = "deny" }');
    expect(but.allows("intention", "write", "*")).toBe(false);
  });

  test("on everything below a prefix needs every rule below it", () => {
    const rules = 'key_prefix "a/" { policy = "write" } key "a/b/secret" { policy = "read" }';
    expect(under(rules).allowsBelow("key", "write", "a/")).toBe(false);
    expect(under(rules).allowsBelow("key", "write", "a/c")).toBe(true);
    expect(under(rules).allowsBelow("key", "read", "a/")).toBe(true);
    expect(under(rules).allowsBelow("key", "read", "")).toBe(false);
  });

  test("on a snapshot needs acl:write", () => {
    const may = (rules: string) => new CompiledPolicy(statementsOf(rules), "allow").allows("backup", "snapshot", "");
    expect([may('acl = "write"'), may('acl = "read"'), may('acl = "deny"')]).toEqual([true, false, false]);
  });
});

describe("rules as text", () => {
  test.each([
    ["comments of all kinds", '# a\n// b\n/* c\n */ key "a" { /* d */ policy = "read" } # e'],
    ["on one line, with commas", 'key "a" { policy = "read", }, operator = "read"'],
    ["nested labels", 'key { "a" { policy = "read" } }'],
    ["an assigned object", 'key = { "a" = { policy = "read" } }'],
    ["labels without quotes", 'key a { policy = "read" }'],
    ["escapes", 'key "\\x61" { policy = "\\u0072ead" }'],
    ["a heredoc", 'key "a" { policy = "read" }\nnotes = <<EOT\nkey "b" { policy = "write" }\nEOT\n'],
    ["an indented heredoc", 'notes = <<-EOT\n    x\n    EOT\nkey "a" { policy = "read" }'],
    [
      "what is not known",
      'namespace "x" { policy = "write" } list = [1, "2", true, [], {a = 1.5e3}] key "a" { policy = "read" sentinel { code = "${a{b}}" } }',
    ],
    ["words in capitals", 'KEY "a" { Policy = "READ" }'],
    ["JSON", '{"key": {"a": {"policy": "read"}}, "operator": null}'],
    ["JSON with lists", ' {"key": [{"a": [{"policy": "read"}]}]}'],
    ["Windows' line ends, and a byte order mark", '\ufeffkey "a" {\r\n  policy = "read"\r\n}\r\n'],
  ])("%s", (_what, text) => {
    const authorizer = under(text);
    expect([authorizer.allows("key", "read", "a"), authorizer.allows("key", "write", "a")]).toEqual([true, false]);
    expect(authorizer.allows("key", "read", "b")).toBe(false);
  });

  test("a heredoc's indentation goes with that of its end", () => {
    expect(() => statementsOf("acl = <<-X\n    read\n    X\n")).toThrow('Invalid acl policy: "read\\n"');
    expect(() => statementsOf("acl = <<-X\n   read\n    X\n")).toThrow('Invalid acl policy: "   read\\n"');
  });

  test("of a name that JSON repeats, every rule counts", () => {
    const repeated =
      '{"key_prefix": {"": {"policy": "write"}}, "key_prefix": {"s/": {"policy": "deny"}, "s/": {"policy": "write"}}}';
    const authorizer = under(repeated);
    expect([authorizer.allows("key", "write", "a"), authorizer.allows("key", "read", "s/a")]).toEqual([true, false]);
  });

  test("no rules are no statements", () => {
    expect([statementsOf(""), statementsOf("  # nothing\n"), statementsOf('operator = ""')]).toEqual([[], [], []]);
  });

  test.each([
    ['acl = "list"', 'Invalid acl policy: "list"'],
    ['agent "foo" { policy = "nope" }', 'Invalid agent policy: &acl.AgentRule{Node:"foo", Policy:"nope"}'],
    [
      'key "foo" { policy = "nope" }',
      'Invalid key policy: &acl.KeyRule{Prefix:"foo", Policy:"nope", EnterpriseRule:acl.EnterpriseRule{}}',
    ],
    [
      'key_prefix "a" "b" { policy = "read" }',
      'Invalid key_prefix policy: &acl.KeyRule{Prefix:"a", Policy:"", EnterpriseRule:acl.EnterpriseRule{}}',
    ],
    [
      'node_prefix "foo" { policy = "list" }',
      'Invalid node_prefix policy: &acl.NodeRule{Name:"foo", Policy:"list", EnterpriseRule:acl.EnterpriseRule{}}',
    ],
    [
      'service "foo" { policy = "read" intentions = "list" }',
      'Invalid service intentions policy: &acl.ServiceRule{Name:"foo", Policy:"read", Intentions:"list", EnterpriseRule:acl.EnterpriseRule{}}',
    ],
    ['session "foo" {}', 'Invalid session policy: &acl.SessionRule{Node:"foo", Policy:""}'],
    ['event { foo = "read" }', 'Invalid event policy: &acl.EventRule{Event:"foo", Policy:""}'],
    [
      '{"query_prefix": {"foo": {"policy": "nope"}}}',
      'Invalid query_prefix policy: &acl.PreparedQueryRule{Prefix:"foo", Policy:"nope"}',
    ],
    ["keyring = 5", 'Invalid keyring policy: "5"'],
    ['peering = "nope"\nmesh = "nope"', 'Invalid mesh policy: "nope"'],
    [
      'acl="read"\nacl="write"',
      'Failed to parse ACL rules: The argument "acl" at 2:1 was already set. Each argument can only be defined once',
    ],
    [
      'key "a" { policy = "read" policy = "write" }',
      'Failed to parse ACL rules: The argument "policy" at 1:27 was already set. Each argument can only be defined once',
    ],
    ['key "a" {', "Failed to parse ACL rules: At 1:10: object expected closing RBRACE got: EOF"],
    ["key", "Failed to parse ACL rules: At 1:4: key 'key' expected start of object ('{') or assignment ('=')"],
    ["}", "Failed to parse ACL rules: At 1:1: expected: IDENT | STRING | ASSIGN | LBRACE got: RBRACE"],
    ["= 1", "Failed to parse ACL rules: At 1:1: expected to find at least one object key"],
    ['key "a" = {}', "Failed to parse ACL rules: At 1:9: nested object expected: LBRACE got: ASSIGN"],
    ['acl = "read', "Failed to parse ACL rules: At 1:7: literal not terminated"],
    ['acl = "re\nad"', "Failed to parse ACL rules: At 1:7: literal not terminated"],
    ['acl = "\\q"', "Failed to parse ACL rules: At 1:8: illegal char escape"],
    ['acl = "\\U99999999"', "Failed to parse ACL rules: At 1:8: illegal char escape"],
    ["acl = read", "Failed to parse ACL rules: At 1:7: Unknown token: IDENT read"],
    ["acl = <<EOF\nread\n", "Failed to parse ACL rules: At 1:7: heredoc not terminated"],
    ["x = [1 2]", "Failed to parse ACL rules: At 1:8: error parsing list, expected comma or list end, got: NUMBER"],
    ["/* a", "Failed to parse ACL rules: At 1:1: comment not terminated"],
    ["acl = @", "Failed to parse ACL rules: At 1:7: illegal character"],
    ['acl { policy = "read" }', "Failed to parse ACL rules: At 1:5: acl: unknown type for string *ast.ObjectType"],
    ['operator "x" {}', "Failed to parse ACL rules: At 1:14: operator: unknown type for string *ast.ObjectList"],
    ['key = "read"', "Failed to parse ACL rules: At 1:7: unknown slice type: *ast.LiteralType"],
    ['{"acl": "read"} x', "Failed to parse ACL rules: At 1:17: unexpected token after the document: IDENT"],
    [`x = ${"[".repeat(40)}`, "Failed to parse ACL rules: At 1:37: nested deeper than 32"],
    [`{"a":`.repeat(40), "Failed to parse ACL rules: At 1:161: nested deeper than 32"],
  ])("%s is refused in Consul's words", (text, message) => {
    expect(() => statementsOf(text)).toThrow(expect.objectContaining({ status: 500, message }));
  });

  test("anything at all is either understood or refused", () => {
    const piece = fc.constantFrom(
      "key",
      ' "a" ',
      "{",
      "}",
      "=",
      ":",
      ",",
      "[",
      "]",
      "<<E\n",
      "E\n",
      '"',
      "\\",
      "/*",
      "#",
      "\n",
      "${",
      "policy",
      '"read"',
      "1",
      "-",
      ".",
      "é",
    );
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 25 }), (pieces) => {
        try {
          assertStatements("statements", statementsOf(pieces.join("")));
        } catch (error) {
          expect(error).toMatchObject({ status: 500 });
        }
      }),
      { numRuns: 5000 },
    );
  });
});

describe("templates", () => {
  const named = (name: string, on = "web") =>
    under(
      rendered(
        TEMPLATES.find((one) => one.name === name)!,
        on,
      ),
    );

  test("of a service let it register itself and its proxy, and see the others", () => {
    const service = named("builtin/service");
    expect(service.allows("service", "write", "web")).toBe(true);
    expect(service.allows("service", "write", "web-sidecar-proxy")).toBe(true);
    expect(service.allows("service", "write", "web2")).toBe(false);
    expect([service.allows("service", "read", "other"), service.allows("node", "read", "n")]).toEqual([true, true]);
    expect([service.allows("node", "write", "n"), service.allows("key", "read", "k")]).toEqual([false, false]);
  });

  test("all say what their software needs", () => {
    expect(named("builtin/node").allows("node", "write", "web")).toBe(true);
    expect(named("builtin/node").allows("node", "write", "web2")).toBe(false);
    expect(named("builtin/dns").allows("query", "read", "q")).toBe(true);
    expect(named("builtin/nomad-server").allows("acl", "write", "")).toBe(true);
    expect(named("builtin/nomad-client").allows("acl", "read", "")).toBe(false);
    expect(named("builtin/nomad-client").allows("service", "write", "any")).toBe(true);
    expect(named("builtin/api-gateway").allows("mesh", "read", "")).toBe(true);
    expect(named("builtin/api-gateway").allows("mesh", "write", "")).toBe(false);
  });

  test.each(['x" { policy = "write" } acl = "write" #', "", "A", "-a", "a-", "a.b", "a\n", "x".repeat(257)])(
    "do not take the name %j",
    (bad) => {
      expect(isIdentityName(bad)).toBe(false);
    },
  );
});

test("a refusal names the token, the right and the thing", () => {
  expect(under("").denial("key", "write", "foo")).toBe(
    "Permission denied: token with AccessorID 'x' lacks permission 'key:write' on \"foo\"",
  );
  const anonymous = "00000000-0000-0000-0000-000000000002";
  const nobody = new PolicyAuthorizer(new Authorizer("anonymous", anonymous, new CompiledPolicy([], "deny"), "deny"));
  expect(nobody.denial("acl", "read", "")).toBe(
    "Permission denied: anonymous token lacks permission 'acl:read'. The anonymous token is used implicitly when a request does not specify a token.",
  );
  expect(nobody.isKnown).toBe(false);
});
