package push

import "fmt"

// InvalidError says which part of a request cannot be accepted, and what to do
// about it. It is the caller's to correct: the API answers it with a problem
// that names the field.
type InvalidError struct {
	Field  string // as the API spells it: "endpoint", "keys.p256dh", "keys.auth"
	Detail string // a sentence for a person, without secrets
}

// Error gives the field and the sentence.
func (e *InvalidError) Error() string { return e.Field + ": " + e.Detail }

// TooLargeError says that a message is longer than a kind of push service takes.
type TooLargeError struct {
	Kind       Kind
	Bytes, Max int
}

// Error gives the sizes.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("the %s message has %d bytes: at most %d are taken", e.Kind, e.Bytes, e.Max)
}
