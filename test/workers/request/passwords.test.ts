/** Passwords are found again by their hash, which tells nothing else. */
import { expect, test } from "vitest";
import { hashPassword, isPassword } from "../../../workers/request/passwords.ts";

test.each(["secret", "", "pässwörd €", "x".repeat(10_000)])(
  "%#: only the password itself fits its hash",
  async (password) => {
    const [first, second] = [await hashPassword(password), await hashPassword(password)];
    expect(first).not.toBe(second);
    expect(first.length).toBeLessThan(512);
    if (password !== "") expect(first).not.toContain(password);
    expect(await isPassword(password, first)).toBe(true);
    expect(await isPassword(password, second)).toBe(true);
    expect(await isPassword(`${password}.`, first)).toBe(false);
    expect(await isPassword(password, null)).toBe(false);
  },
);

test("a hash is compared by the parameters it was made with", async () => {
  // RFC 7914, section 12: N = 1024, r = 8, p = 16, cut to its first 32 bytes.
  const hash = Buffer.from("fdbabe1c9d3472007856e7190d01e9fe7c6ad7cbc8237830e77376634b373162", "hex");
  const hashed = `scrypt$10$8$16$${Buffer.from("NaCl").toString("base64url")}$${hash.toString("base64url")}`;
  expect(await isPassword("password", hashed)).toBe(true);
  expect(await isPassword("passwort", hashed)).toBe(false);
});
