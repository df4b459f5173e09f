/** Kinds that a caller may name and may not write: those of Consul Enterprise, and those that only a controller writes. */
import { ConsulError, refused } from "../../errors.ts";

/** Consul decodes them before it refuses them; nothing of it shows. */
export const REFUSED: Readonly<Record<string, () => Error>> = {
  "sameness-group": () => refused("sameness-groups are an enterprise-only feature"),
  "bound-api-gateway": () => new ConsulError(403, "Permission denied: only writeable by controller"),
};
