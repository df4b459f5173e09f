/** grpc.health.v1.Health: a server that can be asked serves. */
import { GRPC } from "../../../tunnel/wire/status.ts";
import { EtcdError } from "../errors.ts";
import type { Health } from "../gen/health_pb.js";
import { HealthCheckResponse_ServingStatus as Status } from "../gen/health_pb.js";
import type { Implementation } from "../service.ts";

export const health: Implementation<typeof Health> = {
  async check({ service }) {
    if (service !== "") throw new EtcdError(GRPC.notFound, "unknown service");
    return { status: Status.SERVING };
  },

  /** It tells a change, and there is none while there is somebody to tell it. */
  async *watch({ service }, { signal }) {
    yield { status: service === "" ? Status.SERVING : Status.SERVICE_UNKNOWN };
    if (!signal.aborted) await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
  },
};
