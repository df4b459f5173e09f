// Policies, roles, tokens and logins, as the Go client writes and reads them.
package main

import (
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"strings"
	"time"

	"github.com/hashicorp/consul/api"
)

func accessControl(consul *api.Client) {
	acl := consul.ACL()
	first, _, err := acl.Bootstrap()
	check("acl bootstrap", err)
	that("the first token", len(first.Policies) == 1 && first.Policies[0].Name == "global-management", first)
	_, _, err = acl.Bootstrap()
	that("is given once", err != nil && strings.Contains(err.Error(), "reset index"), err)

	policy, _, err := acl.PolicyCreate(&api.ACLPolicy{
		Name:        "go-reader",
		Description: "reads",
		Rules:       `key_prefix "go/" { policy = "read" } service_prefix "" { policy = "read" intentions = "write" }`,
	}, nil)
	check("policy create", err)
	policy.Description = "reads everything below"
	policy, _, err = acl.PolicyUpdate(policy, nil)
	check("policy update", err)
	byName, _, err := acl.PolicyReadByName("go-reader", nil)
	check("policy read", err)
	that("a policy", byName.ID == policy.ID && byName.Rules == policy.Rules && len(byName.Hash) > 0, byName)
	policies, meta, err := acl.PolicyList(nil)
	check("policy list", err)
	that("policies", len(policies) == 3 && meta.LastIndex > 0, policies)
	missing, _, err := acl.PolicyRead("9f1a1c1e-6d0b-4d6e-8b59-0d4f0a4f7c11", nil)
	that("no policy", missing == nil && err != nil && strings.Contains(err.Error(), "404"), missing, err)

	role, _, err := acl.RoleCreate(&api.ACLRole{
		Name:              "go-role",
		Policies:          []*api.ACLRolePolicyLink{{Name: "go-reader"}},
		ServiceIdentities: []*api.ACLServiceIdentity{{ServiceName: "go-web"}},
	}, nil)
	check("role create", err)
	role, _, err = acl.RoleReadByName(role.Name, nil)
	check("role read", err)
	that("a role", role.Policies[0].ID == policy.ID && role.ServiceIdentities[0].ServiceName == "go-web", role)

	token, _, err := acl.TokenCreate(&api.ACLToken{
		Description:    "go",
		Roles:          []*api.ACLTokenRoleLink{{Name: "go-role"}},
		NodeIdentities: []*api.ACLNodeIdentity{{NodeName: "go-node", Datacenter: "dc1"}},
		TemplatedPolicies: []*api.ACLTemplatedPolicy{{
			TemplateName:      api.ACLTemplatedPolicyServiceName,
			TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "go-api"},
		}},
		ExpirationTTL: time.Hour,
	}, nil)
	check("token create", err)
	that("a token", token.ExpirationTime != nil && len(token.Roles) == 1 && len(token.TemplatedPolicies) == 1, token)
	token.Description = "go, changed"
	token, _, err = acl.TokenUpdate(token, nil)
	check("token update", err)
	clone, _, err := acl.TokenClone(token.AccessorID, "a copy", nil)
	check("token clone", err)
	that("a clone", clone.Description == "a copy" && clone.SecretID != token.SecretID, clone)
	expanded, _, err := acl.TokenReadExpanded(token.AccessorID, nil)
	check("token read expanded", err)
	that("everything it adds up to", len(expanded.ExpandedRoles) == 1 && len(expanded.ExpandedPolicies) >= 4, expanded)
	listed, _, err := acl.TokenListFiltered(api.ACLTokenFilterOptions{Role: role.ID}, nil)
	check("token list", err)
	that("tokens of a role", len(listed) == 2, listed)

	own := &api.QueryOptions{Token: token.SecretID}
	self, _, err := acl.TokenReadSelf(own)
	check("token read self", err)
	that("itself", self.AccessorID == token.AccessorID && self.Description == "go, changed", self)
	_, err = consul.KV().Put(&api.KVPair{Key: "go/denied", Value: []byte("x")}, &api.WriteOptions{Token: token.SecretID})
	that("reading is not writing", err != nil && strings.Contains(err.Error(), "Permission denied"), err)
	_, _, err = consul.KV().Get("elsewhere", own)
	that("nor reading elsewhere", err != nil && strings.Contains(err.Error(), "lacks permission 'key:read'"), err)
	_, _, err = consul.KV().Get("go/a", own)
	check("kv get with a token", err)
	_, _, err = consul.KV().Get("go/a", &api.QueryOptions{Token: "9f1a1c1e-6d0b-4d6e-8b59-0d4f0a4f7c11"})
	that("an unknown token", err != nil && strings.Contains(err.Error(), "ACL not found"), err)

	templates, _, err := acl.TemplatedPolicyList(nil)
	check("templated policies", err)
	preview, _, err := acl.TemplatedPolicyPreview(&api.ACLTemplatedPolicy{
		TemplateName:      api.ACLTemplatedPolicyNodeName,
		TemplateVariables: &api.ACLTemplatedPolicyVariables{Name: "go-node"},
	}, nil)
	check("templated policy preview", err)
	that("templates", len(templates) == 6 && strings.Contains(preview.Rules, `node "go-node"`), preview)
	replication, _, err := acl.Replication(nil)
	check("replication", err)
	that("no replication", !replication.Enabled, replication)

	logins(acl)

	for _, accessor := range []string{token.AccessorID, clone.AccessorID, first.AccessorID} {
		_, err = acl.TokenDelete(accessor, nil)
		check("token delete", err)
	}
	_, err = acl.RoleDelete(role.ID, nil)
	check("role delete", err)
	_, err = acl.PolicyDelete(policy.ID, nil)
	check("policy delete", err)
	gone, _, err := acl.RoleRead(role.ID, nil)
	that("all gone", gone == nil && err == nil, gone, err)
}

func logins(acl *api.ACL) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	check("key", err)
	der, err := x509.MarshalPKIXPublicKey(&key.PublicKey)
	check("public key", err)
	public := string(pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der}))
	method, _, err := acl.AuthMethodCreate(&api.ACLAuthMethod{
		Name:        "go-jwt",
		Type:        "jwt",
		MaxTokenTTL: 5 * time.Minute,
		Config: map[string]any{
			"JWTValidationPubKeys": []string{public},
			"BoundIssuer":          "go",
			"ClaimMappings":        map[string]string{"sub": "who"},
		},
	}, nil)
	check("auth method create", err)
	that("an auth method", method.MaxTokenTTL == 5*time.Minute, method)
	rule, _, err := acl.BindingRuleCreate(&api.ACLBindingRule{
		AuthMethod: "go-jwt",
		Selector:   `value.who == "alice"`,
		BindType:   api.BindingRuleBindTypeService,
		BindName:   "for-${value.who}",
	}, nil)
	check("binding rule create", err)
	rules, _, err := acl.BindingRuleList("go-jwt", nil)
	check("binding rule list", err)
	that("a binding rule", len(rules) == 1 && rules[0].ID == rule.ID, rules)

	bearer := func(who string) string {
		now := time.Now().Unix()
		part := func(value any) string {
			text, _ := json.Marshal(value)
			return base64.RawURLEncoding.EncodeToString(text)
		}
		signed := part(map[string]string{"alg": "RS256", "typ": "JWT"}) + "." +
			part(map[string]any{"iss": "go", "sub": who, "iat": now, "exp": now + 60})
		digest := sha256.Sum256([]byte(signed))
		signature, err := rsa.SignPKCS1v15(rand.Reader, key, crypto.SHA256, digest[:])
		check("sign", err)
		return signed + "." + base64.RawURLEncoding.EncodeToString(signature)
	}
	token, _, err := acl.Login(&api.ACLLoginParams{AuthMethod: "go-jwt", BearerToken: bearer("Alice")}, nil)
	that("claims are compared as they are", err != nil && strings.Contains(err.Error(), "Permission denied"), token, err)
	token, _, err = acl.Login(&api.ACLLoginParams{AuthMethod: "go-jwt", BearerToken: bearer("alice")}, nil)
	check("login", err)
	that("a login", token.ServiceIdentities[0].ServiceName == "for-alice" && token.AuthMethod == "go-jwt", token)
	_, err = acl.Logout(&api.WriteOptions{Token: token.SecretID})
	check("logout", err)
	_, err = acl.AuthMethodDelete("go-jwt", nil)
	check("auth method delete", err)
}
