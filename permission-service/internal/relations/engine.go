// Package relations keeps who is related to what, and answers what follows from it: it is
// OpenFGA, embedded, on PostgreSQL.
//
// Each tenant has a store of its own, so that no relation of one tenant is ever looked at
// for another. The tuples are in the schema openfga of the service's database; they are
// derived from the service's own tables, never the other way round.
package relations

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"time"

	"github.com/google/uuid"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib"
	"github.com/oklog/ulid/v2"
	openfgav1 "github.com/openfga/api/proto/openfga/v1"
	"github.com/openfga/openfga/assets"
	"github.com/openfga/openfga/pkg/logger"
	"github.com/openfga/openfga/pkg/server"
	"github.com/openfga/openfga/pkg/storage"
	"github.com/openfga/openfga/pkg/storage/postgres"
	"github.com/openfga/openfga/pkg/storage/sqlcommon"
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"
	"golang.org/x/sync/errgroup"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/structpb"

	"github.com/pyairtable/pyairtable/permission-service/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

const (
	schema = "openfga"
	// modelID names the model; it is the same in every store.
	modelID = "01JD0000000000000000000000"
	// perWrite is how many tuples OpenFGA takes at a time.
	perWrite = 100
	// parallel is how many checks of a batch run at a time.
	parallel = 8
	// listLimit bounds what a list takes.
	listLimit   = 5 * time.Second
	pingTimeout = 5 * time.Second
	// migrationLock is for replicas that start together.
	migrationLock int64 = 0x7065_726d_0001
)

// Tuple relates a user, "group:ID#member" or an object to an object.
type Tuple struct {
	Object, Relation, User string
	// Windows limit it to networks ("" for anywhere) until a time each; nil is no limit.
	Windows map[string]time.Time
}

// Query asks whether the user may do the action on the object.
type Query struct {
	User, Action, Object string
	Extra                []Tuple // that are taken for granted
}

// Engine answers. It is safe for concurrent use.
type Engine struct {
	pool   *pgxpool.Pool
	data   storage.OpenFGADatastore
	server *server.Server
}

// Open migrates the engine's tables in the pool's database and opens them by connections
// of its own. Close it.
func Open(ctx context.Context, of *pgxpool.Pool) (*Engine, error) {
	cfg := of.Config()
	if err := migrate(ctx, cfg.ConnConfig.Copy()); err != nil {
		return nil, fmt.Errorf("migrate openfga: %w", err)
	}
	cfg.ConnConfig.RuntimeParams["search_path"] = schema
	pool, err := pgxpool.NewWithConfig(ctx, cfg)
	if err != nil {
		return nil, fmt.Errorf("open openfga's pool: %w", err)
	}
	data, err := postgres.NewWithDB(pool, nil, sqlcommon.NewConfig(
		sqlcommon.WithLogger(logger.NewNoopLogger()), sqlcommon.WithMaxTuplesPerWrite(perWrite)))
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("open openfga's datastore: %w", err)
	}
	e := &Engine{pool: pool, data: data}
	m, err := model()
	if err == nil {
		e.server, err = server.NewServerWithOpts(
			server.WithDatastore(oneModel{data, m}), server.WithLogger(logger.NewNoopLogger()),
			server.WithListUsersDeadline(listLimit), server.WithListUsersMaxResults(0),
		)
	}
	if err != nil {
		pool.Close()
		return nil, fmt.Errorf("start openfga: %w", err)
	}
	return e, nil
}

// Close ends the engine and its connections.
func (e *Engine) Close() { e.server.Close(); e.pool.Close() }

func migrate(ctx context.Context, cfg *pgx.ConnConfig) error {
	cfg.RuntimeParams["search_path"] = schema
	cfg.RuntimeParams["statement_timeout"] = "0"
	db := stdlib.OpenDB(*cfg)
	defer func() { _ = db.Close() }()
	files, err := fs.Sub(assets.EmbedMigrations, assets.PostgresMigrationDir)
	if err != nil {
		return err
	}
	one, err := lock.NewPostgresSessionLocker(lock.WithLockID(migrationLock), lock.WithLockTimeout(1, 60))
	if err != nil {
		return err
	}
	if err := createSchema(ctx, cfg); err != nil {
		return err
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, files, goose.WithSessionLocker(one), goose.WithDisableGlobalRegistry(true))
	if err != nil {
		return err
	}
	_, err = p.Up(ctx)
	return err
}

// createSchema waits for its turn, since two that make a schema at once can both find
// that there is none.
func createSchema(ctx context.Context, cfg *pgx.ConnConfig) error {
	conn, err := pgx.ConnectConfig(ctx, cfg)
	if err != nil {
		return err
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, migrationLock); err != nil {
			return err
		}
		_, err := tx.Exec(ctx, `CREATE SCHEMA IF NOT EXISTS `+schema)
		return err
	})
}

// oneModel spares the stores their copies of the model: a new one is there with the
// program that brings it, for all tenants at once.
type oneModel struct {
	storage.OpenFGADatastore
	model *openfgav1.AuthorizationModel
}

func (o oneModel) ReadAuthorizationModel(context.Context, string, string) (*openfgav1.AuthorizationModel, error) {
	return o.model, nil
}

// store is the name of the tenant's store: a ULID and a UUID are both 128 bits.
func store(t id.TenantID) string { return ulid.ULID(uuid.MustParse(t.String())).String() }

// Check answers the queries, each by itself, in their order.
func (e *Engine) Check(ctx context.Context, t id.TenantID, at models.Moment, queries []Query) ([]bool, error) {
	answers := make([]bool, len(queries))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(parallel)
	for i, q := range queries {
		g.Go(func() error {
			answer, err := e.server.Check(ctx, &openfgav1.CheckRequest{
				StoreId: store(t), AuthorizationModelId: modelID, Context: conditionContext(at),
				TupleKey:         &openfgav1.CheckRequestTupleKey{User: q.User, Relation: can(q.Action), Object: q.Object},
				ContextualTuples: &openfgav1.ContextualTupleKeys{TupleKeys: keys(q.Extra)},
			})
			if err != nil {
				return fmt.Errorf("check %s on %s: %w", q.Action, q.Object, err)
			}
			answers[i] = answer.GetAllowed()
			return nil
		})
	}
	return answers, g.Wait()
}

// Users lists the users who may do the action on the object, sorted. It fails if OpenFGA
// took all its time, since what it has by then is a part.
func (e *Engine) Users(ctx context.Context, t id.TenantID, at models.Moment, action, object string, extra []Tuple) ([]string, error) {
	kind, name := models.Split(object)
	began := time.Now()
	answer, err := e.server.ListUsers(ctx, &openfgav1.ListUsersRequest{
		StoreId: store(t), AuthorizationModelId: modelID, Context: conditionContext(at), Relation: can(action),
		Object: &openfgav1.Object{Type: kind, Id: name}, UserFilters: []*openfgav1.UserTypeFilter{{Type: models.User}},
		ContextualTuples: keys(extra),
	})
	if err != nil {
		return nil, fmt.Errorf("list users: %w", err)
	}
	if took := time.Since(began); took >= listLimit {
		return nil, fmt.Errorf("list users: %w after %s", context.DeadlineExceeded, took)
	}
	list := []string{}
	for _, u := range answer.GetUsers() {
		if o := u.GetObject(); o != nil {
			list = append(list, o.GetType()+":"+o.GetId())
		}
	}
	slices.Sort(list)
	return list, nil
}

// Replace makes want all the tuples of the tenant with the object and, if they are given,
// the relation and the user.
func (e *Engine) Replace(ctx context.Context, t id.TenantID, object, relation, user string, want []Tuple) error {
	have, err := e.read(ctx, t, storage.ReadFilter{Object: object, Relation: relation, User: user})
	if err != nil {
		return err
	}
	var deletes, writes []*openfgav1.TupleKey
	wanted := map[string]*openfgav1.TupleKey{}
	for _, k := range keys(want) {
		wanted[name(k)] = k
	}
	for _, k := range have {
		if w, ok := wanted[name(k)]; ok && proto.Equal(k.GetCondition(), w.GetCondition()) {
			delete(wanted, name(k))
			continue
		}
		deletes = append(deletes, k)
	}
	for _, k := range wanted {
		writes = append(writes, k)
	}
	return e.write(ctx, t, deletes, writes)
}

// Erase deletes all tuples of the tenant.
func (e *Engine) Erase(ctx context.Context, t id.TenantID) error {
	if _, err := e.pool.Exec(ctx, `DELETE FROM tuple WHERE store = $1`, store(t)); err != nil {
		return fmt.Errorf("erase tuples: %w", err)
	}
	if _, err := e.pool.Exec(ctx, `DELETE FROM changelog WHERE store = $1`, store(t)); err != nil {
		return fmt.Errorf("erase changelog: %w", err)
	}
	return nil
}

// ForgetChanges deletes what OpenFGA's own change log says of times before: nobody reads it.
func (e *Engine) ForgetChanges(ctx context.Context, before time.Time) error {
	if _, err := e.pool.Exec(ctx, `DELETE FROM changelog WHERE inserted_at < $1`, before); err != nil {
		return fmt.Errorf("forget openfga's changes: %w", err)
	}
	return nil
}

func (e *Engine) read(ctx context.Context, t id.TenantID, f storage.ReadFilter) ([]*openfgav1.TupleKey, error) {
	it, err := e.data.Read(ctx, store(t), f, storage.ReadOptions{})
	if err != nil {
		return nil, fmt.Errorf("read tuples: %w", err)
	}
	defer it.Stop()
	var list []*openfgav1.TupleKey
	for {
		next, err := it.Next(ctx)
		if errors.Is(err, storage.ErrIteratorDone) {
			return list, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read tuples: %w", err)
		}
		list = append(list, next.GetKey())
	}
}

// write deletes first: a tuple whose condition changes is deleted and written again.
func (e *Engine) write(ctx context.Context, t id.TenantID, deletes, writes []*openfgav1.TupleKey) error {
	for part := range slices.Chunk(deletes, perWrite) {
		var gone storage.Deletes
		for _, k := range part {
			gone = append(gone, &openfgav1.TupleKeyWithoutCondition{Object: k.GetObject(), Relation: k.GetRelation(), User: k.GetUser()})
		}
		if err := e.data.Write(ctx, store(t), gone, nil, storage.WithOnMissingDelete(storage.OnMissingDeleteIgnore)); err != nil {
			return fmt.Errorf("delete tuples: %w", err)
		}
	}
	for part := range slices.Chunk(writes, perWrite) {
		if err := e.data.Write(ctx, store(t), nil, part, storage.WithOnDuplicateInsert(storage.OnDuplicateInsertIgnore)); err != nil {
			return fmt.Errorf("write tuples: %w", err)
		}
	}
	return nil
}

func name(k *openfgav1.TupleKey) string {
	return k.GetObject() + " " + k.GetRelation() + " " + k.GetUser()
}

func keys(tuples []Tuple) []*openfgav1.TupleKey {
	var out []*openfgav1.TupleKey
	for _, t := range tuples {
		k := &openfgav1.TupleKey{Object: t.Object, Relation: t.Relation, User: t.User}
		if t.Windows != nil {
			windows := map[string]*structpb.Value{}
			for network, end := range t.Windows {
				windows[network] = structpb.NewStringValue(end.UTC().Format(time.RFC3339Nano))
			}
			k.Condition = &openfgav1.RelationshipCondition{Name: conditionOf(t.Relation), Context: &structpb.Struct{
				Fields: map[string]*structpb.Value{"windows": structpb.NewStructValue(&structpb.Struct{Fields: windows})},
			}}
		}
		out = append(out, k)
	}
	return out
}

func conditionOf(relation string) string {
	if len(relation) > len(deny) && relation[:len(deny)] == deny {
		return denied
	}
	return granted
}

func conditionContext(at models.Moment) *structpb.Struct {
	return &structpb.Struct{Fields: map[string]*structpb.Value{
		"now": structpb.NewStringValue(at.Now.UTC().Format(time.RFC3339Nano)), "ip": structpb.NewStringValue(at.IPText()),
	}}
}
