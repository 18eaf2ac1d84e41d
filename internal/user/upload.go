package user

import (
	"cmp"
	"errors"
	"io"
	"mime"
	"mime/multipart"
	"net/http"
	"strings"
	"time"

	"github.com/dialtone-id/dialtone/internal/fault"
	"github.com/dialtone-id/dialtone/internal/user/picture"
)

// Bounds of an upload.
const (
	uploadMaxBytes = picture.MaxBytes + 64<<10 // with what multipart adds
	uploadDrained  = 32 << 20                  // of what is too much
	uploadTime     = time.Minute               // for a slow phone; other requests have 15 s
)

var errPictureMissing = fault.New(http.StatusUnprocessableEntity, "picture_missing", "no picture was sent")

// ReceivePicture is SetPicture with the image of a request: the part "picture" of
// multipart/form-data, or the body itself under image/*. It never reads more than
// the bound and gives slow phones a minute. What a refused request goes on to send
// is dropped, since a sender would otherwise see a broken connection. still is asked
// once all of the image is there, before anything changes; what it says is returned.
func (s *Service) ReceivePicture(w http.ResponseWriter, r *http.Request, userID string, still func() error) error {
	control := http.NewResponseController(w)
	// A server that cannot change its limits keeps them.
	_ = control.SetReadDeadline(time.Now().Add(uploadTime))
	_ = control.SetWriteDeadline(time.Now().Add(uploadTime + 30*time.Second))
	err := s.takePicture(r, userID, still)
	if err != nil {
		_, _ = io.Copy(io.Discard, io.LimitReader(r.Body, uploadDrained))
	}
	return err
}

func (s *Service) takePicture(r *http.Request, userID string, still func() error) error {
	kind, params, err := mime.ParseMediaType(r.Header.Get("Content-Type"))
	whole := strings.HasPrefix(kind, "image/")
	if err != nil || !whole && (kind != "multipart/form-data" || params["boundary"] == "") {
		return errMediaType.Describe("send the picture as multipart/form-data or by itself")
	}
	if r.ContentLength > uploadMaxBytes {
		return picture.ErrTooLarge
	}
	body := http.MaxBytesReader(nil, io.NopCloser(r.Body), uploadMaxBytes)
	if whole {
		return s.keepUpload(r, userID, counted{Reader: body, still: still})
	}
	parts := multipart.NewReader(body, params["boundary"])
	for {
		part, err := parts.NextPart()
		if err != nil {
			return uploadFault(err, errMalformed.Because(err))
		}
		if part.FormName() == "picture" {
			return s.keepUpload(r, userID, counted{Reader: part, still: still})
		}
	}
}

func (s *Service) keepUpload(r *http.Request, userID string, file counted) error {
	_, err := s.SetPicture(r.Context(), userID, &file)
	if file.n == 0 && errors.Is(err, picture.ErrUnreadable) { // the button was pressed without a file
		return errPictureMissing.Because(err)
	}
	return uploadFault(err, err)
}

// uploadFault is what the upload itself is to blame for, else otherwise.
func uploadFault(err, otherwise error) error {
	var tooLarge *http.MaxBytesError
	var known *fault.Error
	switch {
	case errors.As(err, &known): // of the picture; what made it so is inside
		return err
	case errors.As(err, &tooLarge):
		return picture.ErrTooLarge
	case errors.Is(err, io.ErrUnexpectedEOF):
		return errMalformed.Because(err)
	case errors.Is(err, io.EOF): // the form ended without a picture
		return errPictureMissing
	}
	return otherwise
}

// counted is a file of which is known how much was read. It ends with what still
// says then.
type counted struct {
	io.Reader
	n     int64
	still func() error
}

func (f *counted) Read(b []byte) (int, error) {
	n, err := f.Reader.Read(b)
	f.n += int64(n)
	if errors.Is(err, io.EOF) {
		err = cmp.Or(f.still(), err)
	}
	return n, err
}
