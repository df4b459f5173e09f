import { describe, expect, test } from "vitest";
import { parseDatacenters } from "../../../workers/request/datacenter.ts";

describe("datacenters", () => {
  test("own first, then the list's order; hints where they are given", () => {
    const { own, primary, names, hints } = parseDatacenters("fra1=weur, iad1=enam ,syd1", "iad1");
    expect([own, primary]).toEqual(["iad1", "fra1"]);
    expect(names).toEqual(["iad1", "fra1", "syd1"]);
    expect([...hints]).toEqual([
      ["fra1", "weur"],
      ["iad1", "enam"],
    ]);
  });

  test.each([
    ["", undefined, ["dc1"]],
    ["a,b", undefined, ["a", "b"]],
    ["a,b", "c", ["c", "a", "b"]],
  ])("%j with own %j", (list, own, names) => {
    expect(parseDatacenters(list, own).names).toEqual(names);
  });

  test.each([
    ["dc1=mars", '"mars" is none of wnam, enam'],
    ["a,a", "a is named twice"],
    ["a=weur=b", '"a=weur=b" is no name'],
    ["A", '"A" is no name'],
    [Array.from({ length: 65 }, (_, at) => `d${at}`).join(","), "more than 64"],
  ])("%s is refused", (list, why) => {
    expect(() => parseDatacenters(list, undefined)).toThrow(why);
  });
});
