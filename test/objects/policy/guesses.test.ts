/** Who guesses is held up, for that name and for a minute. */
import { expect, test } from "vitest";
import { Guesses } from "../../../objects/policy/guesses.ts";

const MINUTE = 60_000;

test("sixty wrong ones in a minute hold up the next, for that name", () => {
  const guesses = new Guesses();
  for (let at = 0; at < 60; at++) {
    expect(guesses.isHeldUp("a", at)).toBe(false);
    guesses.countWrong("a", at);
  }
  expect(guesses.isHeldUp("a", MINUTE - 1)).toBe(true);
  expect(guesses.isHeldUp("b", MINUTE - 1)).toBe(false);
  expect(guesses.isHeldUp("a", MINUTE)).toBe(false);
  guesses.countWrong("a", MINUTE);
  expect(guesses.isHeldUp("a", MINUTE)).toBe(false);
});

test("counts for so many names at most, and forgets the oldest", () => {
  const guesses = new Guesses();
  for (let i = 0; i < 60; i++) guesses.countWrong("old", 0);
  for (let i = 0; i < 10_000; i++) guesses.countWrong(String(i), 1);
  expect(guesses.isHeldUp("old", 2)).toBe(false);
});
