package handlers

import (
	"context"

	"github.com/pyairtable/pyairtable/pkg/api/userapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/user-service/internal/services"
)

type users struct{ s *services.Users }

func (u users) me(ctx context.Context, who auth.Principal, _ struct{}) (userapi.UserAnswer, error) {
	return answer(u.s.User(ctx, who, who.UserID))
}

func (u users) replaceMe(ctx context.Context, who auth.Principal, in userapi.MeUpdate) (userapi.UserAnswer, error) {
	return answer(u.s.Update(ctx, who, who.UserID, etag.Read(in.IfMatch), replacement(in.Body)))
}

func (u users) patchMe(ctx context.Context, who auth.Principal, in userapi.MePatch) (userapi.UserAnswer, error) {
	return answer(u.s.Update(ctx, who, who.UserID, etag.Read(in.IfMatch), patch(in.Body)))
}

func (u users) list(ctx context.Context, who auth.Principal, in userapi.UsersQuery) (userapi.UserPage, error) {
	list, next, err := u.s.List(ctx, who, in.Q, in.PageQuery)
	if err != nil {
		return userapi.UserPage{}, err
	}
	page := userapi.UserPage{Items: make([]userapi.User, len(list)), NextCursor: next}
	for i, v := range list {
		page.Items[i] = user(v)
	}
	return page, nil
}

func (u users) user(ctx context.Context, who auth.Principal, in userapi.UserRef) (userapi.UserAnswer, error) {
	id, err := userID(in)
	if err != nil {
		return userapi.UserAnswer{}, err
	}
	return answer(u.s.User(ctx, who, id))
}

func (u users) replace(ctx context.Context, who auth.Principal, in userapi.UserUpdate) (userapi.UserAnswer, error) {
	id, err := userID(in.UserRef)
	if err != nil {
		return userapi.UserAnswer{}, err
	}
	return answer(u.s.Update(ctx, who, id, etag.Read(in.IfMatch), replacement(in.Body)))
}

func (u users) patch(ctx context.Context, who auth.Principal, in userapi.UserPatch) (userapi.UserAnswer, error) {
	id, err := userID(in.UserRef)
	if err != nil {
		return userapi.UserAnswer{}, err
	}
	return answer(u.s.Update(ctx, who, id, etag.Read(in.IfMatch), patch(in.Body)))
}

func (u users) delete(ctx context.Context, who auth.Principal, in userapi.UserDelete) (struct{}, error) {
	id, err := userID(in.UserRef)
	if err != nil {
		return struct{}{}, err
	}
	return struct{}{}, u.s.Delete(ctx, who, id, etag.Read(in.IfMatch))
}

func (u users) lookUp(ctx context.Context, _ auth.Principal, in userapi.UserIDs) (userapi.UserCards, error) {
	ids := make([]id.UserID, len(in.IDs))
	for i, text := range in.IDs {
		var err error
		if ids[i], err = userID(userapi.UserRef{ID: text}); err != nil {
			return userapi.UserCards{}, err
		}
	}
	list, err := u.s.Known(ctx, ids)
	if err != nil {
		return userapi.UserCards{}, err
	}
	cards := userapi.UserCards{Items: make([]userapi.UserCard, len(list))}
	for i, known := range list {
		cards.Items[i] = userapi.UserCard{
			ID: known.ID.String(), Email: known.Email, Name: known.Name, Version: known.Version, Deleted: known.Deleted(),
		}
	}
	return cards, nil
}
