import { chmodSync, mkdirSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { checkedToken, DataFolder, readAddress, readToken } from "../../../scripts/serve/data-folder.ts";
import { temporaryFolder } from "./holdfast-process.ts";

let scope: ReturnType<typeof temporaryFolder>;
let path: string;

beforeEach(() => {
  scope = temporaryFolder();
  path = join(scope.path, "nested", "data");
});
afterEach(() => scope[Symbol.dispose]());

test("the lock is held until the folder is closed", async () => {
  const first = await DataFolder.open(path);
  await expect(DataFolder.open(path)).rejects.toThrow(/in use by another edge/);
  first.close();
  (await DataFolder.open(path)).close();
});

test("a token is made once, and differs between folders", async () => {
  const folder = await DataFolder.open(path);
  const made = folder.rootToken();
  expect(made.isNew).toBe(true);
  expect(folder.rootToken()).toEqual({ token: made.token, isNew: false });
  expect(statSync(join(path, "root-token")).mode & 0o777).toBe(0o600);
  folder.close();
  const other = await DataFolder.open(join(scope.path, "other"));
  expect(other.rootToken().token).not.toBe(made.token);
  other.close();
});

test("a stored token that is too short is refused, not replaced", async () => {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "root-token"), "short\n");
  const folder = await DataFolder.open(path);
  expect(() => folder.rootToken()).toThrow(/root-token: a root token has 16 to 512 characters/);
  folder.close();
});

test("what is announced is found, and the override is gone at the end", async () => {
  const folder = await DataFolder.open(path);
  const { token } = folder.rootToken();
  folder.announce("http://127.0.0.1:1", null);
  expect([readAddress(path), readToken(path)]).toEqual(["http://127.0.0.1:1", token]);
  folder.announce("http://127.0.0.1:2", "another-root-token");
  expect([readAddress(path), readToken(path)]).toEqual(["http://127.0.0.1:2", "another-root-token"]);
  folder.close();
  expect([readAddress(path), readToken(path)]).toEqual([null, token]);
});

test("a folder that is a file is told in one line", async () => {
  writeFileSync(join(scope.path, "file"), "");
  await expect(DataFolder.open(join(scope.path, "file"))).rejects.toThrow(/^the data folder .*file cannot be used/);
});

test("an address file that holds no URL is ignored", () => {
  mkdirSync(path, { recursive: true });
  writeFileSync(join(path, "address"), "not an address");
  expect(readAddress(path)).toBeNull();
  expect(readAddress(join(path, "nowhere"))).toBeNull();
});

test.each(["with a space in it", "with-a-newline\nin-it", "mit-einem-ümlaut-drin"])("refuses the token %j", (token) => {
  expect(() => checkedToken(token, "here")).toThrow(/^here: .*visible ASCII/);
});

test.skipIf(process.getuid?.() === 0)("a folder without the right to write is told in one line", async () => {
  chmodSync(scope.path, 0o500);
  await expect(DataFolder.open(path)).rejects.toThrow(/cannot be used/);
});
