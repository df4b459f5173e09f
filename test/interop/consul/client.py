"""Drives a server with the unmodified python-consul."""
import os
import threading

import consul
from that import that

host, port = os.environ["CONSUL_HTTP_ADDR"].rsplit(":", 1)
c = consul.Consul(host=host, port=int(port))

that("a leader", c.status.leader())

that("put", c.kv.put("py/a", "one", flags=7))
index, pair = c.kv.get("py/a")
that("get", pair["Value"] == b"one" and pair["Flags"] == 7 and int(index) == pair["ModifyIndex"], pair)
that("cas", c.kv.put("py/a", "two", cas=pair["ModifyIndex"]))
that("cas at an old index", not c.kv.put("py/a", "three", cas=pair["ModifyIndex"]))
that("keys", c.kv.get("py/", keys=True)[1] == ["py/a"])
that("recurse", len(c.kv.get("py/", recurse=True)[1]) == 1)
that("no key", c.kv.get("py/none")[1] is None)

index, _ = c.kv.get("py/a")
seen = []
waiter = threading.Thread(target=lambda: seen.append(c.kv.get("py/a", index=index, wait="20s")))
waiter.start()
c.kv.put("py/a", "four")
waiter.join(15)
that("a blocking read", seen and seen[0][1]["Value"] == b"four", seen)

that("register", c.agent.service.register("py-web", service_id="py-web-1", port=81, tags=["v1"], check=consul.Check.ttl("30s")))
that("critical at first", c.health.service("py-web", passing=True)[1] == [])
# This client still GETs what changes something, which Consul has refused since 1.0, and so do we: 405, `False` here.
that("a GET that would change something is refused", not c.agent.check.ttl_pass("service:py-web-1"))
def put(path):
    return c.http.put(lambda reply: reply.code == 200, path)


that("ttl pass", put("/v1/agent/check/pass/service:py-web-1"))
nodes = c.health.service("py-web", passing=True)[1]
that("passing", len(nodes) == 1 and nodes[0]["Service"]["Port"] == 81, nodes)
that("catalog services", c.catalog.services()[1]["py-web"] == ["v1"])
that("agent services", "py-web-1" in c.agent.services())
that("agent checks", "service:py-web-1" in c.agent.checks())
that("health state", any(k["CheckID"] == "serfHealth" for k in c.health.state("any")[1]))
that("deregister", put("/v1/agent/service/deregister/py-web-1"))

session = c.session.create(name="py", ttl=10, behavior="release", lock_delay=0)
that("acquire", c.kv.put("py/lock", "me", acquire=session))
other = c.session.create(ttl=10)
that("held by one", not c.kv.put("py/lock", "you", acquire=other))
that("release", c.kv.put("py/lock", "", release=session))
that("then by the other", c.kv.put("py/lock", "you", acquire=other))
that("session info", c.session.info(other)[1]["ID"] == other)
that("destroy", c.session.destroy(session) and c.session.destroy(other))

that("an event", c.event.fire("py-deploy", "body")["Name"] == "py-deploy")
that("event list", len(c.event.list(name="py-deploy")[1]) == 1)
that("datacenters", c.catalog.datacenters() == ["dc1"])
that("nodes", len(c.catalog.nodes()[1]) >= 1)

that("delete", c.kv.delete("py/", recurse=True))
