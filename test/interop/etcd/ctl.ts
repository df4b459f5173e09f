/** `etcdctl` 3.4: what its users type, and what has to come back. Every step holds against etcd 3.4.23, too (`--at`). */
import type { Step } from "../steps.ts";

const ctl = (args: string[], expect: RegExp, more: Partial<Step> = {}): Step => ({
  command: ["etcdctl", ...args],
  expect,
  ...more,
});
const shell = (script: string, expect: RegExp): Step => ({ command: ["sh", "-c", script], expect });

const keys: Step[] = [
  // A server asked with `--at` may have been asked before.
  ctl(["del", "cli/", "--prefix"], /^\d+$/m),
  ctl(["put", "cli/a", "one"], /^OK$/m),
  ctl(["put", "cli/b"], /^OK$/m, { stdin: "from\nstdin" }),
  ctl(["put", "cli/c", "three", "-w", "fields"], /"Revision" : (?<rev>\d+)/),
  ctl(["put", "cli/a", "uno", "--prev-kv"], /^OK\ncli\/a\none$/m),
  ctl(["put", "cli/a", "--ignore-value"], /^OK$/m),
  ctl(["get", "cli/a"], /^cli\/a\nuno$/m),
  ctl(["get", "cli/b", "--print-value-only"], /^from\nstdin$/m),
  ctl(["get", "cli/a", "--rev={rev}"], /^cli\/a\none$/m),
  ctl(["get", "cli/a", "-w", "json"], /"key":"Y2xpL2E=".*"version":3,"value":"dW5v"/),
  ctl(["get", "cli/", "--prefix", "--keys-only"], /^cli\/a\n\ncli\/b\n\ncli\/c\n/),
  ctl(["get", "cli/", "--prefix", "--limit=1"], /^cli\/a\nuno\n$/m),
  ctl(["get", "cli/", "--prefix", "--limit=1", "-w", "fields"], /"More" : true\n"Count" : 3/),
  ctl(["get", "cli/", "--prefix", "--keys-only", "-w", "fields"], /"Count" : 3/),
  ctl(["get", "cli/a", "cli/c", "--keys-only"], /^cli\/a\n\ncli\/b\n\n$/m),
  ctl(["get", "cli/b", "--from-key", "--keys-only"], /^cli\/b\n\ncli\/c\n\n/),
  ctl(
    ["get", "cli/", "--prefix", "--sort-by=MODIFY", "--order=DESCEND", "--keys-only"],
    /^cli\/a\n\ncli\/c\n\ncli\/b\n/,
  ),
  ctl(["get", "cli/", "--prefix", "--sort-by=VALUE", "--order=ASCEND", "--keys-only"], /^cli\/b\n\ncli\/c\n\ncli\/a\n/),
  ctl(["get", "cli/a", "--consistency=s", "--hex"], /^\\x63\\x6c\\x69\\x2f\\x61\n\\x75\\x6e\\x6f$/m),
  ctl(["get", "cli/a", "--rev=999999999"], /etcdserver: mvcc: required revision is a future revision/),
  ctl(["del", "cli/b", "--prev-kv"], /^1\ncli\/b\nfrom\nstdin$/m),
  ctl(["del", "cli/none"], /^0$/m),
];

const transactions: Step[] = [
  ctl(["txn"], /^SUCCESS\n\nOK\n\ncli\/a\nuno$/m, {
    stdin: 'mod("cli/a") > "0"\nvalue("cli/a") = "uno"\n\nput cli/t first\nget cli/a\n\nput cli/t second\n\n',
  }),
  ctl(["txn"], /^FAILURE\n\n1\n\ncli\/c\nthree$/m, {
    stdin: 'create("cli/t") = "0"\n\nput cli/t again\n\ndel cli/t\nget cli/c\n\n',
  }),
  ctl(["txn", "-i"], /compares:[^]*success requests[^]*failure requests[^]*SUCCESS\n\nOK\n$/m, {
    stdin: 'version("cli/t") = "0"\n\nput cli/t third\n\n\n',
  }),
  ctl(["txn"], /etcdserver: duplicate key given in txn request/, { stdin: "\nput cli/t 1\nput cli/t 2\n\n\n" }),
];

const watches: Step[] = [
  ctl(["put", "cli/w", "before", "-w", "fields"], /"Revision" : (?<rev>\d+)/),
  ctl(["watch", "cli/w", "--rev={rev}"], /^PUT\ncli\/w\nbefore\nPUT\ncli\/w\nafter\nDELETE\ncli\/w$/m, {
    beside: [ctl(["put", "cli/w", "after"], /OK/), ctl(["del", "cli/w"], /^1$/m)],
  }),
  ctl(["watch", "cli/w", "--rev={rev}", "--prev-kv"], /^PUT\ncli\/w\nbefore\ncli\/w\nafter\nDELETE\ncli\/w\nafter$/m, {
    beside: [],
  }),
  ctl(["watch", "cli/", "--prefix", "--rev={rev}", "-w", "json"], /"type":1,"kv":\{"key":"Y2xpL3c="/, { beside: [] }),
  ctl(["watch", "cli/w", "--rev={rev}", "--", "sh", "-c", "echo ran $ETCD_WATCH_EVENT_TYPE"], /^ran "DELETE"$/m, {
    beside: [],
  }),
  ctl(["watch", "-i"], /^PUT\ncli\/w\nbefore$/m, {
    stdin: "watch cli/none\nprogress\nwatch cli/w --rev={rev}\n",
    beside: [],
  }),
];

const leases: Step[] = [
  ctl(["lease", "grant", "300"], /^lease (?<lease>[0-9a-f]{16}) granted with TTL\(300s\)$/m),
  ctl(["put", "cli/l", "leased", "--lease={lease}"], /^OK$/m),
  ctl(["put", "cli/l", "again", "--ignore-lease"], /^OK$/m),
  ctl(["lease", "list"], /^found 1 leases\n[0-9a-f]{16}$/m),
  ctl(
    ["lease", "timetolive", "{lease}", "--keys"],
    /granted with TTL\(300s\), remaining\((300|29\d)s\), attached keys\(\[cli\/l\]\)/,
  ),
  ctl(["lease", "keep-alive", "{lease}", "--once"], /keepalived with TTL\(300\)/),
  ctl(["lease", "keep-alive", "{lease}"], /keepalived with TTL\(300\)/, { beside: [] }),
  ctl(["lease", "revoke", "{lease}"], /^lease [0-9a-f]{16} revoked$/m),
  ctl(["get", "cli/l", "--keys-only", "-w", "fields"], /"Count" : 0/),
  ctl(["lease", "timetolive", "{lease}"], /^lease [0-9a-f]{16} already expired$/m),
  ctl(["lease", "keep-alive", "{lease}", "--once"], /etcdserver: requested lease not found/),
  ctl(["lease", "revoke", "{lease}"], /etcdserver: requested lease not found/),
  ctl(["put", "cli/l", "x", "--lease={lease}"], /etcdserver: requested lease not found/),
  ctl(["lease", "grant", "2"], /^lease (?<short>[0-9a-f]{16}) granted with TTL\(2s\)$/m),
  ctl(["put", "cli/short", "x", "--lease={short}", "-w", "fields"], /"Revision" : (?<rev>\d+)/),
  ctl(["watch", "cli/short", "--rev={rev}"], /^DELETE\ncli\/short$/m, { beside: [] }),
];

const coordination: Step[] = [
  ctl(["lock", "cli/lock", "--", "sh", "-c", "echo $ETCD_LOCK_KEY $ETCD_LOCK_REV"], /^cli\/lock\/[0-9a-f]+ \d+$/m),
  ctl(["lock", "cli/lock"], /^cli\/lock\/[0-9a-f]+$/m, {
    beside: [ctl(["lock", "cli/other", "echo", "beside"], /^beside$/m)],
  }),
  shell(
    "for i in 1 2 3 4; do etcdctl lock cli/lock -- sh -c 'echo in; etcdctl get x; echo out' & done; wait",
    /^(in\nout\n){4}\n/,
  ),
  ctl(["lock", "cli/lock", "--", "sh", "-c", "exit 3"], /exit status 3/),
  ctl(["get", "cli/lock", "--prefix", "--keys-only", "-w", "fields"], /"Count" : 0/),
  ctl(["elect", "cli/elect", "me"], /^cli\/elect\/[0-9a-f]+\nme$/m, {
    beside: [
      ctl(["elect", "cli/elect", "-l"], /^cli\/elect\/[0-9a-f]+\nme$/m, { beside: [] }),
      ctl(["get", "cli/elect", "--prefix", "--print-value-only"], /^me$/m),
    ],
  }),
  ctl(["get", "cli/elect", "--prefix", "--keys-only", "-w", "fields"], /"Count" : 0/),
];

const upkeep: Step[] = [
  ctl(["put", "cli/a", "new", "-w", "fields"], /"Revision" : (?<rev>\d+)/),
  ctl(["compaction", "{rev}"], /^compacted revision \d+$/m),
  ctl(["compaction", "{rev}", "--physical"], /etcdserver: mvcc: required revision has been compacted/),
  ctl(["get", "cli/a", "--rev=1"], /etcdserver: mvcc: required revision has been compacted/),
  ctl(["watch", "cli/a", "--rev=1"], /watch was canceled \(etcdserver: mvcc: required revision has been compacted\)/),
  ctl(["member", "list"], /^[0-9a-f]+, started, \w+, http:/m),
  ctl(["member", "remove", "1"], /etcdserver: member not found/),
  ctl(["member", "promote", "1"], /etcdserver: member not found/),
  ctl(["member", "update", "1", "--peer-urls=http://127.0.0.1:1"], /etcdserver: member not found/),
  ctl(["member", "list", "-w", "table"], /\| +ID +\| STATUS +\| +NAME +\|/),
  ctl(["endpoint", "health"], /is healthy: successfully committed proposal/),
  ctl(["endpoint", "health", "--cluster"], /is healthy/),
  ctl(["endpoint", "status"], /, [0-9a-f]+, 3\.\d+\.\d+, [\d.]+ k?M?B, true, false, \d+, \d+, \d+, $/m),
  ctl(["endpoint", "hashkv"], /, \d+$/m),
  ctl(["alarm", "list"], /^\n$/),
  ctl(["alarm", "disarm"], /^\n$/),
  ctl(["defrag"], /^Finished defragmenting etcd member\[/m),
  ctl(["move-leader", "1"], /etcdserver: bad leader transferee/),
  // What is saved only its own server restores: `snapshot status` and `snapshot restore` read etcd's database file.
  ctl(["snapshot", "save", "etcd.snap"], /^Snapshot saved at etcd\.snap$/m),
  {
    // Its own numbers it tells every half minute only.
    command: ["sh", "-c", "exec etcdctl make-mirror --prefix=cli/ --dest-prefix=mirrored/ $ETCDCTL_ENDPOINTS"],
    expect: /(?:)/,
    beside: [ctl(["watch", "mirrored/a", "--rev={rev}"], /^PUT\nmirrored\/a\nnew$/m, { beside: [] })],
  },
];

const ROOT = "--user=root:secret";
const ANN = "--user=ann:pass";
const access: Step[] = [
  ctl(["role", "add", "root"], /^Role root created$/m),
  ctl(["role", "add", "reader"], /^Role reader created$/m),
  ctl(["role", "add", "reader"], /etcdserver: role name already exists/),
  ctl(["role", "grant-permission", "reader", "read", "cli/", "--prefix"], /^Role reader updated$/m),
  ctl(["role", "grant-permission", "reader", "readwrite", "own"], /^Role reader updated$/m),
  ctl(
    ["role", "get", "reader"],
    /^Role reader\nKV Read:\n\t\[cli\/, cli0\) \(prefix cli\/\)\n\town\nKV Write:\n\town$/m,
  ),
  ctl(["role", "list"], /^reader\nroot$/m),
  ctl(["user", "add", "root:secret"], /^User root created$/m),
  ctl(["user", "add", "ann", "--interactive=false"], /^User ann created$/m, { stdin: "first\n" }),
  ctl(["user", "passwd", "ann", "--interactive=false"], /^Password updated$/m, { stdin: "pass\n" }),
  ctl(["user", "add", "gone", "--no-password"], /^User gone created$/m),
  ctl(["user", "grant-role", "root", "root"], /^Role root is granted to user root$/m),
  ctl(["user", "grant-role", "ann", "reader"], /^Role reader is granted to user ann$/m),
  ctl(["user", "get", "ann"], /^User: ann\nRoles: reader$/m),
  ctl(["user", "list"], /^ann\ngone\nroot$/m),
  ctl(["auth", "enable"], /^Authentication Enabled$/m),
  ctl(["get", "cli/a"], /etcdserver: user name is empty/),
  ctl(["get", "cli/a", "--user=ann:wrong"], /authentication failed, invalid user ID or password/),
  ctl(["get", "cli/a", ANN], /^cli\/a\nnew$/m),
  ctl(["put", "cli/a", "x", ANN], /etcdserver: permission denied/),
  ctl(["put", "own", "mine", ANN], /^OK$/m),
  ctl(["get", "cli/", "--prefix", "--keys-only", ANN], /^cli\/a$/m),
  ctl(["get", "", "--prefix", ANN], /etcdserver: permission denied/),
  ctl(["user", "list", ANN], /etcdserver: permission denied/),
  ctl(["endpoint", "health", ANN], /is healthy/),
  ctl(["put", "cli/a", "root's", ROOT], /^OK$/m),
  ctl(["watch", "cli/a", "--rev={rev}", ANN], /^PUT\ncli\/a\nroot's$/m, { beside: [] }),
  ctl(["user", "revoke-role", "ann", "reader", ROOT], /^Role reader is revoked from user ann$/m),
  ctl(["get", "cli/a", ANN], /etcdserver: permission denied/),
  ctl(["role", "revoke-permission", "reader", "own", ROOT], /^Permission of key own is revoked from role reader$/m),
  ctl(["role", "delete", "reader", ROOT], /^Role reader deleted$/m),
  ctl(["user", "delete", "gone", ROOT], /^User gone deleted$/m),
  ctl(["user", "delete", "root", ROOT], /etcdserver: invalid auth management/),
  ctl(["auth", "disable", ROOT], /^Authentication Disabled$/m),
  ctl(["get", "cli/a"], /^cli\/a\nroot's$/m),
  ctl(["user", "delete", "ann"], /^User ann deleted$/m),
  ctl(["user", "delete", "root"], /^User root deleted$/m),
  ctl(["role", "delete", "root"], /^Role root deleted$/m),
  ctl(["del", "own"], /^1$/m),
];

export const etcdCtl = [...keys, ...transactions, ...watches, ...leases, ...coordination, ...upkeep, ...access];

/** A minute of load. What it says of the machine is not a step. */
export const etcdCtlPerf = [
  ctl(["check", "perf", "--load=m"], /^(PASS|FAIL): Throughput /m),
  // It has cleaned up what it wrote, by one deletion.
  ctl(["get", "/etcdctl-check-perf/", "--prefix", "--keys-only", "--limit=1"], /^\s*$/),
];
