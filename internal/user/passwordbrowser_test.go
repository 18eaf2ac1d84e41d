package user

import (
	"fmt"
	"strings"
	"testing"

	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"

	"github.com/dialtone-id/dialtone/internal/browsertest"
	"github.com/dialtone-id/dialtone/internal/db/dbtest"
	"github.com/dialtone-id/dialtone/web"
)

// walk is one journey of a person through the pages.
type walk struct {
	*person
	base string
}

// walks calls do in every view, on one house; each begins without cookies.
func walks(t *testing.T, do func(h *house, w walk, i int)) {
	t.Helper()
	h := newHouse(t, dbtest.Open(t))
	var err error
	if h.pages.Site, err = web.New(web.Options{}); err != nil { // its cookies are for http
		t.Fatal(err)
	}
	base := h.public()
	eachView(t, browsertest.Views(), func(_ *testing.T, p *person, i int) { do(h, walk{p, base}, i) })
}

// reads waits for a page and checks its headline, in one of the two languages.
func (w walk) reads(selector, zh, en string) {
	w.Helper()
	w.sees(selector)
	w.says("h1", zh, en)
}

// holds checks the value of a field.
func (w walk) holds(selector, want string) {
	w.Helper()
	got, err := chromedp.Run(w.ctx, chromedp.Value(chromedp.CSS(selector)))
	if err != nil || got != want {
		w.Errorf("%s holds %q, want %q, %v", selector, got, want, err)
	}
}

// says checks a problem's words.
func (w walk) says(selector, zh, en string) {
	w.Helper()
	w.sees(selector)
	want := en
	if w.view.Lang == "zh-CN" {
		want = zh
	}
	got, err := chromedp.Run(w.ctx, chromedp.Text(chromedp.CSS(selector)))
	if err != nil || strings.TrimSpace(got) != want {
		w.Errorf("%s says %q, want %q, %v", selector, got, want, err)
	}
}

func (w walk) types(selector, text string) {
	w.Helper()
	w.does(chromedp.Clear(chromedp.CSS(selector)), chromedp.SendKeys(chromedp.CSS(selector), text))
}

func (w walk) presses(selector string) {
	w.Helper()
	w.does(chromedp.Click(chromedp.CSS(selector)))
}

func TestAPersonSignsInByPassword(t *testing.T) {
	walks(t, func(h *house, w walk, i int) {
		name := fmt.Sprintf("anna%d", i)
		h.withPassword(i, name)
		w.does(chromedp.Navigate(w.base + "/login?lang=" + w.view.Lang))
		w.presses("#by-password")
		w.reads("#page-password", "密码登录", "Sign in with a password")
		w.types("#identifier", name)
		w.types("#password", otherPassword)
		w.presses("#sign-in")
		w.says(`[role="alert"]`, "账号或密码不正确，请检查后重试，或用验证码登录。", "The account or the password isn't right. Check both, or sign in with a code.")
		w.reads("#page-password", "密码登录", "Sign in with a password")
		w.holds("#identifier", name)
		w.holds("#password", "")
		w.types("#password", goodPassword+"\r") // Enter sends
		w.sees("#page-account")
		w.does(chromedp.Navigate(w.base + "/login/password")) // who is signed in is not asked
		w.sees("#page-account")
	})
}

func TestAPersonRegisters(t *testing.T) {
	walks(t, func(h *house, w walk, i int) {
		w.does(chromedp.Navigate(w.base + "/login?lang=" + w.view.Lang))
		w.presses("#by-password")
		w.sees("#page-password")
		w.presses("#to-register")
		w.reads("#page-register", "注册", "Register")
		w.types("#phone", fixture(i)[3:])
		w.presses("#send-code")
		if w.view.Script {
			w.presses("#agree-continue") // the dialog asks
		} else {
			w.says("#agree-error", "请先阅读并同意用户协议和隐私政策。", "Please read and agree to the Terms and the Privacy Policy first.")
			w.holds("#phone", fixture(i)[3:])
			w.presses("#agree")
			w.presses("#send-code")
		}
		w.reads("#page-register:has(#register)", "注册", "Register")
		w.does(chromedp.Reload())
		w.sees("#register")
		w.types("#code", testCode)
		w.types("#password", "woaini1314")
		w.presses("#register")
		w.says("#password-error", "这个密码太容易被猜到，请换一个。", "That password is easy to guess. Please choose another one.")
		w.reads("#page-register", "注册", "Register")
		w.holds("#password", "")
		w.types("#code", "000000")
		w.types("#password", goodPassword)
		w.presses("#register")
		w.says("#code-error", "验证码不正确，请重新输入。", "That code isn't right. Check the text message and try again.")
		w.types("#code", testCode)
		w.types("#password", goodPassword+"\r")
		w.sees("#page-account")
		if _, err := h.byPassword(fixture(i), goodPassword); err != nil {
			w.Error(err)
		}
		// Once more, by somebody who forgot it: their account, and its password stays.
		if _, err := chromedp.Call(w.ctx, network.ClearBrowserCookies, cdp.Empty{}); err != nil {
			w.Fatal(err)
		}
		w.does(chromedp.Navigate(w.base + "/register?lang=" + w.view.Lang))
		w.types("#phone", fixture(i)[3:])
		w.presses("#agree")
		w.presses("#send-code")
		w.types("#code", testCode)
		w.types("#password", otherPassword)
		w.presses("#register")
		w.says("#page-account-security .done", "你已有使用该手机号的账号，现在已登录；刚才填写的密码没有生效", "You had an account with this number already, and are signed in to it. The password that you just typed was not set.")
		w.does(chromedp.NavigateBack()) // nothing is asked for again
		w.sees("#page-account")
		if _, err := h.byPassword(fixture(i), goodPassword); err != nil {
			w.Errorf("registering again: %v", err)
		}
		if n := h.rows(`SELECT count(*) FROM users`); n != i+1 {
			w.Errorf("%d users, want %d", n, i+1)
		}
	})
}
