package services

import (
	"bytes"
	"context"
	"encoding/json"
	"maps"
	"strings"

	"github.com/pyairtable/pyairtable/audit-service/internal/models"
	"github.com/pyairtable/pyairtable/audit-service/internal/repository"
)

// Reader searches logs.
type Reader struct {
	repo  *repository.Repository
	vault *Vault
}

// NewReader reads from repo.
func NewReader(repo *repository.Repository, vault *Vault) *Reader { return &Reader{repo, vault} }

// A page of a search by text looks through so many entries at the most.
const (
	textMost = 20_000
	textStep = 1000
)

// Found is a page of a search. Next, if not 0, is where the next one begins.
type Found struct {
	Events []models.Event
	Next   int64
}

// Search returns up to limit entries that q selects and that contain text, newest first,
// those below before; 0 is the newest. Text is looked for in what is personal, too, which
// is sealed: such a search opens what it looks through, and ends a page early after
// textMost entries.
func (r *Reader) Search(ctx context.Context, log string, q repository.Query, text string, before int64, limit int) (Found, error) {
	var out Found
	step := limit + 1
	if text != "" {
		step = textStep
	}
	for looked := 0; ; {
		list, err := r.repo.Entries(ctx, log, q, before, step)
		if err != nil {
			return out, err
		}
		opened, err := r.vault.Open(ctx, log, list)
		if err != nil {
			return out, err
		}
		for i := range opened {
			e := Tell(&opened[i])
			if text != "" && !contains(e, text) {
				continue
			}
			if len(out.Events) == limit {
				out.Next = out.Events[limit-1].Seq
				return out, nil
			}
			out.Events = append(out.Events, e)
		}
		if len(list) < step {
			return out, nil
		}
		before = list[len(list)-1].Seq
		if looked += len(list); text != "" && looked >= textMost {
			if before > 0 {
				out.Next = before
			}
			return out, nil
		}
		if before == 0 {
			return out, nil
		}
	}
}

func contains(e models.Event, text string) bool {
	text = strings.ToLower(text)
	for _, s := range []string{e.Action, e.Object, e.User, e.Actor, e.Request, e.IP, e.Agent, e.Facts, string(e.Data)} {
		if strings.Contains(strings.ToLower(s), text) {
			return true
		}
	}
	return false
}

// Entry returns one, or errs.ErrNotFound.
func (r *Reader) Entry(ctx context.Context, log string, seq int64) (models.Event, error) {
	e, err := r.repo.Entry(ctx, log, seq)
	if err != nil {
		return models.Event{}, err
	}
	opened, err := r.vault.Open(ctx, log, []models.Entry{e})
	if err != nil {
		return models.Event{}, err
	}
	return Tell(&opened[0]), nil
}

// Tell puts an opened entry together.
func Tell(o *Opened) models.Event {
	e := models.Event{Entry: &o.Entry, IP: o.OwnData.IP, Agent: o.OwnData.Agent, Data: o.OwnData.Data, Erased: o.Erased}
	if o.OtherData.Data != nil {
		e.Data = o.OtherData.Data
	}
	members, personal := map[string]json.RawMessage{}, map[string]json.RawMessage{}
	_ = json.Unmarshal([]byte(o.Facts), &members) // what is no JSON was tampered with, which Verify says
	if len(bytes.TrimSpace(e.Data)) > 0 {
		_ = json.Unmarshal(e.Data, &personal) // it is what was recorded: an object
	}
	maps.Copy(members, personal)
	change := models.ChangeOf(e.Action, members)
	e.Before, e.After = change.Before, change.After
	return e
}
