/**
 * SHA-256 of short messages, without a call of the runtime: for the few blocks of a commit the way there and back costs
 * five times as much as the rounds. Long messages are the runtime's.
 *
 * For chains of hashes only; nothing secret goes through it. Source: FIPS 180-4 §4.1.2, §5 and §6.2.
 */

/** Bytes; above this the runtime is faster. */
export const SHORT_MAX = 2048;

const BLOCK = 64;
const buffer = new Uint8Array(SHORT_MAX + 2 * BLOCK);
const view = new DataView(buffer.buffer);
const schedule = new Int32Array(BLOCK);
const state = new Int32Array(8);

/** The first 32 bits of the fractional parts of the square roots, and of the cube roots, of the first primes. */
const INITIAL = Int32Array.from(primes(8), (prime) => fraction(Math.sqrt(prime)));
const ROUND = Int32Array.from(primes(BLOCK), (prime) => fraction(Math.cbrt(prime)));

/** Digest of the chunks one behind the other, at most `SHORT_MAX` bytes in all. */
export function sha256Short(chunks: readonly Uint8Array[]): Uint8Array {
  let length = 0;
  for (const chunk of chunks) {
    buffer.set(chunk, length);
    length += chunk.length;
  }
  // One bit, zeros, and the length in bits.
  const end = (length + 9 + BLOCK - 1) & -BLOCK;
  buffer.fill(0, length, end);
  buffer[length] = 0x80;
  view.setUint32(end - 4, length * 8);

  state.set(INITIAL);
  for (let at = 0; at < end; at += BLOCK) compress(at);
  const digest = new Uint8Array(32);
  const out = new DataView(digest.buffer);
  for (let i = 0; i < 8; i++) out.setInt32(i * 4, state[i]!);
  return digest;
}

function compress(start: number): void {
  const w = schedule;
  for (let i = 0; i < 16; i++) w[i] = view.getInt32(start + i * 4);
  for (let i = 16; i < BLOCK; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let a = state[0]!;
  let b = state[1]!;
  let c = state[2]!;
  let d = state[3]!;
  let e = state[4]!;
  let f = state[5]!;
  let g = state[6]!;
  let h = state[7]!;
  for (let i = 0; i < BLOCK; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const t1 = (h + s1 + ((e & f) ^ (~e & g)) + ROUND[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const t2 = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + t1) | 0;
    d = c;
    c = b;
    b = a;
    a = (t1 + t2) | 0;
  }
  state[0]! += a;
  state[1]! += b;
  state[2]! += c;
  state[3]! += d;
  state[4]! += e;
  state[5]! += f;
  state[6]! += g;
  state[7]! += h;
}

function primes(count: number): number[] {
  const found: number[] = [];
  for (let n = 2; found.length < count; n++) if (found.every((prime) => n % prime !== 0)) found.push(n);
  return found;
}

function fraction(root: number): number {
  return ((root - Math.floor(root)) * 2 ** 32) | 0;
}
