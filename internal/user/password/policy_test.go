package password

import (
	"errors"
	"strings"
	"testing"
)

func TestCheckTellsWhatMayBeChosen(t *testing.T) {
	own := []string{"+8613800138000", "dial_tone", "zhang.san@example.com"}
	for _, c := range []struct {
		password string
		want     error
	}{
		{"", ErrTooShort},
		{"x7#kQ2m", ErrTooShort},
		{"密码太短了呀吗", ErrTooShort}, // 7 characters, 21 bytes
		{"x7#kQ2mv", nil},
		{strings.Repeat("x7#kQ2mv", 16)[:127] + "z", nil},
		{strings.Repeat("x7#kQ2mv", 16) + "z", ErrTooLong},
		{strings.Repeat("密", 127) + "码", ErrCommon}, // within the length; it is one character again and again
		{strings.Repeat("é̀x", 300), ErrTooLong},    // 128 characters or not, too many bytes
		{" leading and trailing ", nil},
		{"correct horse battery staple", nil},
		{"我的新密码不容易猜到", nil},
		{"nul\x00inside-it-all", nil},
		{"83749201", nil}, // eight unrelated digits: no rules about composition

		{"13800138000", ErrCommon},
		{"my 138-0013-8000 tel", ErrCommon},
		{"x#00138000#kv9", ErrCommon},
		{"x#０0138000#kv9", ErrCommon},
		{"x#0138000#kv9m", nil},
		{"Xy-DIAL_TONE-77k", ErrCommon},
		{"zhang.san-7kVq", ErrCommon},
	} {
		if err := Check(c.password, own...); !errors.Is(err, c.want) {
			t.Errorf("%q: got %v, want %v", c.password, err, c.want)
		}
	}
}

func TestPasswordsOfEveryListAreRefused(t *testing.T) {
	for _, p := range strings.Fields(`
		12345678 123456789 1234567890 87654321 11111111 00000000 88888888 12341234 11223344 12121212 123123123
		password password1 Password1 PASSWORD123 P@ssw0rd P@$$w0rd! passw0rd2024 Password2024! pa55word Passwort1!
		qwertyui qwertyuiop asdfghjkl 1qaz2wsx 1QAZ2wsx 1qaz@WSX zaq12wsx !QAZ2wsx qwer1234 q1w2e3r4 1q2w3e4r5t
		qazwsxedc zxcvbnm123 asdf1234 abcd1234 abcd1234!@#$ a1b2c3d4 1a2b3c4d abc123456 aa123456 abcdefgh zyxwvuts
		woaini1314 woaini520 Woaini5201314 5201314520 aini1314 woaiwojia 1314woaini wodemima xiaoming123 zhangwei88
		iloveyou iloveyou2 sunshine princess1 football12 dragon2020 monkey123 superman! letmein123 welcome1 Welcome2023!
		admin123 admin@123 Admin@1234 administrator root1234 test1234 guest123456 changeme1
		19870214 14021987 02141987 1987-02-14 2008.08.08 zhang19870214 20010911
		147258369 159357159 789456123 5201314a a5201314 woshishui shengri1990
		liverpool naruto2007 pokemon!! jordan23 summer2024 October2025! michael1985
		我我我我我我我我 爱你爱你爱你爱你 abababab`) {
		if err := Check(p); !errors.Is(err, ErrCommon) {
			t.Errorf("%q may be chosen: %v", p, err)
		}
	}
}

func TestUnguessablePasswordsAreNotCalledCommon(t *testing.T) {
	for _, p := range []string{
		"kx7Fq2wZ", "tr0ub4dor&3x", "blume-tisch-regal", "vogelfrei99x", "Gänseblümchen", "horsebatteryx",
		"n8Jw-4pQz", "wobuzhidaonishishei", "床前明月光疑是地上霜", "72946135", "x1x2y7y9z4", "my cat ate 12 tuna",
		"wxqpzlmv", "jklm-8aR2",
	} {
		if err := Check(p); err != nil {
			t.Errorf("%q: %v", p, err)
		}
	}
}

func TestTheListIsInTheFormItIsLookedUpIn(t *testing.T) {
	if n := len(words()); n < 1500 {
		t.Errorf("%d words", n)
	}
	for w := range words() {
		if w != strings.ToLower(w) || len(w) > maxWord {
			t.Errorf("%q is never found", w)
		}
	}
}

func BenchmarkCheck(b *testing.B) {
	for name, p := range map[string]string{"usual": "correct horse battery staple", "longest": strings.Repeat("x7#kQ2mv", 16)[:127] + "z"} {
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				_ = Check(p, "+8613800138000", "dial_tone")
			}
		})
	}
}
