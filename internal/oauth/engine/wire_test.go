package engine

import (
	"testing"

	"github.com/ory/fosite/storage"
)

// fosite would put revocations into a transaction that it rolls back.
func TestTheStoreOpensNoTransactions(t *testing.T) {
	if _, ok := any(&store{}).(storage.Transactional); ok {
		t.Error("the store implements storage.Transactional")
	}
}

// fosite fills these in at first use, without a lock.
func TestNothingIsLeftForFositeToFillIn(t *testing.T) {
	c, ok := wire(&Engine{config: Config{Issuer: "https://id.example"}}).Config.(*settings)
	if !ok {
		t.Fatal("the configuration is of another type")
	}
	if c.ScopeStrategy == nil || c.AudienceMatchingStrategy == nil || c.ClientSecretsHasher == nil || c.JWKSFetcherStrategy == nil {
		t.Errorf("configuration %+v", c.Config)
	}
}

func TestARefreshTokenHasOneSpelling(t *testing.T) {
	const id = "0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a"
	token := refreshToken{grantID: id, generation: 42, mac: make([]byte, 36)}
	got, ok := parseRefreshToken(token.String())
	if !ok || got.String() != token.String() || got.generation != 42 || got.grantID != id {
		t.Fatalf("%s became %+v, %v", token, got, ok)
	}
}

func FuzzParseRefreshToken(f *testing.F) {
	f.Add("rt.0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a.1.AAAA")
	f.Add("rt.0192f0c12b3c7d4e8f5a6b7c8d9e0f1a.1.AAAA")
	f.Add("rt.0192f0c1-2b3c-7d4e-8f5a-6b7c8d9e0f1a.1")
	f.Add("rt.0192F0C1-2b3c-7d4e-8f5a-6b7c8d9e0f1a.01.AAA")
	f.Fuzz(func(t *testing.T, raw string) {
		if token, ok := parseRefreshToken(raw); ok && token.String() != raw {
			t.Errorf("%q is read as %s", raw, token)
		}
	})
}
