package user

import (
	"bufio"
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strings"
)

// Rows reads accounts of another system from a file, one at a time: memory does not
// grow with the file. Every line is one account, in CSV under a line of column
// names, or as a JSON object; or all are the elements of one JSON array, however
// its lines are broken. The names are phone, username, email, email_verified,
// password_hash, created_at and those of OpenID's standard claims; phone_number and
// preferred_username are phone and username.
type Rows struct {
	in      *bufio.Reader
	line    int
	read    int64
	columns []string // nil for JSON
	array   bool     // the rest are elements of a JSON array
	closed  bool     // its end was read
}

// Row is one account as it was read.
type Row struct {
	Line   int // from 1; of an array its element
	values map[string]any
	bad    string // why it cannot be read, "" if it can
}

// maxRow is the longest line, or element, in bytes.
const maxRow = 64 << 10

// CSVRows reads the line of column names, which must all be known ones.
func CSVRows(r io.Reader) (*Rows, error) {
	rows := newRows(r)
	line, err := rows.next()
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	columns, err := splitCSV(string(bytes.TrimPrefix(line, bom)))
	if err != nil {
		return nil, errors.New("the first line must have the names of the columns")
	}
	seen := map[string]bool{}
	for i, name := range columns {
		name = columnName(strings.ToLower(strings.TrimSpace(name)))
		if !isColumn(name) || name == "address" || seen[name] {
			return nil, fmt.Errorf("column %d, %q, is not known or there twice", i+1, clip(name, 40))
		}
		seen[name], columns[i] = true, name
	}
	if !seen["phone"] {
		return nil, errors.New("there is no column phone")
	}
	rows.columns = columns
	return rows, nil
}

// JSONRows reads JSON lines, or an array of objects.
func JSONRows(r io.Reader) *Rows {
	rows := newRows(r)
	// What cannot be read shows when the rows are asked for.
	begin, _ := rows.in.Peek(1 << 10)
	if bytes.HasPrefix(begin, bom) {
		rows.drop(len(bom))
		begin = begin[len(bom):]
	}
	rest, found := bytes.CutPrefix(bytes.TrimLeft(begin, jsonSpace), []byte("["))
	if found && bytes.HasPrefix(bytes.TrimLeft(rest, jsonSpace), []byte("{")) {
		rows.array = true
		rows.drop(len(begin) - len(rest))
	}
	return rows
}

const jsonSpace = " \t\r\n"

var bom = []byte("\ufeff") // some programs begin UTF-8 with it

func newRows(r io.Reader) *Rows { return &Rows{in: bufio.NewReaderSize(r, maxRow)} }

// drop skips bytes that were peeked at.
func (r *Rows) drop(n int) {
	n, _ = r.in.Discard(n)
	r.read += int64(n)
}

// Unit is what Row.Line counts: "line", or "element" of an array.
func (r *Rows) Unit() string {
	if r.array {
		return "element"
	}
	return "line"
}

// Bytes is how much of the file was read.
func (r *Rows) Bytes() int64 { return r.read }

// Next is the next row that is not empty, whether or not it can be read; io.EOF
// after the last.
func (r *Rows) Next() (Row, error) {
	for {
		if r.array {
			return r.element()
		}
		line, err := r.next()
		row := Row{Line: r.line}
		switch {
		case errors.Is(err, bufio.ErrBufferFull):
			row.bad = "the line is longer than 64 KiB"
			return row, nil
		case err != nil:
			return Row{}, err
		case len(bytes.TrimSpace(line)) == 0:
			continue
		case r.columns != nil:
			row.values, row.bad = r.fields(string(line))
		default:
			row.values, row.bad = object(line)
		}
		return row, nil
	}
}

// next is the next line without its end, good until the one after it.
// bufio.ErrBufferFull stands for one that is too long and was skipped.
func (r *Rows) next() ([]byte, error) {
	line, err := r.in.ReadSlice('\n')
	r.line, r.read = r.line+1, r.read+int64(len(line))
	if errors.Is(err, io.EOF) && len(line) > 0 {
		err = nil // the last line has no end
	}
	if errors.Is(err, bufio.ErrBufferFull) {
		for again := err; errors.Is(again, bufio.ErrBufferFull); {
			line, again = r.in.ReadSlice('\n')
			r.read += int64(len(line))
		}
		return nil, err
	}
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("read line %d: %w", r.line, err)
	}
	return bytes.TrimRight(line, "\r\n"), err
}

// element is what stands before the next comma of the array, or before its end.
func (r *Rows) element() (Row, error) {
	if r.closed {
		return r.behind()
	}
	r.line++
	row := Row{Line: r.line}
	var text []byte
	for depth, quoted, escaped := 0, false, false; ; {
		c, err := r.in.ReadByte()
		if errors.Is(err, io.EOF) {
			r.closed, row.bad = true, "the array ends within this"
			return row, nil
		}
		if err != nil {
			return Row{}, fmt.Errorf("read element %d: %w", r.line, err)
		}
		r.read++
		switch {
		case escaped:
			escaped = false
		case quoted && c == '\\':
			escaped = true
		case c == '"':
			quoted = !quoted
		case quoted:
		case c == '{', c == '[':
			depth++
		case depth > 0 && (c == '}' || c == ']'):
			depth--
		case depth == 0 && (c == ',' || c == ']'):
			r.closed = c == ']'
			if len(text) > maxRow {
				row.bad = "the element is longer than 64 KiB"
			} else {
				row.values, row.bad = object(text)
			}
			return row, nil
		}
		if len(text) <= maxRow {
			text = append(text, c)
		}
	}
}

// behind refuses, once, what is behind the array.
func (r *Rows) behind() (Row, error) {
	more := false
	for {
		c, err := r.in.ReadByte()
		switch {
		case errors.Is(err, io.EOF) && more:
			r.line++
			return Row{Line: r.line, bad: "this stands behind the end of the array"}, nil
		case err != nil:
			return Row{}, err
		}
		r.read++
		more = more || !strings.ContainsRune(jsonSpace, rune(c))
	}
}

func (r *Rows) fields(line string) (values map[string]any, bad string) {
	fields, err := splitCSV(line)
	if err != nil {
		return nil, "the quotes do not match; a field has no line breaks"
	}
	if len(fields) != len(r.columns) {
		return nil, fmt.Sprintf("there are %d fields, not %d", len(fields), len(r.columns))
	}
	values = make(map[string]any, len(fields))
	for i, f := range fields {
		if f != "" {
			values[r.columns[i]] = f
		}
	}
	return values, ""
}

func splitCSV(line string) ([]string, error) {
	if !strings.Contains(line, `"`) {
		return strings.Split(line, ","), nil
	}
	return csv.NewReader(strings.NewReader(line)).Read()
}

func object(line []byte) (values map[string]any, bad string) {
	dec := json.NewDecoder(bytes.NewReader(line))
	dec.UseNumber()
	var members map[string]any
	if err := dec.Decode(&members); err != nil || members == nil || dec.More() {
		return nil, "this is not one JSON object"
	}
	values = make(map[string]any, len(members))
	for name, v := range members {
		known := columnName(name)
		if !isColumn(known) {
			return nil, claimName(name) + " is not known"
		}
		if _, twice := values[known]; twice {
			return nil, known + " is there twice"
		}
		if v != nil && v != "" {
			values[known] = v
		}
	}
	return values, ""
}

// columnName is the one name of a column.
func columnName(name string) string {
	switch name {
	case "phone_number":
		return "phone"
	case "preferred_username":
		return "username"
	}
	return name
}

func isColumn(name string) bool {
	switch name {
	case "phone", "username", "password_hash", "created_at":
		return true
	}
	return rule(name) != nil
}
