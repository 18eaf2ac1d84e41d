// Package signing keeps keys. It hides where they come from, how they are
// stored and when they change; callers name a purpose, never a key.
//
// The [Vault] is for ourselves: sealing, MACs and keyed lookups under keys that
// are derived from the operator's master secrets.
//
//	master secret --HKDF-SHA-256--> one key per use and label
//	    seal/LABEL   AES-256-GCM    Seal, Open
//	    mac/LABEL    HMAC-SHA-256   MAC, VerifyMAC
//	index key (random, sealed in the database) --HKDF--> index/LABEL   Index
//
// What is sealed or MACed names its master by a short key id, so a new master
// can be put in front of the old one at any time. The index key stays the same
// for the life of the database, since every lookup column depends on it.
//
// The [Ring] is for others: it signs the tokens that clients verify. Each
// algorithm has one key that signs (active), one that is published ahead of its
// turn (next) and some that only verify (retired).
//
//	       Publish at least        Every             Keep             Remember
//	next -------------------> active ----> retired -------> hints only --------> deleted
//
// Both last ones count from the retirement. While it is for hints only, a key is not
// published any more and verifies nothing but old ID tokens that say whom somebody
// means.
//
// The database decides every step by a conditional write, so any number of
// replicas may run the same schedule; see rotate.go.
package signing
