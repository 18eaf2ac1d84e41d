// Package user keeps people: their accounts, the numbers, user names and e-mail
// addresses they are found by, the terms they agreed to, their passwords and second
// factors, their browser sessions, and the pages they sign in with.
//
// An account is a random id (the OpenID subject) with one phone number. The
// number is sealed in its row and found through a keyed index; a number without
// an account becomes one in the very transaction that uses its code up
// (SignInBySMS), so an account never exists without proof of its number unless
// an operator made it, and then the number is not "verified".
//
//	/login ──> /login/code ──> signed in ──> Continuation (the authorize request)
//	   │  flow cookie: what waits for this person, and which browser it is
//	   └─ POST sends a code ─┘ POST checks it: session cookie, device cookie
//
// A passkey (WebAuthn) takes the place of the code: /login/passkey. Its challenges
// are sealed like flows, so nothing is kept while a person is asked.
//
// Four cookies, none readable by script: the flow (sealed, 30 minutes), the
// session (id and secret; the table keeps only the secret's hash), the device (an
// id, and which numbers signed in here before; it buys a share of the SMS budget,
// lets limits count browsers, and keeps an idle account within its number's reach)
// and that a passkey was offered here lately.
//
// Or a phone that is signed in allows it: /login/qr and /qr, see qrRequest.
//
// /login/password signs in by password. /register is /login with a password that
// is set if the number is new (RegisterBySMS).
//
// A password, an authenticator app and recovery codes are options of an account.
// A wrong one is counted and committed before it is compared, and after ten the
// next one waits (see charge); no number of them stops the sign-in by SMS.
//
// One factor is acr "1", two or a passkey are "2". /login/second asks for the second:
// of a session where a client wants two (stepUp), and, before there is any session,
// on a strange device of an account with an authenticator app (finishSecond).
//
// An account ends in two steps: its owner closes it, which a sign-in can take
// back for some days, and EraseDue erases it. One that was idle for long is not
// opened by its number alone, which may be another person's by now; it is
// quarantined, without a number, if that person starts a new one.
//
//	active ──> closing ──> (erased)      active ──> quarantined ──> (erased)
//	   └── keep ──┘                         └── operator, other proof ──┘
//
// Whatever a person or a client may learn is a *fault.Error; db.ErrNotFound is
// the answer of look-ups. Whether a number has an account shows nowhere before
// its code was typed: nothing is looked up until then.
package user
