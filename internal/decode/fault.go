package decode

import (
	"errors"
	"fmt"

	"github.com/decodersring/decoder/internal/event"
	"github.com/decodersring/decoder/internal/fault"
)

// Fault is the permanent fault of a record that is not what its decoder
// reads.
func Fault(code string, err error) error { return fault.NewPermanent(code, err) }

// ParseFault is the fault of a line that package event refused to parse.
func ParseFault(format string, err error) error {
	code := CodeJSONInvalid
	if errors.Is(err, event.ErrTooManyFields) {
		code = CodeTooManyFields
	}
	return Fault(code, fmt.Errorf("decoding %s: %w", format, err))
}

// CheckLength refuses a line that is longer than [MaxLine].
func CheckLength(format string, line []byte) error {
	if len(line) <= MaxLine {
		return nil
	}
	return Fault(CodeLineTooLong, fmt.Errorf("decoding %s: a line of %d bytes", format, len(line)))
}
