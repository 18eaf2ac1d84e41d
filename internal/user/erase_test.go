package user

import (
	"context"
	"encoding/hex"
	"fmt"
	"maps"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// dump is every value of every table, as text and as hex, by table.
func (h *house) dump() map[string]string {
	h.t.Helper()
	all := map[string]string{}
	for _, table := range h.tables() {
		var b strings.Builder
		for _, row := range h.table(table) {
			for _, v := range row {
				switch v := v.(type) {
				case []byte:
					fmt.Fprintf(&b, "%s %x\n", v, v)
				case string:
					fmt.Fprintf(&b, "%s %x\n", v, v)
				default:
					fmt.Fprintln(&b, v)
				}
			}
		}
		all[table] = b.String()
	}
	return all
}

func (h *house) tables() (names []string) {
	h.t.Helper()
	query := `SELECT name FROM sqlite_master WHERE type = 'table'`
	if h.db.Engine() == db.Postgres {
		query = `SELECT table_name::text FROM information_schema.tables WHERE table_schema = current_schema()`
	}
	for _, row := range h.query(1, query) {
		names = append(names, fmt.Sprint(row[0]))
	}
	if !slices.Contains(names, "audit") || len(names) < 15 {
		h.t.Fatalf("the tables are %v", names)
	}
	return names
}

func (h *house) table(name string) [][]any {
	h.t.Helper()
	query := `SELECT count(*) FROM pragma_table_info($1)`
	if h.db.Engine() == db.Postgres {
		query = `SELECT count(*) FROM information_schema.columns WHERE table_schema = current_schema() AND table_name = $1`
	}
	return h.query(h.rows(query, name), `SELECT * FROM `+name)
}

func (h *house) query(columns int, query string) (all [][]any) {
	h.t.Helper()
	rows, err := h.db.Query(context.Background(), query)
	if err != nil {
		h.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		values, into := make([]any, columns), make([]any, columns)
		for i := range values {
			into[i] = &values[i]
		}
		if err := rows.Scan(into...); err != nil {
			h.t.Fatal(err)
		}
		all = append(all, values)
	}
	if err := rows.Err(); err != nil {
		h.t.Fatal(err)
	}
	return all
}

// A whole life, then its end: nothing of the person is left in any table but the
// keyed hash in the audit log. (T-114, N-57)
func TestErasureLeavesNothingPersonal(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.now.set(netip.MustParseAddr("203.0.113.77"))
		const phone = "+8613800138060"
		b := h.browser()
		flow, challenge := b.begin("/start", phone)
		b.finish(flow, challenge, "000000") // mistyped, which is on record with the address
		b.finish(flow, challenge, h.sink.last(phone)).to(t)
		id := h.idOf(phone)
		session := strings.Split(b.cookie(sessionName), ".")[0]
		if _, err := h.users.Update(t.Context(), id, map[string]any{"nickname": "Erasmus"}); err != nil {
			t.Fatal(err)
		}
		for _, insert := range []struct {
			query string
			args  []any
		}{
			{`INSERT INTO clients (client_id, metadata, secret_hash, source, created_at, updated_at) VALUES ('shop', '{}', '', 'static', 1, 1)`, nil},
			{`INSERT INTO consents (user_id, client_id, scope, granted_at, changed_at) VALUES ($1, 'shop', 'openid', 1, 1)`, []any{id}},
			{`INSERT INTO grants (id, client_id, user_id, session_id, scope, audience, auth_time, amr, acr, salt, generation, rotated_at, created_at, expires_at)
				VALUES ('grant-of-erasmus', 'shop', $1, $2, 'openid', '', 1, '', '', $3, 1, 1, 1, 1)`, []any{id, session, []byte("salt")}},
			{`INSERT INTO pictures (user_id, id, type, data, created_at) VALUES ($1, 'picture-of-erasmus', 'image/png', $2, 1)`, []any{id, []byte("face")}},
			{`INSERT INTO former_numbers (user_id, lookup, sealed, since) SELECT user_id, lookup, sealed, 1 FROM identifiers WHERE user_id = $1`, []any{id}},
		} {
			if _, err := d.Exec(t.Context(), insert.query, insert.args...); err != nil {
				t.Fatal(err)
			}
		}
		credentials := h.giveCredentials(id)
		stranger := h.signIn(fixture(1))
		// Somebody else signs in where the person still was.
		h.now.set(netip.MustParseAddr("198.51.100.7"))
		cookie := b.cookie(sessionName)
		flow, challenge = b.begin("/start", fixture(2))
		b.finish(flow, challenge, testCode).to(t)
		var sealed []byte
		if err := d.QueryRow(t.Context(), `SELECT sealed FROM identifiers WHERE user_id = $1`, id).Scan(&sealed); err != nil {
			t.Fatal(err)
		}
		index := hex.EncodeToString(number(t, phone).Index(h.vault))
		personal := map[string]string{
			"sub": id, "session": session, "nickname": "Erasmus", "address": "203.0.113",
			"number": "13800138060", "sealed number": hex.EncodeToString(sealed), "grant": "grant-of-erasmus", "picture": "picture-of-erasmus", "index": index,
		}
		maps.Copy(personal, credentials)
		all := strings.Join(slices.Collect(mapValues(h.dump())), "")
		for what, value := range personal {
			if what != "number" && !strings.Contains(all, value) {
				t.Fatalf("%s was nowhere to begin with", what)
			}
		}

		h.now.set(netip.MustParseAddr("198.51.100.7"))
		due, err := h.users.RequestDeletion(t.Context(), id)
		if err != nil {
			t.Fatal(err)
		}
		lines := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1`, id)
		if n, err := h.users.EraseDue(t.Context(), due); n != 1 || err != nil {
			t.Fatalf("erased %d, %v", n, err)
		}
		// The ledger and the counts of wrong codes go on protecting the number, by
		// its keyed hash.
		byHash := []string{"sms_ledger", "sms_numbers"}
		for table, text := range h.dump() {
			for what, value := range personal {
				if what == "index" && slices.Contains(byHash, table) {
					continue
				}
				if strings.Contains(text, value) {
					t.Errorf("the %s is left in %s", what, table)
				}
			}
			if slices.Contains(byHash, table) && !strings.Contains(text, index) {
				t.Errorf("%s forgot the number's budget", table)
			}
		}
		pseudonym := h.users.pseudonym(id)
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND ip = '' AND detail = '{}'`, pseudonym); n != lines+1 {
			t.Errorf("%d lines under the pseudonym, want %d and the last", n, lines)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND event = 'account.deletion_completed' AND actor = 'system'`, pseudonym); n != 1 {
			t.Errorf("the end is recorded %d times", n)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND ip <> ''`, stranger.User.ID); n == 0 {
			t.Error("a stranger's record was scrubbed")
		}

		if _, _, err := h.users.SessionOf(with(cookie)); !isNotFound(err) {
			t.Errorf("the session lives: %v", err)
		}
		h.forgetCooldown(phone)
		again := h.browser()
		flow, challenge = again.begin("/login", phone)
		again.finish(flow, challenge, h.sink.last(phone)).to(t)
		if next := h.idOf(phone); next == "" || next == id {
			t.Errorf("the number registered as %q", next)
		}
	})
}

// giveCredentials gives an account one of each kind, and returns what is personal
// about them: the names, and how their rows are found.
func (h *house) giveCredentials(id string) map[string]string {
	h.t.Helper()
	ctx, key := h.t.Context(), newAuthenticator(h.t)
	u, err := h.users.Get(ctx, id)
	if err != nil {
		h.t.Fatal(err)
	}
	h.enrol(SignedIn{User: u, Session: Session{ID: "s"}}, key)
	for _, err := range []error{
		h.users.SetUsername(ctx, id, "Rotterdamus", operatorBy),
		h.users.SetEmail(ctx, id, "desiderius@mail.example", operatorBy),
		h.users.SetPassword(ctx, id, goodPassword, operatorBy),
	} {
		if err != nil {
			h.t.Fatal(err)
		}
	}
	h.enrolTOTP(id)
	for _, err := range []error{
		h.users.CheckPassword(ctx, id, otherPassword), h.users.CheckTOTP(ctx, id, ""), h.users.UseRecoveryCode(ctx, id, "AAAA"),
	} {
		if err == nil {
			h.t.Fatal("a wrong proof was right")
		}
	}
	failures := h.users.triedFactor(id, factorPassword+poolProven)
	return map[string]string{
		"passkey": key.credentialID(), "user name": "Rotterdamus", "e-mail": "desiderius@mail.example",
		"user name's index":   hex.EncodeToString(h.users.lookup(identifier{kindUsername, "rotterdamus"})),
		"password's failures": hex.EncodeToString(failures.lookup),
	}
}

// forgetCooldown lets a number be texted again at once.
func (h *house) forgetCooldown(phone string) {
	h.t.Helper()
	if _, err := h.db.Exec(context.Background(), `UPDATE sms_ledger SET reserved_at = reserved_at - $1 WHERE lookup = $2`,
		int64(10*time.Minute/time.Microsecond), number(h.t, phone).Index(h.vault)); err != nil {
		h.t.Fatal(err)
	}
}

func mapValues(m map[string]string) func(func(string) bool) {
	return func(yield func(string) bool) {
		for _, v := range m {
			if !yield(v) {
				return
			}
		}
	}
}

func TestAnOperatorErasesAtOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		in := h.signIn(fixture(0))
		if err := h.users.Delete(t.Context(), in.User.ID); err != nil {
			t.Fatal(err)
		}
		for table, text := range h.dump() {
			if strings.Contains(text, in.User.ID) || strings.Contains(text, in.Session.ID) {
				t.Errorf("%s remembers", table)
			}
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE user_id = $1 AND event = 'user.deleted' AND actor = 'operator'`, h.users.pseudonym(in.User.ID)); n != 1 {
			t.Errorf("recorded %d times", n)
		}
	})
}

// A number's live challenge is whoever's who is signing in now.
func TestErasureSparesTheCodeOfWhoeverIsSigningIn(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		id := h.signIn(fixture(0)).User.ID
		proof := h.prove(fixture(0))
		if err := h.users.Delete(t.Context(), id); err != nil {
			t.Fatal(err)
		}
		in, err := h.users.SignInBySMS(t.Context(), proven(proof), Attempt{Browser: true})
		if err != nil || !in.Created || in.User.ID == id {
			t.Errorf("created %v, %v", in.Created, err)
		}
	})
}

func TestErasingManyAtOnceErasesEachOnce(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		for i := range 20 {
			if _, err := h.users.RequestDeletion(t.Context(), h.signIn(fixture(i)).User.ID); err != nil {
				t.Fatal(err)
			}
		}
		counts := make(chan int64, 8)
		for range 8 {
			go func() {
				n, err := h.users.EraseDue(context.Background(), time.Now().Add(8*24*time.Hour))
				if err != nil {
					t.Error(err)
				}
				counts <- n
			}()
		}
		var total int64
		for range 8 {
			total += <-counts
		}
		if total != 20 || h.rows(`SELECT count(*) FROM users`) != 0 {
			t.Errorf("erased %d", total)
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'account.deletion_completed'`); n != 20 {
			t.Errorf("recorded %d times", n)
		}
	})
}
