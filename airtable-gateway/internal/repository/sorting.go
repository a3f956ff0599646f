package repository

import (
	"context"
	"fmt"
	"strconv"
	"strings"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
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
	return r.sorted(ctx, &q, `searched_records r`, keys, limit)
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
	from := `searched_records r JOIN unnest(` + strings.Join(lists, ", ") + `) AS given (` + strings.Join(columns, ", ") + `) ON given.number = r.number`
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
	rows, err := r.of(q.tenant).Query(ctx, sql, q.params()...)
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
	case models.ByFiles:
		return `(SELECT string_agg(e.file ->> 'filename', ', ' ORDER BY e.n)
			FROM jsonb_array_elements(r.cells -> ` + q.arg(string(f.ID)) + `) WITH ORDINALITY AS e (file, n)) COLLATE natural_order`
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
		FROM links l JOIN searched_records p ON p.tenant_id = l.tenant_id AND p.table_id = ` + q.arg(string(linked.ID)) + ` AND p.id = l.target_id
		WHERE l.tenant_id = r.tenant_id AND l.tenant_id = $1 AND p.tenant_id = $1
		  AND l.field_id = ` + q.arg(string(f.ID)) + ` AND l.record_id = r.id) COLLATE natural_order`
}
