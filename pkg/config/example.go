package config

import (
	"fmt"
	"reflect"
	"strings"
)

// Example renders the variables of C as lines of a .env file: its explanation as
// a comment, then the variable with its default, commented out. Variables that
// Base has are left out unless C is Base itself; own ones carry the service's
// prefix.
func Example[C any](service string) string {
	var b strings.Builder
	shared := map[string]bool{}
	prefix := ""
	if reflect.TypeFor[C]() != reflect.TypeFor[Base]() {
		prefix = Prefix(service)
		for _, f := range variables(reflect.TypeFor[Base]()) {
			shared[f.key] = true
		}
	}
	for _, f := range variables(reflect.TypeFor[C]()) {
		if shared[f.key] {
			continue
		}
		fmt.Fprintf(&b, "# %s\n#%s%s=%s\n", f.doc, prefix, f.key, f.def)
	}
	return b.String()
}
