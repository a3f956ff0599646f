package config

// Secret is a value that must not be seen: it prints and marshals as asterisks.
type Secret string

const masked = "***"

// Reveal returns the value.
func (s Secret) Reveal() string { return string(s) }

func (s Secret) String() string {
	if s == "" {
		return ""
	}
	return masked
}

// GoString keeps %#v from printing the value.
func (s Secret) GoString() string { return `"` + s.String() + `"` }

// MarshalText keeps encoders, zap's among them, from printing the value.
func (s Secret) MarshalText() ([]byte, error) { return []byte(s.String()), nil }
