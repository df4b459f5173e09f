/** etcdserverpb.Watch: changes of keys as they come, or from a revision of the past on. */
import type { Watch } from "../gen/etcdserverpb_pb.js";
import type { Implementation } from "../service.ts";
import { WatchStream } from "../watch-stream.ts";

export const watch: Implementation<typeof Watch> = {
  watch: (requests, call) => new WatchStream(call).replies(requests),
};
