import { Buffer } from "node:buffer";
import { describe, expect, test } from "vitest";
import { handleDnsQuery } from "../../../../workers/dialects/dns/http.ts";
import type { DnsDeps } from "../../../../workers/dialects/dns/answer.ts";
import { MemoryResolver, dataOf, depsFor, instance, optRecord, query, read } from "./fixture.ts";

const URL_BASE = "https://edge.test/dns-query";
const resolver = new MemoryResolver()
  .add("web", [instance("web-1", "10.0.0.1", { meta: { say: 'a "b"' } }), instance("web-2", "2001:db8::2")])
  .add(
    "many",
    Array.from({ length: 200 }, (_, i) => instance(`i-${i}`, `10.0.0.${i}`)),
  )
  .add("host", [instance("a", "db.example.com")])
  .add("a.b", [instance("a", "10.0.0.9")]);

const call = (input: string, init: RequestInit = {}, overrides: Partial<DnsDeps> = {}): Promise<Response> =>
  handleDnsQuery(new Request(`${URL_BASE}${input}`, init), depsFor(resolver, overrides));

const post = (body: Uint8Array | string, headers: Record<string, string> = {}, overrides: Partial<DnsDeps> = {}) =>
  call(
    "",
    { method: "POST", body: body as BodyInit, headers: { "content-type": "application/dns-message", ...headers } },
    overrides,
  );

const get = (message: Uint8Array): Promise<Response> => call(`?dns=${Buffer.from(message).toString("base64url")}`);

const answerOf = async (response: Response) => read(new Uint8Array(await response.arrayBuffer()));

describe("messages (RFC 8484)", () => {
  test("POST and GET answer alike, with type and freshness", async () => {
    for (const response of [await post(query("web.holdfast", "A")), await get(query("web.holdfast", "A"))]) {
      expect([response.status, response.headers.get("content-type"), response.headers.get("cache-control")]).toEqual([
        200,
        "application/dns-message",
        "max-age=5",
      ]);
      expect(dataOf(await answerOf(response))).toEqual(["10.0.0.1"]);
    }
  });

  test("id 0, as caches like it, comes back as 0", async () => {
    expect((await answerOf(await get(query("web.holdfast", "A", { id: 0 })))).id).toBe(0);
  });

  test("a media type with parameters in other letters is the same", async () => {
    const response = await post(query("web.holdfast", "A"), { "content-type": "Application/DNS-Message; x=y" });
    expect(response.status).toBe(200);
  });

  test("a negative answer is as fresh as its SOA, an error is not kept", async () => {
    expect((await get(query("nope.holdfast", "A"))).headers.get("cache-control")).toBe("max-age=5");
    const refused = await get(query("example.com", "A"));
    expect([refused.status, refused.headers.get("cache-control")]).toEqual([200, "no-store"]);
    const broken = await post(Uint8Array.from([...query("web.holdfast", "A"), 0]));
    expect([broken.status, (await answerOf(broken)).rcode]).toEqual([200, "FORMERR"]);
  });

  test("an answer to an insider is for its own cache", async () => {
    const response = await post(query("web.holdfast", "A"), {}, { showPrivate: true });
    expect(response.headers.get("cache-control")).toBe("private, max-age=5");
  });

  test("the agent's transport decides the size; anything else has room", async () => {
    const tc = async (headers: Record<string, string>): Promise<[boolean, number]> => {
      const answered = await answerOf(await post(query("many.holdfast", "A"), headers));
      return [answered.flag_tc, answered.answers!.length];
    };
    expect((await tc({ "x-holdfast-transport": "udp" }))[0]).toBe(true);
    expect(await tc({ "x-holdfast-transport": "tcp" })).toEqual([false, 200]);
    expect(await tc({ "x-holdfast-transport": "pigeon" })).toEqual([false, 200]);
    expect(await tc({})).toEqual([false, 200]);
    const edns = await post(query("many.holdfast", "A", { additionals: optRecord(4096) }), {
      "x-holdfast-transport": "udp",
    });
    expect((await answerOf(edns)).flag_tc).toBe(false);
  });

  const wrong: [what: string, status: number, response: () => Promise<Response>][] = [
    ["no parameter", 400, () => call("")],
    ["an empty dns", 400, () => call("?dns=")],
    ["plain base64", 400, () => call("?dns=AA%2BA")],
    ["padding", 400, () => call("?dns=AAAA====")],
    ["a lone character", 400, () => call("?dns=AAAAA")],
    ["eleven bytes", 400, () => get(new Uint8Array(11))],
    ["a response", 400, () => get(query("web.holdfast", "A", { type: "response" }))],
    ["an empty body", 400, () => post("")],
    ["no body", 400, () => call("", { method: "POST", headers: { "content-type": "application/dns-message" } })],
    ["a long dns", 414, () => call(`?dns=${"A".repeat(5463)}`)],
    ["a large body", 413, () => post(new Uint8Array(4097))],
    ["another media type", 415, () => post(query("web.holdfast", "A"), { "content-type": "application/json" })],
    ["PUT", 405, () => call("", { method: "PUT", body: "x" })],
    ["DELETE", 405, () => call("", { method: "DELETE" })],
  ];
  test.each(wrong)("%s is %i", async (_what, status, response) => {
    const answered = await response();
    expect([answered.status, answered.headers.get("cache-control")]).toEqual([status, "no-store"]);
    if (status === 405) expect(answered.headers.get("allow")).toBe("GET, HEAD, POST");
  });

  test("a body without end is not read to its end", async () => {
    let pulled = 0;
    let cancelled = false;
    const endless = new ReadableStream<Uint8Array>({
      pull: (controller) => (pulled++, controller.enqueue(new Uint8Array(1024))),
      cancel: () => void (cancelled = true),
    });
    const init = {
      method: "POST",
      body: endless,
      duplex: "half",
      headers: { "content-type": "application/dns-message" },
    };
    expect((await call("", init as RequestInit)).status).toBe(413);
    expect(cancelled).toBe(true);
    expect(pulled).toBeLessThan(10);
  });

  test("a body that breaks off is a bad request", async () => {
    const broken = new ReadableStream<Uint8Array>({ pull: (controller) => controller.error(new Error("gone")) });
    const init = {
      method: "POST",
      body: broken,
      duplex: "half",
      headers: { "content-type": "application/dns-message" },
    };
    expect((await call("", init as RequestInit)).status).toBe(400);
  });

  test("HEAD has the headers of GET and no body", async () => {
    const response = await call(`?dns=${Buffer.from(query("web.holdfast", "A")).toString("base64url")}`, {
      method: "HEAD",
    });
    expect([response.status, response.headers.get("cache-control"), await response.text()]).toEqual([
      200,
      "max-age=5",
      "",
    ]);
  });
});

describe("the JSON form", () => {
  const json = async (input: string, headers: Record<string, string> = {}) => {
    const response = await call(input, { headers });
    expect([response.status, response.headers.get("content-type")]).toEqual([200, "application/dns-json"]);
    return (await response.json()) as Record<string, unknown>;
  };

  test("has the public resolvers' shape", async () => {
    expect(await json("?name=Web.service.holdfast.&type=AAAA&cd=1")).toEqual({
      Status: 0,
      TC: false,
      RD: true,
      RA: false,
      AD: false,
      CD: true,
      Question: [{ name: "Web.service.holdfast", type: 28 }],
      Answer: [{ name: "Web.service.holdfast", type: 28, TTL: 5, data: "2001:db8::2" }],
    });
  });

  test("the type defaults to A and may be a number", async () => {
    expect((await json("?name=web.holdfast", { accept: "application/dns-json" }))["Question"]).toEqual([
      { name: "web.holdfast", type: 1 },
    ]);
    expect((await json("?name=web.holdfast&type=16"))["Question"]).toEqual([{ name: "web.holdfast", type: 16 }]);
  });

  const texts: [input: string, data: string][] = [
    ["?name=_web._tcp.holdfast&type=srv", "1 10 8080 web-1.instance.web.service.dc1.holdfast."],
    ["?name=web.holdfast&type=TXT", '"say=a \\"b\\""'],
    ["?name=host.holdfast", "db.example.com."],
    ["?name=holdfast&type=SOA", "ns.holdfast. hostmaster.holdfast. 1 3600 600 86400 5"],
    ["?name=holdfast&type=NS", "ns.holdfast."],
    ["?name=a%5C.b.service.holdfast", "10.0.0.9"],
  ];
  test.each(texts)("%s reads %s", async (input, data) => {
    const answers = (await json(input))["Answer"] as { data: string }[];
    expect(answers.map((answer) => answer.data)).toContain(data);
  });

  test("a name that is not there has its status and the SOA", async () => {
    const answered = await json("?name=nope.holdfast");
    expect(answered).toMatchObject({ Status: 3, Authority: [{ name: "holdfast", type: 6, TTL: 5 }] });
    expect(answered).not.toHaveProperty("Answer");
  });

  test("what is refused says why", async () => {
    expect(await json("?name=example.com")).toMatchObject({
      Status: 5,
      Comment: ["EDE(20): not a zone of this server"],
    });
    expect(await json("?name=web.holdfast&type=ANY")).toMatchObject({
      Status: 5,
      Comment: ["EDE(21): ask for one type"],
    });
  });

  test("the root is a name", async () => {
    expect(await json("?name=.")).toMatchObject({ Status: 5, Question: [{ name: ".", type: 1 }] });
  });

  test.each([
    "?name=",
    "?name=a..holdfast",
    "?name=..",
    `?name=${"a".repeat(64)}.holdfast`,
    `?name=${"a.".repeat(128)}`,
    `?name=${"a".repeat(2000)}`,
    "?name=web.holdfast&type=0",
    "?name=web.holdfast&type=65536",
    "?name=web.holdfast&type=nonsense",
    "?name=web.holdfast&type=toString",
  ])("%s is 400", async (input) => {
    expect((await call(input)).status).toBe(400);
  });

  test("asked for by media type without a name is 400", async () => {
    expect((await call("", { headers: { accept: "application/dns-json" } })).status).toBe(400);
  });
});
