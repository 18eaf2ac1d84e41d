package fake

import (
	"bytes"
	"compress/gzip"
	"net"
	"net/http"
	"strconv"
	"time"
)

// Outcome is what becomes of a call. The zero Outcome is the ordinary course.
type Outcome struct {
	Code    string // a business code to refuse with, once the request has passed as authentic
	Message string // the text beside it; "" for one of the vendor's
	Fault   Fault  // what goes wrong besides
}

// Fault is something that goes wrong below the vendor's protocol.
type Fault string

// The faults. The first four take no message, the others take it and then fail.
const (
	HTTP500        Fault = "http500"          // a status without a body
	HTTP502        Fault = "http502"          // a gateway's HTML page
	Hang           Fault = "hang"             // reads the request and never answers
	Reset          Fault = "reset"            // reads the request and resets the connection
	AcceptThenHang Fault = "accept-then-hang" // takes the message and never answers
	Slow           Fault = "slow"             // a byte of the answer every 200 ms
	Truncated      Fault = "truncated"        // half of the JSON, as if that were all
	Cut            Fault = "cut"              // half of the announced length, then the connection ends
	Huge           Fault = "huge"             // 10 MB of blanks before the JSON
	Gzip           Fault = "gzip"             // compressed, which a client must bear
)

// Faults is all of them.
func Faults() []Fault {
	return []Fault{HTTP500, HTTP502, Hang, Reset, AcceptThenHang, Slow, Truncated, Cut, Huge, Gzip}
}

// Accepts reports whether the vendor takes the message all the same.
func (f Fault) Accepts() bool { return !f.early() }

// early faults come before the vendor looks at the request.
func (f Fault) early() bool { return f == HTTP500 || f == HTTP502 || f == Hang || f == Reset }

// gatewayPage is what a proxy before a vendor's service answers.
const gatewayPage = "<html>\r\n<head><title>502 Bad Gateway</title></head>\r\n<body>\r\n" +
	"<center><h1>502 Bad Gateway</h1></center>\r\n<hr><center>nginx</center>\r\n</body>\r\n</html>\r\n"

const (
	slowPace = 200 * time.Millisecond
	longest  = time.Minute // that a call is held
	hugeSize = 10 << 20
)

// play writes the answer, or fails to.
func (f Fault) play(w http.ResponseWriter, r *http.Request, a reply) {
	switch f {
	case HTTP500:
		w.WriteHeader(http.StatusInternalServerError)
		return
	case HTTP502:
		a = reply{status: http.StatusBadGateway, kind: "text/html", body: []byte(gatewayPage)}
	case Hang, AcceptThenHang:
		hold(r, longest)
		return
	case Reset:
		reset(w)
		return
	case Truncated:
		a.body = a.body[:len(a.body)/2]
	case Huge:
		a.body = append(bytes.Repeat([]byte(" "), hugeSize), a.body...)
	case Gzip:
		w.Header().Set("Content-Encoding", "gzip")
		a.body = compress(a.body)
	}
	w.Header().Set("Content-Type", a.kind)
	w.Header().Set("Content-Length", strconv.Itoa(len(a.body)))
	w.WriteHeader(a.status)
	switch f {
	case Cut:
		w.Write(a.body[:len(a.body)/2])
		panic(http.ErrAbortHandler)
	case Slow:
		drip(w, r, a.body)
	default:
		w.Write(a.body)
	}
}

// hold waits until the client goes away; it reports whether it has.
func hold(r *http.Request, d time.Duration) (gone bool) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-r.Context().Done():
		return true
	case <-timer.C:
		return false
	}
}

// reset ends the connection without a farewell.
func reset(w http.ResponseWriter) {
	conn, _, err := http.NewResponseController(w).Hijack()
	if err != nil {
		panic(http.ErrAbortHandler)
	}
	if tcp, ok := conn.(*net.TCPConn); ok {
		_ = tcp.SetLinger(0)
	}
	conn.Close()
}

func drip(w http.ResponseWriter, r *http.Request, body []byte) {
	for i := range body {
		if _, err := w.Write(body[i : i+1]); err != nil {
			return
		}
		if err := http.NewResponseController(w).Flush(); err != nil || hold(r, slowPace) {
			return
		}
	}
}

func compress(body []byte) []byte {
	var b bytes.Buffer
	z := gzip.NewWriter(&b)
	_, _ = z.Write(body) // into memory
	_ = z.Close()
	return b.Bytes()
}
