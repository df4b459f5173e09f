/**
 * `PUT /v1/internal/service-virtual-ip`: addresses that an operator gives a service besides the one it has. What another
 * service of the namespace has is moved, and told; what somebody outside it has is refused.
 * Source: Consul 1.21, `Internal.AssignManualServiceVIPs`.
 */
import { HoldfastError } from "../../../objects/errors.ts";
import { assertManual, MANUAL_MAX } from "../../../objects/virtual-ips/virtual-ip.ts";
import { DIRECTORY_NAME } from "../../../objects/directory-name.ts";
import { list, object, text } from "./decode.ts";
import { refused } from "./errors.ts";
import type { Exchange } from "./exchange.ts";
import { route } from "./route.ts";

export const serviceVirtualIpRoutes = [route("/internal/service-virtual-ip", { PUT: assign })];

const assignment = object({ Service: text, ManualVIPs: list(text), Datacenter: text });

async function assign(exchange: Exchange): Promise<Response> {
  const { Service: service, ManualVIPs: given, Datacenter: datacenter } = await exchange.body(assignment);
  const to = exchange.at(datacenter);
  to.require("mesh", "write");
  const addresses = [...new Set(given)];
  assertAddresses(given, addresses);
  const { value: known } = await to.client.query("virtualIp.get", { service }, { strong: true });
  if (known === null) return exchange.json({ Found: false, UnassignedFrom: null });
  if (isSame(known.manual, addresses)) return exchange.json({ Found: true, UnassignedFrom: null });
  const takenFrom = await claim(to, service, addresses);
  await to.execute("virtualIp.setManual", { service, addresses, takenFrom });
  const unassigned = takenFrom.map((name) => ({ ServiceName: { Name: name }, Peer: "" }));
  return exchange.json({ Found: true, UnassignedFrom: unassigned.length > 0 ? unassigned : null });
}

function assertAddresses(given: string[], addresses: string[]): void {
  if (given.length > MANUAL_MAX) {
    throw refused(`cannot associate more than ${MANUAL_MAX} manual virtual IPs with the same service`);
  }
  for (const address of addresses) {
    try {
      assertManual("ManualVIPs", [address]);
    } catch (error) {
      if (!(error instanceof HoldfastError)) throw error;
      throw refused(`${JSON.stringify(address)} is not a valid IPv4 address`);
    }
  }
}

const isSame = (a: string[], b: string[]): boolean => a.length === b.length && a.every((one) => b.includes(one));

/** The services that had some of them. */
async function claim(exchange: Exchange, service: string, addresses: string[]): Promise<string[]> {
  const { env, namespace, datacenter } = exchange;
  const directory = env.DIRECTORY.getByName(DIRECTORY_NAME);
  const result = await directory.assignVirtualIps({ namespace, datacenter, service, addresses });
  if (!result.ok) throw refused(result.error.message);
  return result.value.takenFrom;
}
