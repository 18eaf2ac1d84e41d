// Package captcha is the human check: it makes a puzzle for one flow and one
// number and says, once, whether it was solved.
//
// There are three kinds of puzzle, and an answer says by its shape which one it
// is to:
//
//	proof of work      nothing to do for a person; raises what an attempt costs    pow.go
//	picture or sound   six digits to type, for browsers without script             picture.go
//	a vendor's widget  Geetest version 3 or 4, where the operator has an account   vendor.go
//
// Nothing is stored when a puzzle is made: what must come back unchanged is
// signed or sealed, and names flow and number through a keyed hash alone. Once
// an answer is used it is marked ([ephemeral.Store]), and marks are in SQL, so
// that neither a second replica nor a Redis that was emptied takes it again.
//
// # When the vendor is away
//
// The check never opens. A vendor that does not answer, or not in its protocol,
// makes the answer at hand fail and every puzzle of the next minute a proof of
// work. The offline mode of Geetest's version 3, whose proof anybody can
// compute, is never offered and never accepted.
//
//	             register or validate fails
//	vendor ────────────────────────────────────► proof of work for 60 s
//	   ▲                                                  │
//	   └──────────────────────────────────────────────────┘
package captcha
