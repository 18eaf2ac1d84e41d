package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"slices"
	"strconv"
)

// message is an HTTP/1.1 message (RFC 9112) of a peer that is known to be well
// behaved. Reading the next one overwrites it.
type message struct {
	start []byte // status or request line
	body  []byte
}

var errMessage = errors.New("not an HTTP/1.1 message")

// read takes one message off r. Each field of its head is told to field; what
// that is given is good for the call alone.
func (m *message) read(r *bufio.Reader, field func(name, value []byte)) error {
	line, err := readLine(r)
	if err != nil {
		return err
	}
	m.start = append(m.start[:0], line...)
	length, chunked := 0, false
	for {
		if line, err = readLine(r); err != nil {
			return err
		}
		if len(line) == 0 {
			break
		}
		name, value, ok := bytes.Cut(line, []byte(":"))
		if !ok {
			return errMessage
		}
		value = bytes.TrimSpace(value)
		switch {
		case is(name, "Content-Length"):
			if length, err = strconv.Atoi(string(value)); err != nil {
				return errMessage
			}
		case is(name, "Transfer-Encoding"):
			chunked = true
		default:
			field(name, value)
		}
	}
	m.body = m.body[:0]
	if chunked {
		return m.readChunks(r)
	}
	return m.readBody(r, length)
}

func (m *message) readBody(r *bufio.Reader, n int) error {
	at := len(m.body)
	m.body = slices.Grow(m.body, n)[:at+n]
	_, err := io.ReadFull(r, m.body[at:])
	return err
}

func (m *message) readChunks(r *bufio.Reader) error {
	for {
		line, err := readLine(r)
		if err != nil {
			return err
		}
		n, err := strconv.ParseInt(string(line), 16, 32)
		if err != nil {
			return errMessage
		}
		if n > 0 {
			err = m.readBody(r, int(n))
		}
		if err != nil {
			return err
		}
		if line, err = readLine(r); err != nil {
			return err
		} else if len(line) > 0 {
			return errMessage // trailers are not sent here
		}
		if n == 0 {
			return nil
		}
	}
}

// status is the code of a status line.
func (m *message) status() (int, error) {
	_, rest, _ := bytes.Cut(m.start, []byte(" "))
	code, _, _ := bytes.Cut(rest, []byte(" "))
	n, err := strconv.Atoi(string(code))
	if err != nil {
		return 0, fmt.Errorf("%w: %s", errMessage, m.start)
	}
	return n, nil
}

// readLine is good until the next read.
func readLine(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadSlice('\n')
	return bytes.TrimRight(line, "\r\n"), err
}

// is compares the name of a field, whose case does not matter.
func is(name []byte, want string) bool {
	return len(name) == len(want) && bytes.EqualFold(name, []byte(want))
}
