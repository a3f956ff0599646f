package pyairtable_test

import (
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pyairtable"
)

var update = flag.Bool("update", false, "write .env.example")

const head = `# Every variable of PyAirtable, with its default. Copy what you change to .env.
#
# docker-compose and services run one by one need secrets: deploy/secrets.sh writes
# them to .env. The pyairtable command (make up) needs no .env at all.
#
# A variable can be set for one service alone by prefixing it with the service's
# name: AUTH_SERVICE_LOG_LEVEL=debug beats LOG_LEVEL=info.
`

func example() string {
	var b strings.Builder
	b.WriteString(head + "\n## Every service\n\n" + config.Example[config.Base](""))
	b.WriteString("\n## Where services are; several addresses, comma-separated, are balanced\n\n")
	for _, s := range catalog.Services {
		b.WriteString("#" + config.Prefix(s.Name) + "URL=\n")
	}
	for _, s := range pyairtable.Services {
		if s.Example == "" {
			continue
		}
		b.WriteString("\n## " + s.Name + "\n\n" + s.Example)
	}
	b.WriteString(`
## docker-compose only; see deploy/secrets.sh

# port of the gateway on this machine
#GATEWAY_PORT=8080
# administrator of PostgreSQL, and Redis
#POSTGRES_PASSWORD=
#REDIS_PASSWORD=
`)
	for _, s := range catalog.Services {
		if s.Database != "" {
			b.WriteString("# role and database " + s.Database + "\n#" + strings.ToUpper(s.Database) + "_PASSWORD=\n")
		}
	}
	return b.String()
}

// .env.example documents every variable. To write it anew:
//
//	cd pyairtable && go test . -update
func TestEnvExample_IsWhatTheServicesRead(t *testing.T) {
	t.Parallel()
	const path = "../.env.example"
	if *update {
		if err := os.WriteFile(path, []byte(example()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if string(text) != example() {
		t.Error(".env.example is out of date; write it with: cd pyairtable && go test . -update")
	}
}
