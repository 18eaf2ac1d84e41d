package user

import (
	"strings"

	"github.com/dialtone-id/dialtone/web"
)

// deviceOf says coarsely which browser on which system a User-Agent names. What
// it is for is that a person recognises their own; anybody can send anything.
func deviceOf(agent string) web.Device {
	d := web.Device{Browser: first(agent, browserMarks), OS: first(agent, systemMarks)}
	d.Handheld = strings.Contains(agent, "Mobile") || d.OS == "iOS" || d.OS == "Android" && !strings.Contains(agent, "Tablet")
	return d
}

// mark is a text that tells a name.
type mark struct{ text, name string }

// first is the name of the first mark that is in the text. Order matters: nearly
// every browser says that it is Safari, and many that they are Chrome.
func first(text string, marks []mark) string {
	for _, m := range marks {
		if strings.Contains(text, m.text) {
			return m.name
		}
	}
	return ""
}

var browserMarks = []mark{
	{"MicroMessenger/", "WeChat"}, {"AlipayClient/", "Alipay"}, {"DingTalk/", "DingTalk"}, {"Lark/", "Lark"}, {"QQ/", "QQ"},
	{"MQQBrowser/", "QQ Browser"}, {"QQBrowser/", "QQ Browser"}, {"Quark/", "Quark"}, {"UCBrowser/", "UC"}, {"UBrowser/", "UC"},
	{"baiduboxapp/", "Baidu"}, {"HuaweiBrowser/", "Huawei Browser"}, {"MiuiBrowser/", "Mi Browser"}, {"VivoBrowser/", "vivo Browser"},
	{"HeyTapBrowser/", "OPPO Browser"}, {"SamsungBrowser/", "Samsung Internet"}, {"YaBrowser/", "Yandex"},
	{"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"Edg/", "Edge"}, {"OPR/", "Opera"}, {"Vivaldi/", "Vivaldi"},
	{"FxiOS/", "Firefox"}, {"Firefox/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Chromium/", "Chrome"},
	{"Safari/", "Safari"}, {"Trident/", "Internet Explorer"}, {"curl/", "curl"}, {"Go-http-client/", "Go"}, {"python-requests/", "Python"},
}

var systemMarks = []mark{
	{"OpenHarmony", "HarmonyOS"}, {"HarmonyOS", "HarmonyOS"}, {"Android", "Android"}, {"iPhone", "iOS"}, {"iPad", "iPadOS"}, {"iPod", "iOS"},
	{"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Macintosh", "macOS"}, {"Linux", "Linux"}, {"X11", "Unix"},
}
