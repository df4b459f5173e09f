/** etcdserverpb.Cluster: one member, which cannot be changed: the platform keeps the namespace alive. */
import { GRPC } from "../../../tunnel/wire/status.ts";
import type { Call } from "../call.ts";
import { refused } from "../errors.ts";
import type { Cluster } from "../gen/etcdserverpb_pb.js";
import type { Implementation } from "../service.ts";

export const cluster: Implementation<typeof Cluster> = {
  async memberList(_request, call) {
    await call.assertKnown();
    return { header: call.headerWithoutRevision, members: [memberOf(call)] };
  },

  async memberAdd({ peerURLs }, call) {
    await assertOperator(call);
    assertUrls(peerURLs);
    throw refused(GRPC.failedPrecondition, "re-configuration failed due to not enough started members");
  },

  async memberRemove({ ID }, call) {
    await assertOperator(call);
    assertMember(ID, call);
    throw refused(GRPC.failedPrecondition, "re-configuration failed due to not enough started members");
  },

  async memberUpdate({ ID, peerURLs }, call) {
    await assertOperator(call);
    assertUrls(peerURLs);
    assertMember(ID, call);
    throw refused(GRPC.failedPrecondition, "re-configuration failed due to not enough started members");
  },

  async memberPromote({ ID }, call) {
    await assertOperator(call);
    assertMember(ID, call);
    throw refused(GRPC.failedPrecondition, "can only promote a learner member");
  },
};

/** Its address is the one by which the caller has come: clients take it for the next calls. */
function memberOf(call: Call): { ID: bigint; name: string; peerURLs: string[]; clientURLs: string[] } {
  const { protocol, host } = new URL(call.request.url);
  const url = `${protocol}//${call.metadata.get("host") ?? host}`;
  return { ID: call.ids.member, name: "holdfast", peerURLs: [url], clientURLs: [url] };
}

const assertOperator = (call: Call): Promise<unknown> => call.authorize(() => [{ verb: "operate", kind: "operator" }]);

function assertMember(id: bigint, call: Call): void {
  if (id !== call.ids.member) throw refused(GRPC.notFound, "member not found");
}

function assertUrls(urls: readonly string[]): void {
  const isUrl = (url: string): boolean => /^https?:\/\/[^/:]+:\d{1,5}\/?$/.test(url);
  if (urls.length === 0 || !urls.every(isUrl)) throw refused(GRPC.invalidArgument, "given member URLs are invalid");
}
