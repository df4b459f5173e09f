/** Locks taken and released over HTTP, Consul's way here and etcd's own way beside it. */
import { Agent, request } from "node:http";
import { startEtcd } from "../etcd.ts";
import type { Row } from "../measure.ts";
import { compare, ratioRow } from "../measure.ts";
import type { BenchOptions } from "../scenarios.ts";
import { Holdfast } from "../servers.ts";

const ROUNDS = 3;
const CLIENTS = 32;

export async function consulLock({ seconds }: BenchOptions): Promise<Row[]> {
  await using holdfast = await Holdfast.start();
  const etcd = await startEtcd();
  const agent = new Agent({ keepAlive: true });
  try {
    const ours = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => consulClient(agent, holdfast, n)));
    const subject = () => roundTrips(ours, seconds);
    if (etcd === null) {
      const { perSecond } = await subject();
      const row = { name: "consul-lock", value: Math.round(perSecond), unit: "1/s", yardstick: "no etcd here" };
      return [{ ...row, ratio: null, goal: "", pass: null }];
    }
    const theirs = await Promise.all(Array.from({ length: CLIENTS }, (_, n) => etcdClient(agent, etcd.origin, n)));
    const compared = await compare(ROUNDS, subject, () => roundTrips(theirs, seconds));
    return [ratioRow("consul-lock", compared, "etcd's lock", null)];
  } finally {
    agent.destroy();
    etcd?.stop();
  }
}

/** One lock taken and released. */
type Client = () => Promise<void>;

async function consulClient(agent: Agent, { origin, headers }: Holdfast, n: number): Promise<Client> {
  const put = (path: string, body = ""): Promise<string> => ask(agent, "PUT", `${origin}/v1${path}`, headers, body);
  const { ID: session } = JSON.parse(await put("/session/create", '{"TTL":"600s"}')) as { ID: string };
  const must = async (path: string): Promise<void> => {
    if ((await put(path)) !== "true") throw new Error(`${path}: refused`);
  };
  return async () => {
    await must(`/kv/lock-${n}?acquire=${session}`);
    await must(`/kv/lock-${n}?release=${session}`);
  };
}

async function etcdClient(agent: Agent, origin: string, n: number): Promise<Client> {
  const post = async <T>(path: string, body: object): Promise<T> =>
    JSON.parse(await ask(agent, "POST", `${origin}/v3${path}`, {}, JSON.stringify(body))) as T;
  const { ID: lease } = await post<{ ID: string }>("/lease/grant", { TTL: 600 });
  const name = Buffer.from(`lock-${n}`).toString("base64");
  return async () => {
    const { key } = await post<{ key: string }>("/lock/lock", { name, lease });
    await post("/lock/unlock", { key });
  };
}

/** Each client again and again, one after the other. */
async function roundTrips(clients: Client[], seconds: number): Promise<{ perSecond: number }> {
  const endAt = performance.now() + seconds * 1000;
  let count = 0;
  await Promise.all(
    clients.map(async (client) => {
      while (performance.now() < endAt) {
        await client();
        count++;
      }
    }),
  );
  return { perSecond: count / seconds };
}

/** Answers the body; rejects unless the status is 200. */
export function ask(
  agent: Agent,
  method: string,
  url: string,
  headers: Record<string, string>,
  body: string,
): Promise<string> {
  return new Promise((resolve, reject) => {
    const asked = request(url, { agent, method, headers: { ...headers, "content-length": Buffer.byteLength(body) } });
    asked.on("error", reject);
    asked.on("response", (response) => {
      let text = "";
      response.setEncoding("utf8");
      response.on("data", (chunk: string) => (text += chunk));
      response.on("end", () =>
        response.statusCode === 200 ? resolve(text) : reject(new Error(`${url}: ${response.statusCode} ${text}`)),
      );
    });
    asked.end(body);
  });
}
