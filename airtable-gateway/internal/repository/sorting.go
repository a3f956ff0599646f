package repository

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/errs"
	"github.com/pyairtable/pyairtable/pkg/id"
	"github.com/pyairtable/pyairtable/pkg/postgres"
)

// SortKey is one key of a sorted list.
type SortKey struct {
	Field *models.Field
	Desc  bool

	// What SortNumbers sorts by in the place of the stored cells, a value for each
	// number; nil is blank. At most one is set.
	Numbers []*float64
	Texts   []*string
}

// given reports whether the key's values come with it.
func (k SortKey) given() bool { return k.Numbers != nil || k.Texts != nil }

// SortedNumbers returns the numbers of the table's records that meet where, in the
// order of keys, then of age; at most limit if it is not 0. Blanks come first, or
// last when descending.
func (r Reader) SortedNumbers(ctx context.Context, tenant id.TenantID, base *models.Base, table models.TableID, where Where, keys []SortKey, limit int) ([]int64, error) {
	q := sorter{base: base, query: newQuery(tenant, table, where)}
	return r.sorted(ctx, &q, `records r`, keys, limit)
}

// SortNumbers is SortedNumbers of the records with these numbers, those of them that
// still exist.
func (r Reader) SortNumbers(ctx context.Context, tenant id.TenantID, base *models.Base, table models.TableID, numbers []int64, keys []SortKey, limit int) ([]int64, error) {
	q := sorter{base: base, query: newQuery(tenant, table, Where{})}
	columns, lists := []string{"number"}, []string{q.arg(numbers) + `::bigint[]`}
	for i, k := range keys {
		switch {
		case k.Numbers != nil:
			lists = append(lists, q.arg(k.Numbers)+`::float8[]`)
		case k.Texts != nil:
			lists = append(lists, q.arg(k.Texts)+`::text[]`)
		default:
			continue
		}
		columns = append(columns, "k"+strconv.Itoa(i))
	}
	from := `records r JOIN unnest(` + strings.Join(lists, ", ") + `) AS given (` + strings.Join(columns, ", ") + `) ON given.number = r.number`
	return r.sorted(ctx, &q, from, keys, limit)
}

func (r Reader) sorted(ctx context.Context, q *sorter, from string, keys []SortKey, limit int) ([]int64, error) {
	var order strings.Builder
	for i, k := range keys {
		switch {
		case k.Texts != nil:
			order.WriteString(`given.k` + strconv.Itoa(i) + ` COLLATE natural_order`)
		case k.given():
			order.WriteString(`given.k` + strconv.Itoa(i))
		default:
			order.WriteString(q.key(k.Field))
		}
		if k.Desc {
			order.WriteString(" DESC NULLS LAST, ")
		} else {
			order.WriteString(" ASC NULLS FIRST, ")
		}
	}
	sql := `SELECT r.number FROM ` + from + ` WHERE ` + q.where + ` ORDER BY ` + order.String() + `r.number`
	if limit > 0 {
		sql += ` LIMIT ` + q.arg(limit)
	}
	rows, err := r.q.Query(ctx, sql, q.params()...)
	if err != nil {
		return nil, fmt.Errorf("sort records: %w", err)
	}
	numbers, err := pgx.CollectRows(rows, pgx.RowTo[int64])
	if err != nil {
		return nil, fmt.Errorf("sort records: %w", err)
	}
	return numbers, nil
}

// sorter writes the SQL of sort keys.
type sorter struct {
	*query
	base *models.Base
}

func (q *sorter) key(f *models.Field) string {
	cell := func() string { return `(r.cells ->> ` + q.arg(string(f.ID)) + `)` }
	switch f.Type.Order() {
	case models.ByNumber:
		return cell() + `::float8`
	case models.ByBool:
		return cell() + `::boolean`
	case models.ByISO:
		return cell() + ` COLLATE "C"`
	case models.ByChoice:
		return `array_position(` + q.choices(f) + `, ` + cell() + `)`
	case models.ByChoices:
		return `(SELECT array_agg(array_position(` + q.choices(f) + `, e.choice) ORDER BY e.n)
			FROM jsonb_array_elements_text(r.cells -> ` + q.arg(string(f.ID)) + `) WITH ORDINALITY AS e (choice, n))`
	case models.ByLinks:
		return q.linkTitles(f)
	case models.ByCounter:
		return `r.number`
	case models.ByCreated:
		return `r.created_at`
	case models.ByModified:
		if len(f.Options.Referenced) > 0 {
			return `(` + q.lastTouch(f, `(t.touch ->> 0)::bigint`) + `)`
		}
		return `r.modified_at`
	case models.ByPerson, models.ByPeople, models.ByCreator, models.ByModifier:
		return q.people(f)
	case models.ByObjectText:
		return `(r.cells -> ` + q.arg(string(f.ID)) + ` ->> 'text') COLLATE natural_order`
	}
	return cell() + ` COLLATE natural_order`
}

func (q *sorter) choices(f *models.Field) string {
	ids := make([]string, len(f.Options.Choices))
	for i, c := range f.Options.Choices {
		ids[i] = string(c.ID)
	}
	return q.arg(ids) + `::text[]`
}

// linkTitles joins what the linked records are called.
func (q *sorter) linkTitles(f *models.Field) string {
	linked := q.base.Table(string(f.Options.LinkedTable))
	title := `p.number::text`
	switch primary := linked.PrimaryField(); primary.Type {
	case models.AutoNumber:
	case models.Barcode:
		title = `p.cells -> ` + q.arg(string(primary.ID)) + ` ->> 'text'`
	default:
		title = `p.cells ->> ` + q.arg(string(primary.ID))
	}
	return `(SELECT string_agg(` + title + `, ', ' ORDER BY l.position)
		FROM links l JOIN records p ON p.tenant_id = l.tenant_id AND p.table_id = ` + q.arg(string(linked.ID)) + ` AND p.id = l.target_id
		WHERE l.tenant_id = r.tenant_id AND l.tenant_id = $1 AND p.tenant_id = $1
		  AND l.field_id = ` + q.arg(string(f.ID)) + ` AND l.record_id = r.id) COLLATE natural_order`
}

// pieceSize is how many records one stored piece of an iterator names.
const pieceSize = 1_000

// CreateIterator stores the order of a sorted walk, and forgets the tenant's
// expired ones.
func (s *Store) CreateIterator(ctx context.Context, tenant id.TenantID, name, params string, numbers []int64, now, expires time.Time) error {
	return postgres.InTx(ctx, s.pool, func(tx pgx.Tx) error {
		_, err := tx.Exec(ctx, `
			DELETE FROM list_iterators WHERE tenant_id = $1 AND id IN (
				SELECT id FROM list_iterators WHERE tenant_id = $1 AND expires_at <= $2 LIMIT 20 FOR UPDATE SKIP LOCKED)`,
			tenant, now)
		if err != nil {
			return fmt.Errorf("forget iterators: %w", err)
		}
		_, err = tx.Exec(ctx, `
			INSERT INTO list_iterators (tenant_id, id, params, total, expires_at) VALUES ($1, $2, $3, $4, $5)`,
			tenant, name, params, len(numbers), expires)
		if err != nil {
			return fmt.Errorf("insert iterator: %w", err)
		}
		pieces := (len(numbers) + pieceSize - 1) / pieceSize
		columns := []string{"tenant_id", "iterator_id", "piece", "numbers"}
		_, err = tx.CopyFrom(ctx, pgx.Identifier{"list_iterator_pieces"}, columns, pgx.CopyFromSlice(pieces, func(i int) ([]any, error) {
			piece := numbers[i*pieceSize : min((i+1)*pieceSize, len(numbers))]
			return []any{tenant.String(), name, int32(i), piece}, nil
		}))
		if err != nil {
			return fmt.Errorf("insert iterator's pieces: %w", err)
		}
		return nil
	})
}

// Iterate returns up to n numbers of a walk from the from-th on, and how many it
// has in all, and lets it live until expires. It returns errs.ErrNotFound if
// there is no such iterator for these parameters or it expired before now.
func (s *Store) Iterate(ctx context.Context, tenant id.TenantID, name, params string, from int64, n int, now, expires time.Time) ([]int64, int64, error) {
	var total int64
	err := s.pool.QueryRow(ctx, `
		UPDATE list_iterators SET expires_at = $5
		WHERE tenant_id = $1 AND id = $2 AND params = $3 AND expires_at > $4 RETURNING total`,
		tenant, name, params, now, expires).Scan(&total)
	if err != nil {
		return nil, 0, fmt.Errorf("read iterator: %w", postgres.NotFound(err))
	}
	if from < 0 || from >= total {
		return nil, 0, fmt.Errorf("read iterator at %d of %d: %w", from, total, errs.ErrNotFound)
	}
	until := min(from+int64(n), total)
	first := from / pieceSize
	rows, err := s.pool.Query(ctx, `
		SELECT numbers FROM list_iterator_pieces
		WHERE tenant_id = $1 AND iterator_id = $2 AND piece BETWEEN $3 AND $4 ORDER BY piece`,
		tenant, name, first, (until-1)/pieceSize)
	if err != nil {
		return nil, 0, fmt.Errorf("read iterator: %w", err)
	}
	pieces, err := pgx.CollectRows(rows, pgx.RowTo[[]int64])
	if err != nil {
		return nil, 0, fmt.Errorf("read iterator: %w", err)
	}
	var numbers []int64
	for _, p := range pieces {
		numbers = append(numbers, p...)
	}
	skip := from - first*pieceSize
	if int64(len(numbers)) < until-first*pieceSize {
		return nil, 0, fmt.Errorf("read iterator: %w", errs.ErrNotFound)
	}
	return numbers[skip : until-first*pieceSize], total, nil
}
