package user

import (
	"testing"

	"github.com/dialtone-id/dialtone/web"
)

func TestDevicesAreNamedCoarsely(t *testing.T) {
	const webkit = "AppleWebKit/537.36 (KHTML, like Gecko) "
	for agent, want := range map[string]web.Device{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/140.0.0.0 Safari/537.36":                                                      {Browser: "Chrome", OS: "Windows"},
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) " + webkit + "Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":                                        {Browser: "Edge", OS: "Windows"},
		"Mozilla/5.0 (Macintosh; Intel Mac OS X 10_15_7) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/26.0 Safari/605.1":                          {Browser: "Safari", OS: "macOS"},
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                      {Browser: "Firefox", OS: "Linux"},
		"Mozilla/5.0 (Linux; Android 15; Pixel 9) " + webkit + "Chrome/140.0.0.0 Mobile Safari/537.36":                                                {Browser: "Chrome", OS: "Android", Handheld: true},
		"Mozilla/5.0 (Linux; Android 14; V2309A) " + webkit + "Version/4.0 Chrome/126.0 Mobile Safari/537.36 XWEB/1 MMWEBSDK/2 MicroMessenger/8.0.49": {Browser: "WeChat", OS: "Android", Handheld: true},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.6 Mobile/15E148 Safari/604.1":     {Browser: "Safari", OS: "iOS", Handheld: true},
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_6 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) CriOS/140.0 Mobile/15E148 Safari/604.1":      {Browser: "Chrome", OS: "iOS", Handheld: true},
		"Mozilla/5.0 (Phone; OpenHarmony 5.0) " + webkit + "Chrome/114.0.0.0 Safari/537.36 ArkWeb/4.1 Mobile HuaweiBrowser/5.0":                       {Browser: "Huawei Browser", OS: "HarmonyOS", Handheld: true},
		"Mozilla/5.0 (X11; CrOS x86_64 14541.0.0) " + webkit + "Chrome/140.0.0.0 Safari/537.36":                                                       {Browser: "Chrome", OS: "ChromeOS"},
		"Mozilla/5.0 (Linux; U; Android 14; zh-CN) " + webkit + "Version/4.0 Chrome/100.0 UCBrowser/16.5 Mobile Safari/537.36":                        {Browser: "UC", OS: "Android", Handheld: true},
		"curl/8.5.0": {Browser: "curl"}, "": {}, "test": {}, "<script>": {},
	} {
		if got := deviceOf(agent); got != want {
			t.Errorf("%s: %+v, want %+v", agent, got, want)
		}
	}
}
