/** Option values as numbers, pairs and checks. Each refuses with a usage error that names the option. */
import type { CheckInput } from "../client.ts";
import { seconds } from "../duration.ts";
import { usage } from "../exit.ts";

export function wholeNumber(text: string, option: string): number {
  const value = Number(text);
  if (!/^\d{1,16}$/.test(text) || !Number.isSafeInteger(value))
    throw usage(`${option}: "${text}" is not a whole number`);
  return value;
}

export function port(text: string, option: string): number {
  const value = wholeNumber(text, option);
  if (value < 1 || value > 65535) throw usage(`${option}: "${text}" is not a port (1 to 65535)`);
  return value;
}

/** `3000` and `admin=9000`, as often as given. */
export function ports(texts: readonly string[]): Record<string, number> {
  return Object.fromEntries(
    texts.map((text) => {
      const [name, number] = text.includes("=") ? pair(text, "--port") : ["default", text];
      return [name, port(number, "--port")];
    }),
  );
}

/** `key=value`, as often as given. */
export function pairs(texts: readonly string[], option: string): Record<string, string> {
  return Object.fromEntries(texts.map((text) => pair(text, option)));
}

function pair(text: string, option: string): [string, string] {
  const equals = text.indexOf("=");
  if (equals < 1) throw usage(`${option}: "${text}" is not of the form name=value`);
  return [text.slice(0, equals), text.slice(equals + 1)];
}

export interface CheckTimes {
  interval?: string;
  timeout?: string;
  deregisterAfter?: string;
}

/** `http://…`, `https://…`, `tcp://host:port` or `ttl:15s`; the times hold for all of them. */
export function checks(texts: readonly string[], times: CheckTimes): CheckInput[] {
  const after = times.deregisterAfter;
  const deregister = after === undefined ? {} : { deregisterAfter: seconds(after, "--deregister-after") };
  const pull = {
    ...(times.interval !== undefined && { interval: seconds(times.interval, "--interval") }),
    ...(times.timeout !== undefined && { timeout: seconds(times.timeout, "--timeout") }),
    ...deregister,
  };
  return texts.map((text, index) => {
    const id = `check-${index + 1}`;
    if (text.startsWith("ttl:")) return { id, type: "ttl", ttl: seconds(text.slice(4), "--check"), ...deregister };
    const url = URL.parse(text);
    if (url?.protocol === "http:" || url?.protocol === "https:") return { id, type: "http", url: text, ...pull };
    if (url?.protocol === "tcp:" && url.hostname !== "" && url.port !== "") {
      const host = url.hostname.replace(/^\[|\]$/g, "");
      return { id, type: "tcp", host, port: Number(url.port), ...pull };
    }
    throw usage(`--check: "${text}" is not http://…, https://…, tcp://host:port or ttl:15s`);
  });
}

export function collect(value: string, previous: string[] = []): string[] {
  return [...previous, value];
}
