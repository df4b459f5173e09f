import { Command } from "commander";
import { unstable_readConfig } from "wrangler";
import { describe, expect, test } from "vitest";
import { addServeOptions, serveOptions } from "../../../scripts/serve/options.ts";
import { COMPATIBILITY_DATE, COMPATIBILITY_FLAGS, DURABLE_OBJECTS } from "../../../scripts/serve/worker-settings.ts";

function parse(args: string[], env: Record<string, string> = {}) {
  const command = addServeOptions(new Command());
  command.parse(args, { from: "user" });
  return serveOptions(command.opts(), env);
}

describe("serve options", () => {
  test("defaults", () => {
    expect(parse([])).toEqual({
      host: "127.0.0.1",
      port: 8500,
      dataFolder: ".holdfast",
      rootToken: null,
      isOpen: false,
      datacenter: "dc1",
      datacenters: "",
      domain: "holdfast",
      agentPorts: { dns: 8600, zookeeper: 2181, etcd: 2379, nacos: 8848, eureka: 8761, xds: 15010 },
      node: "holdfast",
      agentChecks: { scripts: false },
      egress: { HOLDFAST_EGRESS_ALLOW: "private" },
      isTest: false,
      entry: undefined,
    });
  });

  test("every setting by environment variable", () => {
    const options = parse([], {
      HOLDFAST_PORT: "9000",
      HOLDFAST_HOST: "::1",
      HOLDFAST_DATA: "/data",
      HOLDFAST_ROOT_TOKEN: "0123456789abcdef",
      HOLDFAST_OPEN: "1",
      HOLDFAST_DATACENTER: "fra1",
      HOLDFAST_DATACENTERS: "fra1=weur, iad1",
      HOLDFAST_DOMAIN: "Svc.Example.org",
      HOLDFAST_DNS_PORT: "53",
      HOLDFAST_ZOOKEEPER_PORT: "1",
      HOLDFAST_ETCD_PORT: "2",
      HOLDFAST_NACOS_PORT: "3",
      HOLDFAST_EUREKA_PORT: "4",
      HOLDFAST_XDS_PORT: "5",
      HOLDFAST_NODE: "db 7",
      HOLDFAST_ENABLE_SCRIPT_CHECKS: "1",
      HOLDFAST_EGRESS_ALLOW: "10.0.0.0/8",
      HOLDFAST_EGRESS_DENY: "10.1.0.0/16",
      HOLDFAST_TEST: "1",
    });
    expect(options).toMatchObject({
      host: "::1",
      port: 9000,
      dataFolder: "/data",
      rootToken: "0123456789abcdef",
      isOpen: true,
      datacenter: "fra1",
      datacenters: "fra1=weur,iad1",
      domain: "svc.example.org",
      agentPorts: { dns: 53, zookeeper: 1, etcd: 2, nacos: 3, eureka: 4, xds: 5 },
      node: "db 7",
      agentChecks: { scripts: true },
      egress: { HOLDFAST_EGRESS_ALLOW: "10.0.0.0/8", HOLDFAST_EGRESS_DENY: "10.1.0.0/16" },
      isTest: true,
    });
  });

  test("a flag wins over its variable, and an empty variable is an unset one", () => {
    expect(parse(["--port", "1"], { HOLDFAST_PORT: "2" }).port).toBe(1);
    expect(parse([], { HOLDFAST_PORT: "", HOLDFAST_ROOT_TOKEN: "", HOLDFAST_OPEN: "" })).toMatchObject({
      port: 8500,
      rootToken: null,
      isOpen: false,
    });
  });

  test.each(["0", "false", "no", "False"])("HOLDFAST_OPEN=%s does not open anything", (value) => {
    expect(parse([], { HOLDFAST_OPEN: value }).isOpen).toBe(false);
  });

  test.each([
    ["flag", ["--no-agent"], {}],
    ["variable", [], { HOLDFAST_NO_AGENT: "1" }],
  ])("no agent by %s turns all its ports and checks off", (_name, args, env) => {
    const { agentPorts, agentChecks } = parse(args, env as Record<string, string>);
    expect(new Set(Object.values(agentPorts))).toEqual(new Set([0]));
    expect(agentChecks).toBeNull();
  });

  test("the agent's node and scripts by flag", () => {
    const options = parse(["--node", "db-7", "--enable-script-checks"], { HOLDFAST_NODE: "other" });
    expect(options).toMatchObject({ node: "db-7", agentChecks: { scripts: true } });
    expect(parse(["--no-agent", "--node", "db-7"]).node).toBe("db-7");
    expect(parse([], { HOLDFAST_ENABLE_SCRIPT_CHECKS: "0" }).agentChecks?.scripts).toBe(false);
  });

  test.each(["", " a", ".", "a\u0000b", "x".repeat(256)])("refuses %j as a node", (name) => {
    expect(() => parse(["--node", name])).toThrow(/--node/);
  });

  test.each(["-1", "65536", "8500.5", "0x10", " 80", "1e3"])("refuses %s as a port", (port) => {
    expect(() => parse([], { HOLDFAST_PORT: port })).toThrow(/--port/);
  });

  test.each(["", "a.b", "-a", "A b", "x".repeat(64)].filter(Boolean))("refuses %s as a datacenter", (name) => {
    expect(() => parse(["--datacenter", name])).toThrow(/--datacenter/);
  });

  test("refuses a domain that cannot be one", () => {
    expect(() => parse(["--domain", "a..b"])).toThrow(/--domain/);
  });
});

test("the Worker runs as wrangler.toml says", () => {
  const config = unstable_readConfig({ config: "wrangler.toml" });
  expect(COMPATIBILITY_DATE).toBe(config.compatibility_date);
  expect(COMPATIBILITY_FLAGS).toEqual(config.compatibility_flags);
  const bindings = config.durable_objects.bindings.map((binding: { name: string; class_name: string }) => [
    binding.name,
    binding.class_name,
  ]);
  expect(DURABLE_OBJECTS).toEqual(Object.fromEntries(bindings));
  const stored = config.migrations.flatMap(
    (migration: { new_sqlite_classes?: string[] }) => migration.new_sqlite_classes ?? [],
  );
  expect(Object.values(DURABLE_OBJECTS).toSorted()).toEqual(stored.toSorted());
});
