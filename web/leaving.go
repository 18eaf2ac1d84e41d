package web

import "time"

// Delete is /account/delete: ids page-delete, delete-confirm, delete-cancel.
type Delete struct {
	Common
	Session string // the sid the page was made for; the POST repeats it
	Masked  string
	Until   time.Time // when it would be erased if deleted now; zero for at once
}

func (p Delete) facts() facts {
	return facts{template: "delete", common: p.Common, script: "dialtone.js"}
}

// Deleted is /account/deleted, the receipt: id page-deleted.
type Deleted struct {
	Common
	Until time.Time // as in Delete; zero if it has been
}

func (p Deleted) facts() facts {
	return facts{template: "deleted", common: p.Common}
}

// Closing is /login/closing, a sign-in to an account that is about to be deleted:
// ids page-closing, keep-account, closing-leave.
type Closing struct {
	Common
	Flow   string
	Client *Client
	Until  time.Time
}

func (p Closing) facts() facts {
	return facts{
		template: "closing", common: p.Common, client: p.Client,
		step: []Field{{"flow", p.Flow}}, path: "/login/closing", script: "dialtone.js", popup: p.Client != nil,
	}
}

// Recycled is /login/recycled, a sign-in to an account that may be another
// person's: ids page-recycled, start-anew, prove-NAME and proof-NAME for a proof
// that is typed, use-passkey, recycled-leave.
type Recycled struct {
	Common
	Flow    string
	Client  *Client
	Proofs  []string // "password", "totp", "recovery_code", "passkey"
	Problem *Problem
}

func (p Recycled) facts() facts {
	return facts{
		template: "recycled", common: p.Common, client: p.Client, problem: p.Problem, help: len(p.Proofs) == 0,
		fields: []string{"proof-password", "proof-totp", "proof-recovery_code"},
		step:   []Field{{"flow", p.Flow}}, path: "/login/recycled", script: "dialtone.js", popup: p.Client != nil,
	}
}
