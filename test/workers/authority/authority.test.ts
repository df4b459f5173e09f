/** A namespace's authority over the room that keeps it: founding, giving out, and a root that has to be replaced. */
import { X509Certificate } from "node:crypto";
import { beforeEach, describe, expect, test } from "vitest";
import type { StoredAuthority } from "../../../objects/authority/authority.ts";
import type { AuthorityPorts } from "../../../workers/authority/authority.ts";
import { changeAuthority, currentCertificate, ensureAuthority, issue } from "../../../workers/authority/authority.ts";
import { codeOf, World } from "../../objects/fixture.ts";
import { CALLER } from "../../objects/store/memory.ts";

let world: World;
beforeEach(() => {
  world = new World();
});

/** The edge with this root token. */
function portsWith(root: string): AuthorityPorts {
  const client = {
    query: async (name: never, input: never) => ({ value: world.core.query(name, input, world.now), revision: 0 }),
    execute: async (command: never, input: never) => ({ value: world.run(command, input), revision: 0 }),
  };
  return {
    client: client as AuthorityPorts["client"],
    env: { HOLDFAST_ROOT_TOKEN: root } as AuthorityPorts["env"],
    caller: CALLER,
  };
}

const holder = { service: "web", node: "n1" };
const URI = "spiffe://x/web";

const verify = (certificate: string, { roots }: StoredAuthority, index = 0): boolean =>
  new X509Certificate(certificate).verify(new X509Certificate(roots[index]!.certificate).publicKey);

describe("the authority", () => {
  test("is founded once, by whoever is first", async () => {
    const founded = await Promise.all(Array.from({ length: 4 }, () => ensureAuthority(portsWith("secret"))));
    expect(new Set(founded.map(({ id }) => id)).size).toBe(1);
  });

  test("keeps its name", async () => {
    const authority = await ensureAuthority(portsWith("secret"));
    const renamed = { ...authority, id: crypto.randomUUID() };
    expect(codeOf(() => world.run("authority.put", { authority: renamed, cas: authority.modRevision }))).toBe(
      "invalid_argument",
    );
  });

  test("changes only as it is known", async () => {
    const authority = await ensureAuthority(portsWith("secret"));
    expect(codeOf(() => world.run("authority.put", { authority, cas: authority.modRevision + 1 }))).toBe("conflict");
    const changed = await changeAuthority(portsWith("secret"), async (current) => ({
      ...current!,
      leafTtlMs: 3_600_000,
    }));
    expect(changed).toMatchObject({ leafTtlMs: 3_600_000, id: authority.id });
  });
});

describe("certificates", () => {
  test("are given out with a key that only the edge can read", async () => {
    const ports = portsWith("secret");
    const kept = (await issue(ports, holder, URI, 0))!;
    const authority = await ensureAuthority(ports);
    expect(verify(kept.certificate, authority)).toBe(true);
    expect(kept.sealedKey).not.toContain("PRIVATE KEY");
    expect((await currentCertificate(ports, kept, authority))?.privateKey).toContain("BEGIN PRIVATE KEY");
    expect(await currentCertificate(portsWith("other"), kept, authority)).toBeNull();
    expect(await currentCertificate(ports, { ...kept, node: "n2" }, authority)).toBeNull();
    expect(await currentCertificate(ports, null, authority)).toBeNull();
  });

  test("are replaced when two thirds of their life are over", async () => {
    const ports = portsWith("secret");
    const kept = (await issue(ports, holder, URI, 0))!;
    const authority = await ensureAuthority(ports);
    const life = kept.notAfterAt - kept.notBeforeAt;
    const aged = (part: number) => ({
      ...kept,
      notBeforeAt: Date.now() - part * life,
      notAfterAt: Date.now() + (1 - part) * life,
    });
    expect(await currentCertificate(ports, aged(0.6), authority)).not.toBeNull();
    expect(await currentCertificate(ports, aged(0.7), authority)).toBeNull();
  });

  test("of two who make one at once, one is kept", async () => {
    const ports = portsWith("secret");
    const made = await Promise.all([issue(ports, holder, URI, 0), issue(ports, holder, URI, 0)]);
    expect(made.filter((certificate) => certificate !== null)).toHaveLength(1);
  });
});

test("a root whose key cannot be opened any more gives way to a new one, and stays trusted", async () => {
  const old = (await issue(portsWith("before"), holder, URI, 0))!;
  const renewed = (await issue(portsWith("after"), holder, URI, old.modRevision))!;
  const authority = await ensureAuthority(portsWith("after"));
  expect(authority.roots).toMatchObject([
    { serial: 2, retiredAt: null },
    { serial: 1, retiredAt: expect.any(Number) },
  ]);
  expect(verify(renewed.certificate, authority)).toBe(true);
  expect(verify(old.certificate, authority, 1)).toBe(true);
  // One that signed beside it all along is late: its root is not the one that signs.
  const certificate = { ...old, service: "late" };
  expect(codeOf(() => world.run("authority.issue", { certificate, cas: 0 }))).toBe("conflict");
});
