// Package sms sends one-time codes to phone numbers and checks them.
//
// It hides how a number is spelled, what a code is made of, which provider
// carries it and how often a number may be written to. A caller holds a Ref,
// later a Proof, and never sees a code.
//
// # A challenge
//
// One code for one number, purpose, client and flow (a browser's sign-in or a
// native client). All of it is one row of sms_challenges:
//
//	      Send                 Check (right)        Proof.Consume
//	none ------> live, n tries -------------> live --------------> consumed
//	               |   ^  |                                         (final)
//	        re-send|   |  | Check (wrong), MaxTries times
//	    (same code)+---+  +-----------------------------> exhausted (final)
//	               |
//	               +-- CodeTTL after the last send, CodeMaxTTL
//	                   after the first -------------------> expired (final)
//
// Check counts first and compares only then. By itself it commits the count before;
// in the caller's transaction, the sign-in's, the challenge stays locked until the
// count is committed, and nobody is answered before that: neither a crash nor any
// number of parallel requests wins a try that somebody learns from. Of all the
// Proofs of one challenge one can be consumed, by compare-and-set inside the
// transaction that signs the person in.
//
// Wrong codes count for their number too, over all its challenges, in two
// pools: one for the challenges that recognised devices asked for, one for all
// others. Each has its windows and its stop. What strangers guess wrong refuses
// nothing to the devices of the number's owner, and a right code of either pool,
// which proves the number, ends both rows of wrong ones.
//
// # A message
//
// Every message has a row of sms_ledger, written and committed before a
// provider is called. The row is the budget of its number: Send locks the
// number's row of sms_numbers and counts the ledger, so that no restart, no
// lost cache and no second server can refill a budget.
//
//	reserved --> accepted   the provider took it
//	         --> rejected   it certainly did not: the send is given back, and
//	                        a code sent earlier stays valid
//	         --> unknown    it may have: counted, never repeated by itself
//
// Of the providers of a [Route] two are asked at most. After a certain failure
// the next one gets the same message; after an unknown outcome one other may send
// the same code, as a message of its own that is counted. A re-send that a
// person asks for prefers a provider that had no turn. Whom a breaker keeps
// messages from is asked only if nobody else can be.
//
// A row that stays reserved belongs to a process that died. It counts like
// unknown and is never sent again.
//
// # Delivery reports
//
// Vendors report what became of a message, by pushing (Receive) or when asked
// (Reconcile). A report adds a verdict to its row, delivered or undelivered, of
// which the newer by the carrier's time stands; a page shows it (Challenge.Status).
// It also shows that the vendor took the message: an unknown row, and a reserved
// one of a dead process, become accepted, which counts the same. That is all.
// Most reports are signed by nobody, so none proves a number, signs anybody in,
// unblocks anything or gives a message back.
//
// # Who is sent one
//
// Before the ledger one call of ephemeral.Spend takes from every coarse limit of
// a request or from none: its address, device, prefix and neighbours, calling
// code, client and the service. Beyond a threshold ErrHumanCheckRequired asks
// for a human check, beyond the limit ErrRateLimited says when there is room;
// either takes nothing. What recognised devices ask for is spared the checks and
// the limits against pumping, and has a tenth of the service's day on top.
//
// Those counters may be lost; three things are not, for they are read from the
// ledger: a number's windows, what the day has cost in messages and in money,
// and the conversion: which of the codes that were sent are used. Watch looks at
// the last two. A prefix, region or client whose codes are not used is checked
// first and then closed to strangers for a while:
//
//	normal --> checked --> paused --> probation --> normal, or paused again
//
// A server remembers for some seconds which limits were full, so that an attack
// is refused without asking any store.
//
// # What fails, and how
//
// Refusals that a client may learn are *fault.Error values, the variables
// Err... of this package. Everything else is an internal error. No error, log
// line or formatted value of this package shows a number or a code; Number and
// Message print masked whatever the verb.
package sms
