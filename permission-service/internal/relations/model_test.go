package relations

import "testing"

func TestModel_IsValid(t *testing.T) {
	t.Parallel()
	if _, err := model(); err != nil {
		t.Fatal(err, language())
	}
}
