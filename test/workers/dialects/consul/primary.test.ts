/** What an installation has once: policies, tokens, config entries and intentions are the same in each of its datacenters. */
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Asked, Reply } from "../../../edge.ts";
import { Edge } from "../../../edge.ts";

let edge: Edge;
beforeAll(async () => {
  // The edge is in the second one, the primary is the first.
  edge = await Edge.start(["--no-agent", "--datacenters", "dc1,dc2", "--datacenter", "dc2"]);
});
afterAll(() => edge[Symbol.asyncDispose]());

const ask = (path: string, asked: Asked = {}): Promise<Reply> => edge.ask(`/v1${path}`, asked);
const put = (path: string, body: unknown, token?: string): Promise<Reply> =>
  ask(path, { method: "PUT", body, ...(token !== undefined && { token }) });

describe("tokens", () => {
  let policy: string;
  beforeAll(async () => {
    const { json } = await put("/acl/policy?dc=dc1", { Name: "keys", Rules: 'key_prefix "" { policy = "write" }' });
    policy = json.ID;
  });
  const make = async (query: string, Local: boolean): Promise<{ SecretID: string; AccessorID: string }> =>
    (await put(`/acl/token${query}`, { Local, Policies: [{ ID: policy }] })).json;
  const writes = async (token: string, query: string): Promise<number> =>
    (await put(`/kv/a${query}`, "x", token)).status;

  test("are good everywhere, wherever they were made", async () => {
    for (const query of ["?dc=dc1", "?dc=dc2", ""]) {
      const { SecretID: secret } = await make(query, false);
      expect([await writes(secret, "?dc=dc1"), await writes(secret, "?dc=dc2"), await writes(secret, "")]).toEqual([
        200, 200, 200,
      ]);
    }
  });

  test("that are local are good only where they were made, and shown there", async () => {
    for (const [made, other] of [
      ["dc1", "dc2"],
      ["dc2", "dc1"],
    ]) {
      const { SecretID: secret, AccessorID: accessor } = await make(`?dc=${made}`, true);
      expect(await writes(secret, `?dc=${made}`)).toBe(200);
      expect(await put(`/kv/a?dc=${other}`, "x", secret)).toMatchObject({ status: 403, text: "ACL not found" });
      const shown = async (dc: string) =>
        (await ask(`/acl/tokens?dc=${dc}`)).json.some((one: { AccessorID: string }) => one.AccessorID === accessor);
      expect([await shown(made!), await shown(other!)]).toEqual([true, false]);
    }
  });

  test("lists and single reads carry the index of where they are kept", async () => {
    const [near, far] = await Promise.all(["dc2", "dc1"].map((dc) => ask(`/acl/policy/${policy}?dc=${dc}`)));
    expect(near!.json).toEqual(far!.json);
    expect(near!.headers.get("x-consul-index")).toBe(far!.headers.get("x-consul-index"));
  });
});

describe("rules", () => {
  test("config entries are one in all datacenters, and keys are not", async () => {
    const entry = { Kind: "service-defaults", Name: "web", Protocol: "http" };
    expect((await put("/config?dc=dc2", entry)).json).toBe(true);
    for (const dc of ["dc1", "dc2"]) {
      expect((await ask(`/config/service-defaults/web?dc=${dc}`)).json).toMatchObject({ Protocol: "http" });
      expect((await ask(`/discovery-chain/web?dc=${dc}`)).json.Chain).toMatchObject({
        Protocol: "http",
        Datacenter: dc,
        AutoVirtualIPs: [expect.stringMatching(/^240\./)],
      });
    }
    await put("/kv/only?dc=dc1", "x");
    expect((await ask("/kv/only?dc=dc2")).status).toBe(404);
  });

  test("intentions decide in all datacenters", async () => {
    await put("/connect/intentions/exact?source=web&destination=db&dc=dc1", { Action: "deny" });
    const check = "/connect/intentions/check?source=web&destination=db";
    for (const dc of ["dc1", "dc2"]) expect((await ask(`${check}&dc=${dc}`)).json).toEqual({ Allowed: false });
  });

  test("a gateway in one datacenter lets in by a rule that was written in the other", async () => {
    const Listeners = [{ Port: 8080, Protocol: "tcp", Services: [{ Name: "api" }] }];
    await put("/config?dc=dc1", { Kind: "ingress-gateway", Name: "gate", Listeners });
    const Service = { Kind: "ingress-gateway", Service: "gate", Port: 8080 };
    await put("/catalog/register?dc=dc2", { Node: "n", Address: "192.0.2.9", Service });
    const ingress = (dc: string) => ask(`/health/ingress/api?dc=${dc}`);
    expect((await ingress("dc2")).json).toHaveLength(1);
    expect((await ingress("dc1")).json).toEqual([]);
    const dns = async (name: string) =>
      (await edge.ask(`/dns-query?name=${name}&type=A`, { headers: { accept: "application/dns-json" } })).text;
    expect(JSON.parse(await dns("api.ingress.consul")).Answer).toMatchObject([{ data: "192.0.2.9" }]);
    expect(JSON.parse(await dns("api.ingress.dc1.consul"))).toMatchObject({ Status: 3 });
  });
});
