package services

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"go.uber.org/zap"
	"golang.org/x/crypto/bcrypt"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/airtableapi"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
	"github.com/pyairtable/pyairtable/pkg/auth"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/etag"
	"github.com/pyairtable/pyairtable/pkg/events"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/logging"
	"github.com/pyairtable/pyairtable/pkg/rpc"
	"github.com/pyairtable/pyairtable/pkg/seal"
	"github.com/pyairtable/pyairtable/workspace-service/internal/models"
	"github.com/pyairtable/pyairtable/workspace-service/internal/repository"
)

const (
	mostLinks    = 100 // to an object
	grantLasts   = 15 * time.Minute
	passwordCost = 11
	minPassword  = 8
)

// Links are the share links. A link shows what its maker may see, for as long as he may
// share its object.
type Links struct {
	shares *Shares
	repo   *repository.Repository
	box    *seal.Box
	now    func() time.Time
}

// NewLinks returns the links to the tree's objects. Secrets and grants are sealed in box.
func NewLinks(s *Shares, box *seal.Box) *Links { return &Links{s, s.tree.repo, box, s.tree.now} }

// Terms are what a link is to be like.
type Terms struct {
	Role     string // viewer, commenter, editor
	Password string
	Expires  time.Time
}

// Create makes a link to an object that the caller may share, and its secret.
func (s *Links) Create(ctx context.Context, who auth.Principal, kind, object string, terms Terms) (models.ShareLink, string, error) {
	if err := s.mayShare(ctx, who, kind, object); err != nil {
		return models.ShareLink{}, "", err
	}
	l, secret := models.NewShareLink(who.TenantID, who.UserID, who.Role, kind, object, terms.Role, s.now())
	err := s.mayGive(ctx, who, l)
	if err != nil {
		return l, "", err
	}
	if l.ExpiresAt, err = s.end(terms.Expires); err != nil {
		return l, "", err
	}
	if l.Password, err = hashPassword(terms.Password); err != nil {
		return l, "", err
	}
	if l.Secret, err = s.box.Seal([]byte(secret), secretContext(l)); err != nil {
		return l, "", fmt.Errorf("seal secret: %w", err)
	}
	return l, secret, s.repo.CreateShareLink(ctx, l, mostLinks, repository.LinkEvent(ctx, workspaceapi.ShareLinkCreated, l, who.UserID))
}

func secretContext(l models.ShareLink) []byte { return []byte("share_links.secret/" + l.ID.String()) }

func (s *Links) end(at time.Time) (time.Time, error) {
	at = at.UTC().Truncate(time.Microsecond)
	if !at.IsZero() && !at.After(s.now()) {
		return at, workspaceapi.ErrExpiry
	}
	return at, nil
}

// hashPassword hashes a password; none is nil.
func hashPassword(password string) ([]byte, error) {
	if password == "" {
		return nil, nil
	}
	if len(password) < minPassword || len(password) > 72 { // bytes: bcrypt takes no more
		return nil, errs.ErrInvalid.With(errs.Field{Pointer: "/password", Detail: "has to have 8 to 72 bytes"})
	}
	hash, err := bcrypt.GenerateFromPassword([]byte(password), passwordCost)
	if err != nil {
		return nil, fmt.Errorf("hash password: %w", err)
	}
	return hash, nil
}

// mayShare refuses whoever may not share the object, which does not exist for those who
// may not see it.
func (s *Links) mayShare(ctx context.Context, who auth.Principal, kind, object string) error {
	if kind == workspaceapi.KindBase {
		_, err := s.shares.Base(ctx, who, object)
		return err
	}
	ref, err := parse[models.WorkspaceID](object)
	if err != nil {
		return err
	}
	_, err = s.shares.Workspace(ctx, who, ref)
	return err
}

// Secret is the link's, for its maker alone: it shows what he may see.
func (s *Links) Secret(who auth.Principal, l models.ShareLink) string {
	if who.UserID != l.Maker {
		return ""
	}
	secret, err := s.box.Open(l.Secret, secretContext(l))
	if err != nil {
		return "" // sealed under a key that is no more
	}
	return string(secret)
}

// Link returns a link to an object that the caller may share.
func (s *Links) Link(ctx context.Context, who auth.Principal, ref models.ShareLinkID) (models.ShareLink, error) {
	l, err := s.repo.ShareLink(ctx, who.TenantID, ref)
	if err != nil {
		return l, err
	}
	if err := unseen(s.mayShare(ctx, who, l.Kind, l.Object)); err != nil {
		return models.ShareLink{}, err
	}
	return l, nil
}

// List is the links to an object that the caller may share, after the given one.
func (s *Links) List(ctx context.Context, who auth.Principal, kind, object string, after models.ShareLinkID, limit int) ([]models.ShareLink, error) {
	if err := s.mayShare(ctx, who, kind, object); err != nil {
		return nil, err
	}
	return s.repo.ShareLinks(ctx, who.TenantID, kind, object, after, limit)
}

// Change is a change of a link; nil leaves what is there.
type Change struct {
	Password  *string
	ExpiresAt *time.Time
	Forever   bool
}

// Update changes a link, if match holds. What it gave ends.
func (s *Links) Update(ctx context.Context, who auth.Principal, ref models.ShareLinkID, match etag.Match, c Change) (models.ShareLink, error) {
	if _, err := s.Link(ctx, who, ref); err != nil {
		return models.ShareLink{}, err
	}
	var hash []byte
	var expires time.Time
	var err error
	if c.Password != nil {
		if hash, err = hashPassword(*c.Password); err != nil {
			return models.ShareLink{}, err
		}
	}
	if c.ExpiresAt != nil {
		if expires, err = s.end(*c.ExpiresAt); err != nil {
			return models.ShareLink{}, err
		}
	}
	l, err := s.repo.ChangeShareLink(ctx, who.TenantID, ref, func(l *models.ShareLink) (events.Event, error) {
		if !match.Holds(l.Version) {
			return events.Event{}, errs.ErrPreconditionFailed
		}
		if c.Password != nil {
			l.Password = hash
		}
		if c.ExpiresAt != nil {
			l.ExpiresAt = expires
		}
		if c.Forever {
			l.ExpiresAt = time.Time{}
		}
		l.Version++
		l.UpdatedAt = s.now()
		return repository.LinkEvent(ctx, workspaceapi.ShareLinkUpdated, *l, who.UserID), nil
	})
	if err == nil {
		s.recallSoon(ctx, ref)
	}
	return l, err
}

// recallSoon takes back at once what the link gave; what fails is the job's.
func (s *Links) recallSoon(ctx context.Context, ref models.ShareLinkID) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeLimit)
	defer cancel()
	if err := s.takeBackAll(ctx, ref); err != nil {
		logging.From(ctx).Warn("what a link gave is taken back later", zap.Error(err))
	}
}

// Revoke ends a link, and what it gave.
func (s *Links) Revoke(ctx context.Context, who auth.Principal, ref models.ShareLinkID) error {
	if _, err := s.Link(ctx, who, ref); err != nil {
		return err
	}
	if err := s.repo.RevokeShareLink(ctx, who.TenantID, ref, who.UserID); err != nil {
		return err
	}
	s.recallSoon(ctx, ref)
	return nil
}

// maker is the user in whose name a link shows anything.
func maker(l models.ShareLink) auth.Principal {
	return auth.Principal{TenantID: l.Tenant, UserID: l.Maker, Role: l.MakerRole}
}

// alive returns the name of what the link opens, or errs.ErrNotFound if it opens it no
// more.
func (s *Links) alive(ctx context.Context, l models.ShareLink) (string, error) {
	if l.Ended(s.now()) {
		return "", errs.ErrNotFound
	}
	name, err := s.repo.LinkTarget(ctx, l)
	if err != nil {
		return "", err
	}
	return name, unseen(s.shares.tree.rights.Check(ctx, maker(l), permissionapi.Share, repository.LinkObject(l)))
}

// Opened is what opening a link gives.
type Opened struct {
	models.ShareLink
	Name, Grant string
	Until       time.Time
}

// Open exchanges a secret, and the password if there is one, for a grant.
func (s *Links) Open(ctx context.Context, secret, password string) (Opened, error) {
	l, name, err := s.named(ctx, secret)
	if err != nil {
		return Opened{}, err
	}
	if err := s.unlock(ctx, l, password); err != nil {
		return Opened{}, err
	}
	now := s.now()
	if err := s.repo.OpenedShareLink(ctx, l, now, repository.LinkEvent(ctx, workspaceapi.ShareLinkOpened, l, id.UserID{})); err != nil {
		return Opened{}, err
	}
	out := Opened{ShareLink: l, Name: name, Until: now.Add(grantLasts)}
	out.Grant, err = s.grant(l, out.Until)
	return out, err
}

func (s *Links) bySecret(ctx context.Context, secret string) (models.ShareLink, error) {
	l, _, err := s.named(ctx, secret)
	return l, err
}

// named returns the link that the secret opens and the name of its object, or
// errs.ErrNotFound.
func (s *Links) named(ctx context.Context, secret string) (models.ShareLink, string, error) {
	tenant, err := models.TenantOfSecret(secret)
	if err != nil {
		return models.ShareLink{}, "", errs.ErrNotFound.Because(err)
	}
	l, err := s.repo.ShareLinkBySecret(ctx, tenant, models.HashSecret(secret))
	if err != nil {
		return l, "", err
	}
	name, err := s.alive(ctx, l)
	return l, name, err
}

// unlock holds a password to the link's. Attempts count before they are compared.
func (s *Links) unlock(ctx context.Context, l models.ShareLink, password string) error {
	if l.Password == nil {
		return nil
	}
	if password == "" {
		return workspaceapi.ErrPassword
	}
	if err := s.repo.TryPassword(ctx, l, s.now()); err != nil {
		return err
	}
	err := bcrypt.CompareHashAndPassword(l.Password, []byte(password))
	if errors.Is(err, bcrypt.ErrMismatchedHashAndPassword) || errors.Is(err, bcrypt.ErrPasswordTooLong) {
		return workspaceapi.ErrPassword.Saying("The password is wrong.")
	}
	return err
}

// shareGrant is what a grant says, sealed: nobody else can make one or read it.
type shareGrant struct {
	Tenant  id.TenantID        `json:"t"`
	Link    models.ShareLinkID `json:"l"`
	Version int64              `json:"v"`
	Until   time.Time          `json:"u"`
}

var grantContext = []byte("share grant")

func (s *Links) grant(l models.ShareLink, until time.Time) (string, error) {
	text, err := json.Marshal(shareGrant{l.Tenant, l.ID, l.Version, until})
	if err != nil {
		return "", fmt.Errorf("render grant: %w", err)
	}
	sealed, err := s.box.Seal(text, grantContext)
	if err != nil {
		return "", fmt.Errorf("seal grant: %w", err)
	}
	return base64.RawURLEncoding.EncodeToString(sealed), nil
}

// granted is the link that a grant is for, as long as both hold.
func (s *Links) granted(ctx context.Context, grant string) (models.ShareLink, error) {
	var g shareGrant
	sealed, err := base64.RawURLEncoding.DecodeString(grant)
	if err != nil {
		return models.ShareLink{}, workspaceapi.ErrShareGrant.Because(err)
	}
	text, err := s.box.Open(sealed, grantContext)
	if err != nil {
		return models.ShareLink{}, workspaceapi.ErrShareGrant.Because(err)
	}
	if err := json.Unmarshal(text, &g); err != nil {
		return models.ShareLink{}, workspaceapi.ErrShareGrant.Because(err)
	}
	if !s.now().Before(g.Until) {
		return models.ShareLink{}, workspaceapi.ErrShareGrant
	}
	l, err := s.repo.ShareLink(ctx, g.Tenant, g.Link)
	if err != nil {
		return l, err
	}
	if l.Version != g.Version {
		return l, workspaceapi.ErrShareGrant
	}
	_, err = s.alive(ctx, l)
	return l, err
}

// Bases are those that a link shows, behind after.
func (s *Links) Bases(ctx context.Context, grant string, after repository.Place[string], limit int) ([]models.Base, error) {
	l, err := s.granted(ctx, grant)
	if err != nil {
		return nil, err
	}
	f, err := shown(l)
	if err != nil {
		return nil, err
	}
	return s.shares.tree.Bases(ctx, maker(l), f, after, limit)
}

// shown selects the bases that a link shows.
func shown(l models.ShareLink) (repository.BaseFilter, error) {
	if l.Kind == workspaceapi.KindBase {
		return repository.BaseFilter{ID: l.Object}, nil
	}
	ref, err := parse[models.WorkspaceID](l.Object)
	return repository.BaseFilter{Status: workspaceapi.StatusActive, Workspace: ref}, err
}

// reader is the user in whose name a base that the link shows is read.
func (s *Links) reader(ctx context.Context, grant, ref string) (airtableapi.Reader, error) {
	l, err := s.granted(ctx, grant)
	if err != nil {
		return airtableapi.Reader{}, err
	}
	f, err := shown(l)
	if err != nil {
		return airtableapi.Reader{}, err
	}
	if f.ID == "" {
		f.ID = ref
	}
	found, err := s.shares.tree.Bases(ctx, maker(l), f, repository.Place[string]{}, 1)
	if err == nil && (len(found) == 0 || found[0].ID != ref) {
		err = errs.ErrNotFound
	}
	return airtableapi.Reader{TenantID: l.Tenant.String(), UserID: l.Maker.String(), Role: l.MakerRole}, err
}

// Tables is a page of the tables of a base that a link shows.
func (s *Links) Tables(ctx context.Context, grant, ref string, q api.PageQuery) (api.Page[airtableapi.Table], error) {
	of, err := s.reader(ctx, grant, ref)
	if err != nil {
		return api.Page[airtableapi.Table]{}, err
	}
	return rpc.Call(ctx, s.shares.tree.airtable, airtableapi.ReadTables, airtableapi.TablesRead{
		TablesQuery: airtableapi.TablesQuery{BasePath: airtableapi.BasePath{BaseID: ref}, PageQuery: q}, Reader: of,
	})
}

// Records is a page of records of a base that a link shows.
func (s *Links) Records(ctx context.Context, grant string, q airtableapi.RecordsQuery) (api.Page[airtableapi.Record], error) {
	of, err := s.reader(ctx, grant, q.BaseID)
	if err != nil {
		return api.Page[airtableapi.Record]{}, err
	}
	out, err := rpc.Call(ctx, s.shares.tree.airtable, airtableapi.ReadRecords, airtableapi.RecordsRead{RecordsQuery: q, Reader: of})
	return out.Body, err
}
