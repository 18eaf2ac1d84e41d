package user

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"github.com/dialtone-id/dialtone/internal/db"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
)

// everyRow reads to the end.
func everyRow(t testing.TB, rows *Rows) []Row {
	t.Helper()
	var out []Row
	for {
		r, err := rows.Next()
		if errors.Is(err, io.EOF) {
			return out
		}
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, r)
	}
}

func csvRows(t testing.TB, text string) []Row {
	t.Helper()
	rows, err := CSVRows(strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	return everyRow(t, rows)
}

// told is outcomes as the report has them.
func outcomesOf(outcomes []Outcome) []string {
	var out []string
	for _, o := range outcomes {
		out = append(out, strings.TrimSpace(fmt.Sprintf("%d %s %s %s", o.Line, o.Result, o.Number, o.Reason)))
	}
	return out
}

func TestImportedPeopleSignInAndKeepWhatTheyHad(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		hash := djangoHash(t, goodPassword)
		csv := everyRow(t, must(t)(CSVRows(strings.NewReader("\ufeffPhone_Number,username,email,email_verified,password_hash,nickname,locale,created_at\r\n"+
			fixture(0)+",Anna,Anna@Mail.Example,true,"+hash+",\"Ann, a\",zh-CN,2019-04-01T08:30:00Z\r\n"+
			"\r\n13800138001,,,,,,,"))))
		lines := everyRow(t, JSONRows(strings.NewReader(`{"phone":"`+fixture(2)+`","preferred_username":"otto","email":"otto@mail.example","password_hash":"`+hash+`","created_at":1554107400,"name":"Otto","locale":null}
{"phone":13800138003,"created_at":"2019-04-01 08:30:00"}`)))
		for _, rows := range [][]Row{csv, lines} {
			outcomes, err := h.users.Import(t.Context(), rows)
			if err != nil || len(outcomes) != 2 || outcomes[0].Result != RowCreated || outcomes[1].Result != RowCreated {
				t.Fatalf("%v, %v", outcomesOf(outcomes), err)
			}
		}
		in, err := h.byPassword("ANNA", goodPassword)
		if err != nil {
			t.Fatal(err)
		}
		want := map[string]any{"preferred_username": "Anna", "email": "Anna@Mail.Example", "email_verified": true, "nickname": "Ann, a", "locale": "zh-CN"}
		if diff := cmp.Diff(want, in.User.Claims); diff != "" || !in.User.PhoneVerifiedAt.IsZero() || in.User.CreatedAt != time.Date(2019, 4, 1, 8, 30, 0, 0, time.UTC) {
			t.Errorf("created %v, verified %v, claims (-want +got):\n%s", in.User.CreatedAt, in.User.PhoneVerifiedAt, diff)
		}
		for _, name := range []string{"otto", "otto@mail.example", fixture(2)} {
			if in, err := h.byPassword(name, goodPassword); err != nil || in.User.Claims["email_verified"] != false || in.User.CreatedAt.Year() != 2019 {
				t.Errorf("%s: %v, %v", name, in.User.Claims, err)
			}
		}
		if _, err := h.byPassword(fixture(1), ""); !errors.Is(err, ErrCredentials) {
			t.Errorf("without a password: %v", err)
		}
		if in := h.signIn(fixture(0)); in.Created || in.User.PhoneVerifiedAt.IsZero() {
			t.Error("the number's owner is somebody else")
		}
		if n := h.rows(`SELECT count(*) FROM audit WHERE event = 'user.imported' AND actor = 'operator'`); n != 4 {
			t.Errorf("%d on record", n)
		}
	})
}

func must(t testing.TB) func(*Rows, error) *Rows {
	return func(r *Rows, err error) *Rows {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
}

func TestRowsThatDoNotFitAreRefusedAlone(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		h.withPassword(0, "anna")
		phone := func(i int) string { return fixture(i) }
		outcomes, err := h.users.Import(t.Context(), csvRows(t, strings.Join([]string{
			"phone,username,email,email_verified,password_hash,created_at,website",
			phone(0) + ",otto,,,,,",
			phone(1) + ",Anna,,,,,",
			phone(2) + ",,ANNA@mail.example,,,,",
			"138001380,,,,,,",
			",x,,,,,",
			phone(3) + ",13800138009,,,,,",
			phone(3) + ",,no address,,,,",
			phone(3) + ",,b@c.example,perhaps,,,",
			phone(3) + ",,,,plaintext-password,,",
			phone(3) + ",,,,pbkdf2_sha256$9000000$salt$DrdiWD40lyBuydnjvZiDrdQMx1S1mOA9O0QYex0R6ww=,,",
			phone(3) + ",,,,,yesterday,",
			phone(3) + ",,,,,2999-01-01,",
			phone(3) + ",,,,,,javascript:alert(1)",
			phone(3) + ",,,,,",
			phone(3) + `,"unclosed,,,,,`,
			strings.Repeat("x", maxRow+1) + ",,,,,,",
			phone(4) + ",emil,,,,,",
			phone(5) + ",EMIL,,,,,",
			phone(4) + ",,,,,,",
		}, "\n")))
		if err != nil {
			t.Fatal(err)
		}
		masked := "+86 138****8000"
		want := []string{
			"2 present " + masked,
			"3 refused +86 138****8001 " + ErrUsernameTaken.Description,
			"4 refused +86 138****8002 " + ErrEmailTaken.Description,
			"5 refused (no number) phone is not a mobile number",
			"6 refused (no number) phone is not a mobile number",
			"7 refused +86 138****8003 " + ErrUsernameInvalid.Description,
			"8 refused +86 138****8003 " + ErrEmailInvalid.Description,
			"9 refused +86 138****8003 email_verified is neither true nor false",
			"10 refused +86 138****8003 password_hash is of no kind or cost that can be verified",
			"11 refused +86 138****8003 password_hash is of no kind or cost that can be verified",
			"12 refused +86 138****8003 created_at is not a time such as 2024-05-31T08:30:00Z, or in the future",
			"13 refused +86 138****8003 created_at is not a time such as 2024-05-31T08:30:00Z, or in the future",
			"14 refused +86 138****8003 the value of claim website is not acceptable",
			"15 refused (no number) there are 6 fields, not 7",
			"16 refused (no number) the quotes do not match; a field has no line breaks",
			"17 refused (no number) the line is longer than 64 KiB",
			"18 created +86 138****8004",
			"19 refused +86 138****8005 " + ErrUsernameTaken.Description,
			"20 present +86 138****8004",
		}
		if diff := cmp.Diff(want, outcomesOf(outcomes)); diff != "" {
			t.Errorf("(-want +got):\n%s", diff)
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != 2 {
			t.Errorf("%d users", n)
		}
		bad := everyRow(t, JSONRows(strings.NewReader("[]\n{\n{\"phone\":\""+phone(6)+"\"} x\nnull\n{\"phone\":\""+phone(6)+"\",\"role\":\"admin\"}\n"+
			"{\"phone\":\""+phone(6)+"\",\"phone_number\":\""+phone(7)+"\"}\n{\"phone\":[\""+phone(6)+"\"]}\n{\"phone\":\""+phone(6)+"\",\"name\":7}\n{\"phone\":\""+phone(6)+"\",\"phone_number_verified\":true}")))
		outcomes, err = h.users.Import(t.Context(), bad)
		if err != nil || len(outcomes) != 9 {
			t.Fatalf("%v, %v", outcomesOf(outcomes), err)
		}
		for _, o := range outcomes {
			if o.Result != RowRefused || strings.Contains(o.Reason, "1380013") || strings.Contains(o.Reason, "admin") {
				t.Errorf("%v", outcomesOf([]Outcome{o}))
			}
		}
	})
}

func TestTheColumnsMustBeKnown(t *testing.T) {
	for _, head := range []string{"", "name", "phone,role", "phone,phone", "phone,phone_number", "phone,password", "phone,address", "phone;name", "\x00", `"phone`, "phone,"} {
		if _, err := CSVRows(strings.NewReader(head + "\n")); err == nil {
			t.Errorf("%q is taken", head)
		}
	}
}

// Imports of one file at once, beside people who register, make one account of
// each number.
func TestImportsBesideEachOther(t *testing.T) {
	dbtest.Each(t, func(t *testing.T, d *db.DB) {
		h := newHouse(t, d)
		text := "phone,username\n"
		for i := range 50 {
			text += fmt.Sprintf("%s,anna%d\n", fixture(i), i)
		}
		rows := csvRows(t, text)
		count := map[string]int{}
		var mu sync.Mutex
		var wait sync.WaitGroup
		for range 4 {
			wait.Go(func() {
				for i := 0; i < len(rows); i += 10 {
					outcomes, err := h.users.Import(context.Background(), rows[i:i+10])
					if err != nil {
						t.Error(err)
					}
					mu.Lock()
					for _, o := range outcomes {
						count[o.Result]++
					}
					mu.Unlock()
				}
			})
		}
		wait.Go(func() {
			for i := range 10 {
				h.signIn(fixture(5 * i))
			}
		})
		wait.Wait()
		if count[RowCreated]+count[RowPresent] != 200 || count[RowCreated] < 40 || count[RowCreated] > 50 {
			t.Errorf("outcomes %v", count)
		}
		for table, want := range map[string]int{"users": 50, "identifiers": 50 + count[RowCreated]} {
			if n := h.rows("SELECT count(*) FROM " + table); n != want {
				t.Errorf("%d %s, want %d", n, table, want)
			}
		}
	})
}

func FuzzRows(f *testing.F) {
	f.Add("phone,name\n+8613800138000,\"a \"\"b\"\", c\"\n", true)
	f.Add(`{"phone":"+8613800138000","created_at":1e400}`, false)
	f.Add("\ufeffphone\r\n\r\n\"", true)
	f.Add(` [ {"phone":"+8613800138000"}, {"phone":"a,]\\"}"},[1,{}] ] x`, false)
	s := (&Service{}).With(Regions([]string{"CN"}))
	f.Fuzz(func(t *testing.T, text string, csv bool) {
		rows := JSONRows(strings.NewReader(text))
		if csv {
			var err error
			if rows, err = CSVRows(strings.NewReader(text)); err != nil {
				return
			}
		}
		for last := 0; ; {
			row, err := rows.Next()
			if errors.Is(err, io.EOF) {
				break
			}
			if err != nil || row.Line <= last {
				t.Fatalf("line %d after %d: %v", row.Line, last, err)
			}
			last = row.Line
			if r := s.understand(row); r.bad == "" && r.phone.IsZero() {
				t.Errorf("line %d has no number", row.Line)
			}
		}
		if rows.Bytes() != int64(len(text)) {
			t.Errorf("read %d of %d bytes", rows.Bytes(), len(text))
		}
	})
}

func BenchmarkImport(b *testing.B) {
	benchEach(b, func(b *testing.B, d *db.DB) {
		h := newHouse(b, d)
		hash, next := djangoHash(b, goodPassword), 0
		for b.Loop() {
			b.StopTimer()
			text := "phone,username,email,password_hash,name\n"
			for range ImportBatch {
				text += fmt.Sprintf("+86139%08d,anna%d,anna%d@mail.example,%s,Anna\n", next, next, next, hash)
				next++
			}
			rows := csvRows(b, text)
			b.StartTimer()
			if outcomes, err := h.users.Import(context.Background(), rows); err != nil || outcomes[0].Result != RowCreated {
				b.Fatal(outcomesOf(outcomes[:1]), err)
			}
		}
		b.ReportMetric(float64(ImportBatch*b.N)/b.Elapsed().Seconds(), "rows/s")
	})
}
