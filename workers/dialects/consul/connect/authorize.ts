/** `/v1/agent/connect/authorize`: whether the holder of a certificate may connect to a service. Requests are not looked at. */
import { decidingPair } from "../../../../objects/rules/access.ts";
import type { AccessPair } from "../../../../objects/rules/access.ts";
import { object, text } from "../decode.ts";
import { badRequest } from "../errors.ts";
import type { Exchange } from "../exchange.ts";
import { route } from "../route.ts";

export const connectAuthorizeRoutes = [route("/agent/connect/authorize", { POST: authorize })];

const authorizeBody = object({ Target: text, ClientCertURI: text, ClientCertSerial: text });

async function authorize(exchange: Exchange): Promise<Response> {
  const { Target, ClientCertURI } = await exchange.body(authorizeBody);
  if (Target === "") throw badRequest("Target service must be specified");
  const source = serviceOf(ClientCertURI);
  exchange.require("service", "write", Target);
  const input = { by: "destination", service: Target } as const;
  const { value: rules } = await exchange.primary.client.query("rule.access", input);
  const pair = decidingPair(rules, { source, peer: "", destination: Target });
  return exchange.json(pair ? decisionOf(pair) : defaultDecision(exchange));
}

const defaultDecision = (exchange: Exchange): object => ({
  Authorized: exchange.authorizer.defaultPolicy === "allow",
  Reason: "Default behavior configured by ACLs",
});

function decisionOf({ source, destination, precedence }: AccessPair): object {
  const isL4 = source.permissions.length === 0;
  const detail = isL4 ? `Action: ${source.action?.toUpperCase()}` : `Permissions: ${source.permissions.length}`;
  const told = `default/${source.service} => default/${destination} (Precedence: ${precedence}, ${detail})`;
  return {
    Authorized: isL4 && source.action === "allow",
    Reason: `Matched ${isL4 ? "L4" : "L7"} intention: ${told}`,
  };
}

const SERVICE = /^(?:\/ap\/[^/]+)?\/ns\/[^/]+\/dc\/[^/]+\/svc\/([^/]+)$/;
/** Other holders of certificates: agents, servers, gateways, and the authority itself. */
const OTHERS = [
  /^(?:\/ap\/[^/]+)?\/agent\/client\/dc\/[^/]+\/id\/[^/]+$/,
  /^\/agent\/server\/dc\/[^/]+$/,
  /^(?:\/ap\/[^/]+)?\/gateway\/mesh\/dc\/[^/]+$/,
];

function serviceOf(uri: string): string {
  const found = /^spiffe:\/\/([^/?#]*)([^?#]*)$/i.exec(uri);
  const path = found?.[2] ?? "";
  const service = SERVICE.exec(path)?.[1];
  try {
    if (service !== undefined) return decodeURIComponent(service);
  } catch {
    throw badRequest("ClientCertURI not a valid Connect identifier");
  }
  const isOther = found !== null && (path === "" || OTHERS.some((other) => other.test(path)));
  throw badRequest(`ClientCertURI not a valid ${isOther ? "Service" : "Connect"} identifier`);
}
