package server

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"os"
	"strings"
	"syscall"
)

// releaseProgram lets go of the pages of the program's own file that start-up has
// run through: parsing templates, tables that are built once, packages that only
// prepare themselves. They stay in the system's cache, where the few that serving
// needs are found again at no more than a page fault; half of the memory of an idle
// server was these.
func releaseProgram() {
	self, err := os.Readlink("/proc/self/exe")
	if err != nil {
		return
	}
	maps, err := os.ReadFile("/proc/self/smaps")
	if err != nil {
		return
	}
	for _, m := range cleanMappings(bytes.NewReader(maps), self) {
		// Advice may be refused; then the pages stay.
		_, _, _ = syscall.Syscall(syscall.SYS_MADVISE, m.from, m.to-m.from, syscall.MADV_DONTNEED)
	}
}

// mapping is a part of the address space.
type mapping struct{ from, to uintptr }

// cleanMappings are those parts of a file in memory that nobody can write to and
// nobody, the loader included, has written to: the file holds every byte of them.
// smaps is what proc(5) describes.
func cleanMappings(smaps io.Reader, file string) []mapping {
	var list []mapping
	var m mapping
	candidate := false
	lines := bufio.NewScanner(smaps)
	for lines.Scan() {
		line := lines.Text()
		name, value, _ := strings.Cut(line, ":")
		switch {
		case !strings.Contains(name, " ") && value != "": // a field of the mapping
			if name == "Anonymous" && candidate && strings.TrimSpace(value) == "0 kB" {
				list = append(list, m)
			}
		default:
			var access string
			_, err := fmt.Sscanf(line, "%x-%x %s", &m.from, &m.to, &access)
			candidate = err == nil && access[0] == 'r' && !strings.Contains(access, "w") && strings.HasSuffix(line, " "+file)
		}
	}
	return list
}
