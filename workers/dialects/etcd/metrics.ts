/** etcd's metrics as far as a namespace has them, in Prometheus' text form: what dashboards and alerts for etcd look at. */
import type { Call } from "./call.ts";
import { VERSION } from "./version.ts";

/** Codes: those of who may ask, and of reaching the namespace. */
export async function metricsOf(call: Call): Promise<string> {
  await call.assertKnown();
  const { value, revision } = await call.client.status();
  const metrics: [name: string, type: "gauge" | "counter", help: string, value: number, labels?: string][] = [
    ["etcd_server_has_leader", "gauge", "Whether there is a leader.", 1],
    ["etcd_server_is_leader", "gauge", "Whether this member is it.", 1],
    ["etcd_server_leader_changes_seen_total", "counter", "How often it changed.", 0],
    ["etcd_server_version", "gauge", "The release whose API is served.", 1, `server_version="${VERSION}"`],
    ["etcd_server_proposals_committed_total", "gauge", "Commits of the namespace.", revision],
    ["etcd_server_proposals_applied_total", "gauge", "Commits of the namespace.", revision],
    ["etcd_server_quota_backend_bytes", "gauge", "Bytes the namespace may keep.", value.sizeBytesMax],
    ["etcd_mvcc_db_total_size_in_bytes", "gauge", "Bytes the namespace keeps.", value.sizeBytes],
    ["etcd_mvcc_db_total_size_in_use_in_bytes", "gauge", "Bytes the namespace keeps.", value.sizeBytes],
    ["etcd_debugging_mvcc_current_revision", "gauge", "The newest revision.", Math.max(1, revision)],
    ["etcd_debugging_mvcc_compact_revision", "gauge", "The oldest that can be read.", value.compacted],
  ];
  return metrics
    .map(([name, type, help, number, labels]) => {
      const named = labels === undefined ? name : `${name}{${labels}}`;
      return `# HELP ${name} ${help}\n# TYPE ${name} ${type}\n${named} ${number}\n`;
    })
    .join("");
}
