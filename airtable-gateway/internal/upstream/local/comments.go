package local

import (
	"context"
	"errors"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/repository"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/upstream"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// commented returns the table and the record that a call about comments names. The
// record exists now; it may be gone at once.
func (s *Store) commented(ctx context.Context, c upstream.Call) (*models.Table, models.RecordID, error) {
	_, table, err := s.table(ctx, c)
	if err != nil {
		return nil, "", err
	}
	record := models.RecordID(c.Record)
	if !models.IsID("rec", c.Record) || c.Comment != "" && !models.IsID("com", c.Comment) {
		return nil, "", models.ErrNoRoute
	}
	found, err := s.repo.ExistingIDs(ctx, c.Caller.Tenant, table.ID, []models.RecordID{record})
	if err == nil && !found[record] {
		err = models.ErrRecordNotFound
	}
	return table, record, err
}

// listComments gives the newest first; that Airtable does is unconfirmed.
func (s *Store) listComments(ctx context.Context, c upstream.Call) ([]byte, error) {
	table, record, err := s.commented(ctx, c)
	if err != nil {
		return nil, err
	}
	page, err := models.ParseCommentPage(c.RawQuery, record)
	if err != nil {
		return nil, err
	}
	list, err := s.repo.Comments(ctx, c.Caller.Tenant, table.ID, record, page.Before, page.Size+1)
	if err != nil {
		return nil, err
	}
	var answer struct {
		Comments []map[string]any `json:"comments"`
		Offset   *string          `json:"offset"` // null on the last page
	}
	if len(list) > page.Size {
		list = list[:page.Size]
		next := models.CommentOffset(list[page.Size-1])
		answer.Offset = &next
	}
	people, err := commentators(ctx, s.repo.Reader, c.Caller.Tenant, list)
	if err != nil {
		return nil, err
	}
	answer.Comments = make([]map[string]any, len(list))
	for i, comment := range list {
		answer.Comments[i] = comment.Wire(people)
	}
	return models.Marshal(answer), nil
}

// countComments counts the comments of each record, if that is asked for.
func (s *Store) countComments(ctx context.Context, tenant id.TenantID, table *models.Table, output models.Output, recs []*models.Record) error {
	if !output.Comments || len(recs) == 0 {
		return nil
	}
	ids := make([]models.RecordID, len(recs))
	for i, r := range recs {
		ids[i] = r.ID
	}
	counts, err := s.repo.CountComments(ctx, tenant, table.ID, ids)
	for _, r := range recs {
		r.Comments = counts[r.ID]
	}
	return err
}

// commentators are the people who wrote the comments or are named in them.
func commentators(ctx context.Context, r repository.Reader, tenant id.TenantID, list []models.Comment) (*models.People, error) {
	var ids []models.PersonID
	var users []id.UserID
	for _, c := range list {
		ids, users = append(ids, c.Mentions()...), append(users, c.Author)
	}
	return r.People(ctx, tenant, ids, users)
}

func (s *Store) createComment(ctx context.Context, c upstream.Call) ([]byte, error) {
	table, record, err := s.commented(ctx, c)
	if err != nil {
		return nil, err
	}
	spec, err := models.ParseComment(c.Body)
	if err != nil {
		return nil, err
	}
	comment := models.Comment{
		ID: models.CommentID(s.ids.New("com")), Table: table.ID, Record: record,
		Author: c.Caller.User, Text: spec.Text, Parent: spec.Parent, Version: 1, CreatedAt: s.clock(),
	}
	var out []byte
	err = s.repo.Write(ctx, c.Caller.Tenant, func(tx *repository.Tx) error {
		if comment.Parent != "" {
			_, err := tx.LockComment(ctx, c.Caller.Tenant, table.ID, record, comment.Parent)
			if errors.Is(err, errs.ErrNotFound) {
				return models.ErrCommentParent
			}
			if err != nil {
				return err
			}
		}
		err := tx.InsertComment(ctx, c.Caller.Tenant, &comment)
		if errors.Is(err, errs.ErrNotFound) {
			return models.ErrRecordNotFound
		}
		if err != nil {
			return err
		}
		out, err = s.announceComment(ctx, tx, c, airtableapi.CommentCreated, comment)
		return err
	})
	return out, err
}

func (s *Store) updateComment(ctx context.Context, c upstream.Call) ([]byte, error) {
	spec, err := models.ParseComment(c.Body)
	var out []byte
	err = s.changeComment(ctx, c, err, func(tx *repository.Tx, comment models.Comment) error {
		comment.Text, comment.UpdatedAt = spec.Text, s.clock()
		comment.Version++
		if err := tx.UpdateComment(ctx, c.Caller.Tenant, comment); err != nil {
			return err
		}
		var err error
		out, err = s.announceComment(ctx, tx, c, airtableapi.CommentUpdated, comment)
		return err
	})
	return out, err
}

func (s *Store) deleteComment(ctx context.Context, c upstream.Call) ([]byte, error) {
	err := s.changeComment(ctx, c, nil, func(tx *repository.Tx, comment models.Comment) error {
		comment.Version++
		if err := tx.DeleteComment(ctx, c.Caller.Tenant, comment); err != nil {
			return err
		}
		comment.Text = ""
		_, err := s.announceComment(ctx, tx, c, airtableapi.CommentDeleted, comment)
		return err
	})
	return models.Marshal(map[string]any{"id": c.Comment, "deleted": true}), err
}

// changeComment gives fn the comment of the call, locked, if the caller wrote it.
// What is wrong with the body, faulty, is told after what is not there.
func (s *Store) changeComment(ctx context.Context, c upstream.Call, faulty error, fn func(*repository.Tx, models.Comment) error) error {
	table, record, err := s.commented(ctx, c)
	if err != nil {
		return err
	}
	return s.repo.Write(ctx, c.Caller.Tenant, func(tx *repository.Tx) error {
		comment, err := tx.LockComment(ctx, c.Caller.Tenant, table.ID, record, models.CommentID(c.Comment))
		switch {
		case errors.Is(err, errs.ErrNotFound):
			return models.ErrCommentNotFound
		case err != nil:
			return err
		case comment.Author != c.Caller.User:
			return models.ErrNotPermitted
		case faulty != nil:
			return faulty
		}
		return fn(tx, comment)
	})
}

// announceComment emits the event and returns the comment as it is shown.
func (s *Store) announceComment(ctx context.Context, tx *repository.Tx, c upstream.Call, kind events.Type[airtableapi.CommentChanged], comment models.Comment) ([]byte, error) {
	people, err := commentators(ctx, tx.Reader, c.Caller.Tenant, []models.Comment{comment})
	if err != nil {
		return nil, err
	}
	data := airtableapi.CommentChanged{
		BaseID: c.Base, TableID: string(comment.Table), RecordID: string(comment.Record), CommentID: string(comment.ID),
		ParentCommentID: string(comment.Parent), AuthorID: comment.Author.String(), Text: comment.Text, MentionedUserIDs: []string{},
	}
	for _, who := range comment.Mentions() {
		if user := people.Named(who).User; !user.IsZero() {
			data.MentionedUserIDs = append(data.MentionedUserIDs, user.String())
		}
	}
	return models.Marshal(comment.Wire(people)), tx.Emit(ctx, kind.New(ctx, c.Caller.Tenant, string(comment.ID), comment.Version, data))
}
