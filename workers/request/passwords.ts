/**
 * Passwords as a namespace keeps them: hashed with scrypt (RFC 7914) under a salt of their own, with the parameters in front,
 * so that they can be raised later.
 */
import { randomBytes, scrypt, timingSafeEqual } from "node:crypto";

/** What an isolate can afford: 16 MiB, and about as long as bcrypt at cost 10. */
const COST = { log2N: 14, r: 8, p: 1 };
const SALT_BYTES = 16;
const HASH_BYTES = 32;

export async function hashPassword(password: string): Promise<string> {
  const salt = randomBytes(SALT_BYTES);
  const hash = await derived(password, salt, COST);
  const { log2N, r, p } = COST;
  return ["scrypt", log2N, r, p, salt.toString("base64url"), hash.toString("base64url")].join("$");
}

/** `hashed` null: there is nobody. It takes as long, so that names cannot be found out by the time it takes. */
export async function isPassword(password: string, hashed: string | null): Promise<boolean> {
  const [, log2N, r, p, salt, hash] = (hashed ?? NOBODY).split("$");
  const cost = { log2N: Number(log2N), r: Number(r), p: Number(p) };
  const expected = Buffer.from(hash!, "base64url");
  const isSame = timingSafeEqual(await derived(password, Buffer.from(salt!, "base64url"), cost), expected);
  return isSame && hashed !== null;
}

const NOBODY = ["scrypt", COST.log2N, COST.r, COST.p, "A".repeat(22), "A".repeat(43)].join("$");

const derived = (password: string, salt: Uint8Array, { log2N, r, p }: typeof COST): Promise<Buffer> =>
  new Promise((resolve, reject) => {
    scrypt(password, salt, HASH_BYTES, { N: 2 ** log2N, r, p }, (error, hash) =>
      error ? reject(error) : resolve(hash),
    );
  });
