package mail_test

import (
	"strings"
	"testing"

	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/pyairtable/pyairtable/pkg/mail"
)

func TestLog_KeepsSecretsOutOfProductionsLog(t *testing.T) {
	t.Parallel()
	m := mail.Mail{To: "ada@example.com", Subject: "Hello", Text: "ml_secret"}
	for _, secrets := range []bool{true, false} {
		core, logs := observer.New(zapcore.InfoLevel)
		if err := (mail.Log{Log: zap.New(core), Secrets: secrets}).Send(t.Context(), m); err != nil {
			t.Fatal(err)
		}
		var told strings.Builder
		for _, f := range logs.All()[0].Context {
			told.WriteString(f.String + " ")
		}
		if strings.Contains(told.String(), "ml_secret") != secrets || strings.Contains(told.String(), "ada@") != secrets {
			t.Errorf("secrets %v: %s", secrets, told.String())
		}
	}
}
