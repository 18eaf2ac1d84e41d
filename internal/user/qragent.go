package user

import (
	"strings"
)

// describeAgent names browser and system as a User-Agent header tells them, "" for
// what it does not tell. Anybody may send any header: this helps a person to
// recognise their own device, it proves nothing.
func describeAgent(header string) (browser, system string) {
	for _, known := range []struct{ mark, name string }{ // the more special first: each also claims to be those below it
		{"MicroMessenger/", "WeChat"}, {"QQBrowser/", "QQ Browser"}, {"HuaweiBrowser/", "Huawei Browser"},
		{"MiuiBrowser/", "Mi Browser"}, {"SamsungBrowser/", "Samsung Internet"}, {"UCBrowser/", "UC Browser"},
		{"Edg/", "Edge"}, {"EdgA/", "Edge"}, {"EdgiOS/", "Edge"}, {"OPR/", "Opera"},
		{"Firefox/", "Firefox"}, {"FxiOS/", "Firefox"}, {"CriOS/", "Chrome"}, {"Chrome/", "Chrome"}, {"Safari/", "Safari"},
	} {
		if strings.Contains(header, known.mark) {
			browser = known.name
			break
		}
	}
	for _, known := range []struct{ mark, name string }{ // Android says Linux, too
		{"iPhone", "iPhone"}, {"iPad", "iPad"}, {"OpenHarmony", "HarmonyOS"}, {"HarmonyOS", "HarmonyOS"}, {"Android", "Android"},
		{"Windows", "Windows"}, {"CrOS", "ChromeOS"}, {"Mac OS X", "macOS"}, {"Linux", "Linux"},
	} {
		if strings.Contains(header, known.mark) {
			system = known.name
			break
		}
	}
	return browser, system
}

// readablePrefix writes the part of an address that prefixOf keeps as people know
// addresses: "198.51.100.*".
func readablePrefix(prefix string) string {
	address, _, _ := strings.Cut(prefix, "/")
	switch {
	case address == "":
		return ""
	case strings.Contains(address, ":"):
		return strings.TrimRight(address, ":") + ":*"
	}
	return strings.TrimSuffix(address, "0") + "*"
}
