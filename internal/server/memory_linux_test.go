package server

import (
	"os"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
)

// Of the program's file only what holds nothing but the file may be let go: a page
// that the loader or a debugger wrote to would come back without that.
func TestCleanMappings(t *testing.T) {
	const smaps = `00400000-01000000 r-xp 00000000 08:01 42 /opt/dial tone/dialtone
Size:              12288 kB
Private_Clean:         8 kB
Anonymous:             0 kB
VmFlags: rd ex mr mw me
01000000-02000000 r--p 00c00000 08:01 42 /opt/dial tone/dialtone
Anonymous:             0 kB
02000000-02100000 r--p 01c00000 08:01 42 /opt/dial tone/dialtone
Anonymous:            16 kB
02100000-02200000 rw-p 01d00000 08:01 42 /opt/dial tone/dialtone
Anonymous:             0 kB
02200000-02300000 ---p 01d00000 08:01 42 /opt/dial tone/dialtone
Anonymous:             0 kB
c000000000-c000400000 rw-p 00000000 00:00 0 
Anonymous:          4096 kB
7f0000000000-7f0000100000 r-xp 00000000 08:01 43 /usr/lib/libc.so.6
Anonymous:             0 kB
7ffc00000000-7ffc00001000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
`
	got := cleanMappings(strings.NewReader(smaps), "/opt/dial tone/dialtone")
	want := []mapping{{0x400000, 0x1000000}, {0x1000000, 0x2000000}}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(mapping{})); diff != "" {
		t.Error(diff)
	}
}

// The program goes on, its constants included, and less of its file is in memory.
func TestReleaseProgram(t *testing.T) {
	before := fileMemory(t)
	releaseProgram()
	if after := fileMemory(t); after >= before {
		t.Errorf("%d kB of files in memory, %d before", after, before)
	}
	if got := strings.ToUpper("still here"); got != "STILL HERE" {
		t.Error(got)
	}
}

// fileMemory is RssFile of proc(5).
func fileMemory(t *testing.T) (kB int) {
	t.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(status), "RssFile:")
	for _, c := range strings.TrimSpace(rest) {
		if c < '0' || c > '9' {
			break
		}
		kB = 10*kB + int(c-'0')
	}
	return kB
}
