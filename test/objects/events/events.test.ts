/** Events: kept in order, the last 256 of them. */
import { expect, test } from "vitest";
import { utf8 } from "../../../objects/bytes.ts";
import { EVENT_PAYLOAD_BYTES_MAX, EVENTS_KEPT } from "../../../objects/events/events.ts";
import type { FireInput } from "../../../objects/events/events.ts";
import { codeOf, World } from "../fixture.ts";

const event = (change: Partial<FireInput> = {}): FireInput => ({
  name: "deploy",
  payload: utf8("v"),
  node: "",
  service: "",
  tag: "",
  ...change,
});

test("the last 256 are kept, oldest first, over a crash too", () => {
  const world = new World();
  for (let n = 1; n <= EVENTS_KEPT + 3; n++) world.run("event.fire", event({ payload: utf8(String(n)) }));
  world.crash();
  const list = world.core.query("event.list", {}, world.now);
  expect(list).toHaveLength(EVENTS_KEPT);
  expect(list.map(({ number }) => number)).toEqual(Array.from({ length: EVENTS_KEPT }, (_, n) => n + 4));
  expect(list[0]!.payload).toEqual(utf8("4"));
  expect(new Set(list.map(({ id }) => id)).size).toBe(EVENTS_KEPT);
});

test("by name", () => {
  const world = new World();
  world.run("event.fire", event());
  world.run("event.fire", event({ name: "other", service: "web", tag: "v1" }));
  expect(world.core.query("event.list", { name: "other" }, world.now)).toMatchObject([{ service: "web", tag: "v1" }]);
  expect(world.core.query("event.list", { name: "none" }, world.now)).toEqual([]);
});

test.each([
  [{ name: "" }, "invalid_argument"],
  [{ name: "a\0b" }, "invalid_argument"],
  [{ tag: "v1" }, "invalid_argument"],
  [{ payload: new Uint8Array(EVENT_PAYLOAD_BYTES_MAX + 1) }, "too_large"],
])("%j is refused", (change, code) => {
  const world = new World();
  expect(codeOf(() => world.run("event.fire", event(change)))).toBe(code);
  expect(world.core.revision).toBe(0);
});
