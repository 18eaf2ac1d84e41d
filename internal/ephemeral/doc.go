// Package ephemeral is short-lived shared state: items that are taken once,
// marks against replays, counters and rate limits. It lives on SQL, on Redis,
// or on both, where SQL takes over while Redis is away; one contract suite holds
// all three. It is the only importer of go-redis.
//
// Nothing here is the truth of an account. Everything may be lost at any moment,
// and a caller must then do the safe thing, at worst ask for one retry. What may
// never happen is that something is used twice.
//
// Values are kept as they are given: a caller seals what must not be readable.
// Keys are hashed, which hides nothing that can be guessed, so a phone number
// belongs in no key except through its keyed index.
//
// # What an operation is part of
//
// Every call is one step of its own. None joins a transaction in its context, on
// SQL neither: a Take that a rollback undid could be taken again. So call it
// outside [db.DB.Tx], where it would also wait for a second connection.
//
// # Two stores, one item
//
// [Failover] sends new things to Redis, and to SQL while Redis is away.
//
//		             ok                           the probe succeeds
//		  ┌───────────────────────┐        ┌──────────────────────────────┐
//		  ▼                       │        ▼                              │
//		Redis ────────────────────┴─ error ──► SQL, and a probe every 500 ms
//
//	  - An item lives in exactly one store; the first character of its id says in
//	    which. It is read, swapped and taken there and nowhere else, and while that
//	    store is away the answer is ErrUnavailable. A Put that Redis did not confirm
//	    is given up and done again in SQL under a new id; should Redis have kept
//	    the first one, nobody knows its name.
//	  - A Redis that restarts from an old snapshot, or a replica that is promoted
//	    before it has heard of the last writes, would offer items again that were
//	    taken. So an item remembers the run of the Redis server that took it in,
//	    and is void in any other run. Tombstones count in every run.
//	  - Marks are always SQL's, whatever Redis does. A mark that Redis forgets can
//	    be granted again, and no scheme that writes to SQL only at a switch knows
//	    what Redis has granted before it, or what another replica, which still
//	    reaches Redis, grants at the same time. Asking the one store that is always
//	    there has no switch and costs one statement without a disk write.
//	  - Limits and counters keep a separate account in each store. In a window
//	    during which the store changed, however often, at most twice Max are
//	    allowed: Max by Redis and Max by SQL. A Redis that was emptied starts
//	    afresh. They are coarse limits; the exact budget of a number is counted
//	    from the ledger of sends, elsewhere.
//
// # What remains
//
// Marks are lost with the disposable part of SQL: PostgreSQL empties unlogged
// tables when it recovers from a crash or when a standby is promoted, SQLite may
// miss the last commits after a power loss. Within its ttl such a mark can then
// be granted again. Items are safe there as well: PostgreSQL forgets all of
// them, and on SQLite they are void after the machine was started anew.
package ephemeral
