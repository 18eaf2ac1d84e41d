package oauth

import (
	"bytes"
	"compress/flate"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// What a packed request begins with.
const (
	packedPlain    = 'p'
	packedDeflated = 'z'
	packPlain      = 1024 // bytes of JSON up to which compressing is not worth its cost
)

// pack encodes the request for the flow's cookie: JSON, deflated where a long
// state or nonce would not fit otherwise.
func (q *authRequest) pack() ([]byte, error) {
	text, err := json.Marshal(q)
	if err != nil {
		return nil, err
	}
	if len(text) <= packPlain {
		return append([]byte{packedPlain}, text...), nil
	}
	b := bytes.NewBuffer([]byte{packedDeflated})
	z, err := flate.NewWriter(b, flate.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err = z.Write(text); err == nil {
		err = z.Close()
	}
	return b.Bytes(), err
}

// unpack is the reverse of pack. What it reads was sealed by us.
func unpack(packed []byte) (*authRequest, error) {
	if len(packed) == 0 {
		return nil, errors.New("no request")
	}
	text := packed[1:]
	switch packed[0] {
	case packedPlain:
	case packedDeflated:
		var err error
		if text, err = io.ReadAll(io.LimitReader(flate.NewReader(bytes.NewReader(text)), 2*maxAuthorizeBytes)); err != nil {
			return nil, fmt.Errorf("inflate: %w", err)
		}
	default:
		return nil, errors.New("unknown packing")
	}
	q := &authRequest{}
	if err := json.Unmarshal(text, q); err != nil {
		return nil, err
	}
	return q, nil
}
