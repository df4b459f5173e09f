// Drives a server with the unmodified Go client of Consul: the recipes that other programs are built on.
// Prints a line for each step that holds; ends with 1 at the first that does not.
package main

import (
	"bytes"
	"fmt"
	"os"
	"time"

	"github.com/hashicorp/consul/api"
	"github.com/hashicorp/consul/api/watch"
)

func check(what string, err error) {
	if err != nil {
		fmt.Printf("FAILED %s: %v\n", what, err)
		os.Exit(1)
	}
}

func that(what string, holds bool, seen ...any) {
	if !holds {
		fmt.Printf("FAILED %s: %v\n", what, seen)
		os.Exit(1)
	}
	fmt.Println("ok", what)
}

func client() *api.Client {
	made, err := api.NewClient(api.DefaultConfig())
	check("client", err)
	return made
}

func main() {
	consul := client()
	leader, err := consul.Status().Leader()
	check("status/leader", err)
	that("a leader", leader != "")
	kv(consul)
	services(consul)
	sessions(consul)
	locks(consul)
	semaphores(consul)
	events(consul)
	queries(consul)
	watches(consul)
	configEntries(consul)
	accessControl(consul)
}

func kv(consul *api.Client) {
	store := consul.KV()
	_, err := store.Put(&api.KVPair{Key: "go/a", Value: []byte("one"), Flags: 1<<63 + 5}, nil)
	check("kv put", err)
	pair, meta, err := store.Get("go/a", nil)
	check("kv get", err)
	that("flags to the bit", pair.Flags == 1<<63+5 && bytes.Equal(pair.Value, []byte("one")), pair)
	that("an index", meta.LastIndex == pair.ModifyIndex && meta.KnownLeader, meta)
	pair.Value = []byte("two")
	done, _, err := store.CAS(pair, nil)
	check("kv cas", err)
	that("cas at the right index", done)
	again, _, err := store.CAS(pair, nil)
	check("kv cas", err)
	that("cas at an old one is refused", !again)
	none, _, err := store.Get("go/none", nil)
	check("kv get none", err)
	that("no key is nil", none == nil)
	ok, reply, _, err := store.Txn(api.KVTxnOps{
		{Verb: api.KVSet, Key: "go/t", Value: []byte("x")},
		{Verb: api.KVGet, Key: "go/a"},
	}, nil)
	check("kv txn", err)
	that("a transaction", ok && len(reply.Results) == 2 && string(reply.Results[1].Value) == "two", reply)
	ok, reply, _, err = store.Txn(api.KVTxnOps{{Verb: api.KVCheckNotExists, Key: "go/a"}}, nil)
	check("kv txn", err)
	that("a refused one says where", !ok && len(reply.Errors) == 1 && reply.Errors[0].OpIndex == 0, reply)
	keys, _, err := store.Keys("go/", "", nil)
	check("kv keys", err)
	that("keys", len(keys) == 2, keys)
	_, err = store.DeleteTree("go/", nil)
	check("kv delete tree", err)
}

func services(consul *api.Client) {
	agent := consul.Agent()
	check("service register", agent.ServiceRegister(&api.AgentServiceRegistration{
		ID: "web-1", Name: "web", Tags: []string{"v1"}, Port: 8080, Address: "192.0.2.1",
		Meta:  map[string]string{"zone": "a"},
		Check: &api.AgentServiceCheck{TTL: "30s", CheckID: "web-1-ttl"},
	}))
	entries, _, err := consul.Health().Service("web", "", true, nil)
	check("health service", err)
	that("critical until told otherwise", len(entries) == 0, entries)
	check("ttl pass", agent.UpdateTTL("web-1-ttl", "fine", api.HealthPassing))
	entries, meta, err := consul.Health().Service("web", "v1", true, nil)
	check("health service", err)
	that("passing after a pass", len(entries) == 1 && entries[0].Service.Port == 8080 && entries[0].Checks.AggregatedStatus() == "passing", entries)
	that("serfHealth among the checks", len(entries[0].Checks) == 2, entries[0].Checks)
	filtered, _, err := consul.Health().Service("web", "", false, &api.QueryOptions{Filter: `Service.Meta.zone == "b"`})
	check("health filter", err)
	that("a filter", len(filtered) == 0, filtered)
	stale, _, err := consul.Health().Service("web", "", true, &api.QueryOptions{AllowStale: true})
	check("health stale", err)
	that("stale", len(stale) == 1, stale)

	woken := make(chan uint64, 1)
	go func() {
		_, later, err := consul.Health().Service("web", "", false, &api.QueryOptions{WaitIndex: meta.LastIndex, WaitTime: 20 * time.Second})
		check("blocking query", err)
		woken <- later.LastIndex
	}()
	_, err = consul.Catalog().Register(&api.CatalogRegistration{Node: "ext", Address: "192.0.2.9",
		Service: &api.AgentService{ID: "web-ext", Service: "web", Port: 80}}, nil)
	check("catalog register", err)
	select {
	case index := <-woken:
		that("a blocking query wakes with a higher index", index > meta.LastIndex, index, meta.LastIndex)
	case <-time.After(15 * time.Second):
		that("a blocking query wakes", false)
	}
	found, _, err := consul.Catalog().Service("web", "", nil)
	check("catalog service", err)
	that("the catalog has both", len(found) == 2, found)
	nodes, _, err := consul.Catalog().Nodes(nil)
	check("catalog nodes", err)
	that("nodes", len(nodes) == 2, nodes)
	_, err = consul.Catalog().Deregister(&api.CatalogDeregistration{Node: "ext"}, nil)
	check("catalog deregister", err)
	check("maintenance", agent.EnableServiceMaintenance("web-1", "work"))
	entries, _, err = consul.Health().Service("web", "", true, nil)
	check("health service", err)
	that("none under maintenance", len(entries) == 0, entries)
	check("maintenance", agent.DisableServiceMaintenance("web-1"))
	status, info, err := agent.AgentHealthServiceByID("web-1")
	check("agent health", err)
	that("the agent's view", status == "passing" && info.Service.Service == "web", status)
	services, err := agent.Services()
	check("agent services", err)
	that("agent services", services["web-1"] != nil, services)
	check("service deregister", agent.ServiceDeregister("web-1"))
	self, err := agent.Self()
	check("agent self", err)
	that("agent self", self["Config"]["Datacenter"] == "dc1", self["Config"])
}

func sessions(consul *api.Client) {
	id, _, err := consul.Session().Create(&api.SessionEntry{Name: "s", TTL: "10s", Behavior: api.SessionBehaviorDelete}, nil)
	check("session create", err)
	acquired, _, err := consul.KV().Acquire(&api.KVPair{Key: "held", Session: id}, nil)
	check("acquire", err)
	that("acquired", acquired)
	renewed, _, err := consul.Session().Renew(id, nil)
	check("renew", err)
	that("renewed", renewed.ID == id, renewed)
	_, err = consul.Session().Destroy(id, nil)
	check("destroy", err)
	pair, _, err := consul.KV().Get("held", nil)
	check("kv get", err)
	that("behaviour delete", pair == nil, pair)
}

func locks(consul *api.Client) {
	first, err := consul.LockOpts(&api.LockOptions{Key: "lock", LockDelay: time.Millisecond})
	check("lock", err)
	lost, err := first.Lock(nil)
	check("lock", err)
	that("the lock is held", lost != nil)
	second, err := client().LockOpts(&api.LockOptions{Key: "lock"})
	check("lock", err)
	held := make(chan error, 1)
	go func() { _, err := second.Lock(nil); held <- err }()
	select {
	case <-held:
		that("one holder at a time", false)
	case <-time.After(300 * time.Millisecond):
	}
	check("unlock", first.Unlock())
	select {
	case err := <-held:
		check("second lock", err)
		that("the next holds it", true)
	case <-time.After(10 * time.Second):
		that("the next holds it", false)
	}
	pair, _, err := consul.KV().Get("lock", nil)
	check("kv get", err)
	that("LockIndex has counted both", pair.LockIndex == 2, pair.LockIndex)
	check("unlock", second.Unlock())
	check("destroy", second.Destroy())
}

func semaphores(consul *api.Client) {
	first, err := consul.SemaphorePrefix("sem", 1)
	check("semaphore", err)
	_, err = first.Acquire(nil)
	check("semaphore acquire", err)
	second, err := client().SemaphoreOpts(&api.SemaphoreOptions{Prefix: "sem", Limit: 1, SemaphoreTryOnce: true, SemaphoreWaitTime: 100 * time.Millisecond})
	check("semaphore", err)
	lost, err := second.Acquire(nil)
	check("semaphore try", err)
	that("a full semaphore is not entered", lost == nil)
	check("semaphore release", first.Release())
	lost, err = second.Acquire(nil)
	check("semaphore acquire", err)
	that("a free one is", lost != nil)
	check("semaphore release", second.Release())
}

func events(consul *api.Client) {
	id, _, err := consul.Event().Fire(&api.UserEvent{Name: "deploy", Payload: []byte("v2")}, nil)
	check("event fire", err)
	list, meta, err := consul.Event().List("deploy", nil)
	check("event list", err)
	that("an event", len(list) == 1 && list[0].ID == id && string(list[0].Payload) == "v2", list)
	that("its index", meta.LastIndex == consul.Event().IDToIndex(id), meta.LastIndex)
}

func queries(consul *api.Client) {
	check("service register", consul.Agent().ServiceRegister(&api.AgentServiceRegistration{Name: "db", Port: 5432, Tags: []string{"primary"}}))
	id, _, err := consul.PreparedQuery().Create(&api.PreparedQueryDefinition{Name: "db-q", Service: api.ServiceQuery{Service: "db", OnlyPassing: true, Tags: []string{"primary", "!old"}}}, nil)
	check("query create", err)
	reply, _, err := consul.PreparedQuery().Execute("db-q", nil)
	check("query execute", err)
	that("a prepared query", len(reply.Nodes) == 1 && reply.Service == "db" && reply.Datacenter == "dc1", reply)
	_, err = consul.PreparedQuery().Delete(id, nil)
	check("query delete", err)
	check("service deregister", consul.Agent().ServiceDeregister("db"))
}

func watches(consul *api.Client) {
	plan, err := watch.Parse(map[string]any{"type": "key", "key": "watched"})
	check("watch", err)
	seen := make(chan string, 10)
	plan.Handler = func(_ uint64, value any) {
		if pair, ok := value.(*api.KVPair); ok && pair != nil {
			seen <- string(pair.Value)
		}
	}
	go func() { check("watch run", plan.RunWithClientAndHclog(consul, nil)) }()
	_, err = consul.KV().Put(&api.KVPair{Key: "watched", Value: []byte("1")}, nil)
	check("kv put", err)
	select {
	case value := <-seen:
		that("a watch sees the change", value == "1", value)
	case <-time.After(10 * time.Second):
		that("a watch sees the change", false)
	}
	plan.Stop()
}

func configEntries(consul *api.Client) {
	entries := consul.ConfigEntries()
	done, _, err := entries.Set(&api.ServiceConfigEntry{Kind: api.ServiceDefaults, Name: "web", Protocol: "http"}, nil)
	check("config set", err)
	that("a config entry", done)
	_, _, err = entries.Set(&api.ServiceSplitterConfigEntry{Kind: api.ServiceSplitter, Name: "web",
		Splits: []api.ServiceSplit{{Weight: 90}, {Weight: 5}}}, nil)
	that("weights that do not add up are refused", err != nil)
	entry, _, err := entries.Get(api.ServiceDefaults, "web", nil)
	check("config get", err)
	that("it comes back", entry.(*api.ServiceConfigEntry).Protocol == "http", entry)
	chain, _, err := consul.DiscoveryChain().Get("web", nil, nil)
	check("discovery chain", err)
	that("a discovery chain", chain.Chain.Protocol == "http" && chain.Chain.StartNode != "", chain.Chain)
	_, err = entries.Delete(api.ServiceDefaults, "web", nil)
	check("config delete", err)
}
