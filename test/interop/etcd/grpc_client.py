"""Drives a server with the unmodified python-etcd3, over gRPC."""
import io
import os
import threading

import etcd3
from etcd3 import exceptions
import grpc
from that import that

host, port = os.environ["ETCDCTL_ENDPOINTS"].rsplit(":", 1)
c = etcd3.client(host=host, port=int(port), timeout=10)
t = c.transactions


def refused(call):
    """The code and the text with which a call is refused."""
    try:
        result = call()
        if hasattr(result, "__next__"):
            list(result)
    except (grpc.RpcError, exceptions.Etcd3Exception) as error:
        # Some codes have an exception of the client's own, raised while it looks at the call's.
        told = error if isinstance(error, grpc.RpcError) else error.__context__
        if isinstance(told, grpc.RpcError):
            return told.code().name, told.details()
        return type(error).__name__, str(error)
    return None


def revision():
    return c.get_response("py/").header.revision


c.delete_prefix("py/")

# Keys
that("put", c.put("py/a", "one").header.revision > 0)
that("put tells what was there", c.put("py/a", b"\x00\xff", prev_kv=True).prev_kv.value == b"one")
value, meta = c.get("py/a")
that("get", value == b"\x00\xff" and meta.key == b"py/a" and meta.version == 2 and meta.lease_id == 0, meta)
that("revisions", meta.mod_revision > meta.create_revision > 0, (meta.mod_revision, meta.create_revision))
that("the header has the revision of the put", meta.response_header.revision == meta.mod_revision)
that("no key", c.get("py/none") == (None, None))
that("an empty key is refused", refused(lambda: c.get("")) == ("INVALID_ARGUMENT", "etcdserver: key is not provided"))
c.put("py/b", "3")
c.put("py/c", "1")
c.put("py/d", "2")
that("prefix", [m.key for _, m in c.get_prefix("py/")] == [b"py/a", b"py/b", b"py/c", b"py/d"])
that("keys only", [v for v, _ in c.get_prefix("py/", keys_only=True)] == [b""] * 4)
that("range", [v for v, _ in c.get_range("py/b", "py/d")] == [b"3", b"1"])
for target, order in (("key", "descend"), ("value", "ascend"), ("mod", "descend"), ("create", "ascend"), ("version", "ascend")):
    seen = [m.key.decode()[-1] for _, m in c.get_prefix("py/", sort_target=target, sort_order=order)]
    wanted = {"key": "dcba", "value": "acdb", "mod": "dcba", "create": "abcd", "version": "bcda"}[target]
    that(f"sorted by {target}", "".join(seen) == wanted, seen)
that("all", {b"py/a", b"py/b", b"py/c", b"py/d"} <= {m.key for _, m in c.get_all()})
that("serializable", c.get("py/b", serializable=True)[0] == b"3")
that("put if it does not exist", c.put_if_not_exists("py/e", "x") and not c.put_if_not_exists("py/e", "y"))
that("replace", c.replace("py/e", "x", "z") and not c.replace("py/e", "x", "w"))
that("delete", c.delete("py/e") and not c.delete("py/e"))
that("delete tells what was there", c.delete("py/d", prev_kv=True, return_response=True).prev_kvs[0].value == b"2")
that("delete a prefix", c.delete_prefix("py/").deleted == 3)

# Transactions
c.put("py/t", "5")
done, replies = c.transaction(
    compare=[t.value("py/t") == "5", t.version("py/t") > 0, t.create("py/none") == 0, t.mod("py/t") != 1],
    success=[t.put("py/t", "6"), t.get("py/t"), t.delete("py/none")],
    failure=[],
)
that("a transaction", done and replies[1][0][0] == b"6" and replies[2].response_delete_range.deleted == 0, replies)
done, replies = c.transaction(compare=[t.version("py/t") < 1], success=[], failure=[t.get("py/", range_end="py0")])
that("its other way", not done and replies[0][0][0] == b"6", replies)
done, replies = c.transaction(
    compare=[], success=[t.txn(compare=[t.value("py/t") == "6"], success=[t.put("py/n", "in")], failure=[])], failure=[]
)
that("one in another", done and c.get("py/n")[0] == b"in", replies)
that(
    "a key twice is refused",
    refused(lambda: c.transaction(compare=[], success=[t.put("py/t", "1"), t.put("py/t", "2")], failure=[]))
    == ("INVALID_ARGUMENT", "etcdserver: duplicate key given in txn request"),
)
that(
    "too many operations are refused",
    refused(lambda: c.transaction(compare=[], success=[t.put(f"py/{n}", "") for n in range(129)], failure=[]))
    == ("INVALID_ARGUMENT", "etcdserver: too many operations in txn request"),
)

# Watches
start = revision() + 1
events, cancel = c.watch("py/w", start_revision=start)
c.put("py/w", "1")
c.put("py/w", "2")
c.delete("py/w")
seen = [next(events) for _ in range(3)]
that("a watch", [type(event).__name__ for event in seen] == ["PutEvent", "PutEvent", "DeleteEvent"], seen)
that("its values", [event.value for event in seen] == [b"1", b"2", b""])
cancel()
events, cancel = c.watch("py/w", start_revision=start, prev_kv=True)
that("again, with what was before", [next(events).prev_value for _ in range(3)] == [b"", b"1", b"2"])
cancel()
# This client cannot set `filters`: its own assignment fails.
events, cancel = c.watch_prefix("py/", start_revision=start)
that("of a prefix", [next(events).key for _ in range(3)] == [b"py/w"] * 3)
cancel()
responses, cancel = c.watch_prefix_response("py/many/")
c.transaction(compare=[], success=[t.put(f"py/many/{n}", "") for n in range(10)], failure=[])
response = next(responses)
that("a transaction is one answer", len(response.events) == 10, response.events)
that("with its revision", {e.mod_revision for e in response.events} == {response.header.revision})
cancel()
seen = []
came = threading.Event()
watch_id = c.add_watch_callback("py/callback", lambda response: (seen.extend(response.events), came.set()))
c.put("py/callback", "x")
that("a callback", came.wait(10) and seen[0].key == b"py/callback", seen)
c.cancel_watch(watch_id)
watches = [c.watch(f"py/fan/{n}") for n in range(50)]
for n in range(50):
    c.put(f"py/fan/{n}", str(n))
that("fifty on one stream", [next(events).value for events, _ in watches] == [str(n).encode() for n in range(50)])
for _, cancel in watches:
    cancel()
that("nothing comes: the client's own timeout", refused(lambda: c.watch_once("py/none", timeout=0.2))[0] == "WatchTimedOut")
timer = threading.Timer(0.1, lambda: c.put("py/once", "now"))
timer.start()
that("once", c.watch_once("py/once", timeout=10).value == b"now")

# Leases
lease = c.lease(300)
that("grant", lease.ttl == 300 and lease.id > 0)
c.put("py/l1", "x", lease=lease)
c.put("py/l2", "x", lease=lease.id)
that("its keys", sorted(lease.keys) == [b"py/l1", b"py/l2"], lease.keys)
that("time left", 290 < lease.remaining_ttl <= 300 and lease.granted_ttl == 300)
that("a key tells its lease", c.get("py/l1")[1].lease_id == lease.id)
that("keep alive", lease.refresh()[0].TTL == 300)
that("its id again is refused", refused(lambda: c.lease(300, lease_id=lease.id)) == ("FAILED_PRECONDITION", "etcdserver: lease already exists"))
that("an id of one's own", c.lease(300, lease_id=4242).id == 4242)
c.revoke_lease(4242)
lease.revoke()
that("revoked: the keys are gone", c.get("py/l1") == (None, None))
that("no time left", lease.remaining_ttl == -1)
that("keep alive of none", lease.refresh()[0].TTL == 0)
that("revoke of none", refused(lease.revoke) == ("NOT_FOUND", "etcdserver: requested lease not found"))
that("put with none", refused(lambda: c.put("py/l", "", lease=lease)) == ("NOT_FOUND", "etcdserver: requested lease not found"))
short = c.lease(2)
start = c.put("py/short", "x", lease=short).header.revision + 1
events, cancel = c.watch("py/short", start_revision=start)
that("expires", isinstance(next(events), etcd3.events.DeleteEvent))
cancel()

# Locks
lock, other = c.lock("py-lock", ttl=20), c.lock("py-lock", ttl=20)
that("acquire", lock.acquire() and lock.is_acquired())
# To wait for a lock this client asks tenacity in a way that today's tenacity does not know; without waiting it works.
print("skipped waiting for a lock: the client cannot, with the tenacity that comes with it")
that("held by one", not other.acquire(timeout=0) and not other.is_acquired())
that("refresh", lock.refresh()[0].TTL == 20)
that("release", lock.release() and not lock.release())
that("then by the other", other.acquire(timeout=0) and other.is_acquired() and not lock.is_acquired())
other.release()
counted = []


def work():
    mine = c.lock("py-many", ttl=20)
    while not mine.acquire(timeout=0):
        pass
    before = len(counted)
    c.get("py/a")
    counted.append(before)
    mine.release()


threads = [threading.Thread(target=work) for _ in range(8)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join(30)
that("one after the other", counted == list(range(8)), counted)

# Upkeep
members = list(c.members)
that("members", len(members) == 1 and members[0].client_urls[0].startswith("http://"), members)
that("a member's alarms", list(members[0].active_alarms) == [])
status = c.status()
that("status", status.version.startswith("3.") and status.db_size > 0 and status.leader.id == members[0].id)
that("no alarms", list(c.list_alarms()) == [])
that("disarm none", list(c.disarm_alarm()) == [])
that("hash", isinstance(c.hash(), int) and c.hash() == c.hash())
that("defragment", c.defragment() is None)
snapshot = io.BytesIO()
c.snapshot(snapshot)
that("snapshot", len(snapshot.getvalue()) > 1000, len(snapshot.getvalue()))
old = revision()
c.put("py/a", "new")
c.compact(revision(), physical=True)
that(
    "compacted already",
    refused(lambda: c.compact(old)) == ("OUT_OF_RANGE", "etcdserver: mvcc: required revision has been compacted"),
)
that(
    "compaction of what is to come",
    refused(lambda: c.compact(old + 10**6)) == ("OUT_OF_RANGE", "etcdserver: mvcc: required revision is a future revision"),
)
events, cancel = c.watch("py/a", start_revision=old)
that("a watch from before it", refused(lambda: next(events))[0] == "RevisionCompactedError")
cancel()

# Access
rpc = etcd3.etcdrpc
auth = rpc.AuthStub(c.channel)
for name in ("root", "ann"):
    auth.UserAdd(rpc.AuthUserAddRequest(name=name, password=f"of {name}"))
    auth.RoleAdd(rpc.AuthRoleAddRequest(name=name))
    auth.UserGrantRole(rpc.AuthUserGrantRoleRequest(user=name, role=name))
READ_WRITE = 2
permission = {"permType": READ_WRITE, "key": b"py/", "range_end": b"py0"}
auth.RoleGrantPermission(rpc.AuthRoleGrantPermissionRequest(name="ann", perm=permission))
auth.AuthEnable(rpc.AuthEnableRequest())


def login(user, password):
    client = etcd3.client(host=host, port=int(port), timeout=10, user=user, password=password)
    # gRPC hands these on over TLS alone, and refuses the call else; the token goes as metadata, too.
    client.call_credentials = client.watcher._credentials = None
    return client


root = login("root", "of root")
try:
    that("who is nobody", refused(lambda: c.get("py/a")) == ("INVALID_ARGUMENT", "etcdserver: user name is empty"))
    that(
        "a wrong password",
        refused(lambda: login("ann", "wrong"))
        == ("INVALID_ARGUMENT", "etcdserver: authentication failed, invalid user ID or password"),
    )
    ann = login("ann", "of ann")
    put = ann.put("py/a", "ann's")
    that("what one may", ann.get("py/a")[0] == b"ann's")
    that("what one may not", refused(lambda: ann.get("other")) == ("PERMISSION_DENIED", "etcdserver: permission denied"))
    events, cancel = ann.watch("py/a", start_revision=put.header.revision)
    that("a watch of one's own", next(events).value == b"ann's")
    cancel()
    that("a lock elsewhere", refused(ann.lock("py-ann").acquire)[0] == "PERMISSION_DENIED")
    that("root may all", root.put("other", "x") and root.delete("other"))
finally:
    auth.AuthDisable(rpc.AuthDisableRequest(), metadata=root.metadata)
for name in ("root", "ann"):
    auth.UserDelete(rpc.AuthUserDeleteRequest(name=name))
    auth.RoleDelete(rpc.AuthRoleDeleteRequest(role=name))

with etcd3.client(host=host, port=int(port), timeout=10) as again:
    that("nobody has to be anybody any more", again.get("py/a")[0] == b"ann's")
    again.delete_prefix("py/")
