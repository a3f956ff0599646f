package repository

import (
	"slices"
	"strconv"

	"github.com/jackc/pgx/v5"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// Where is a condition on a table's records, as package sqlgen writes it: of r, with
// its parameters from FirstArg on. The zero Where is met by all.
type Where struct {
	SQL  string
	Args []any
}

// FirstArg is the number of a Where's first parameter. Below it are the tenant and
// the table.
const FirstArg = 3

// And is met by what meets both; the parameters of v must begin where those of w end.
func (w Where) And(v Where) Where {
	if w.SQL == "" {
		return v
	}
	return Where{w.SQL + ` AND ` + v.SQL, slices.Concat(w.Args, v.Args)}
}

// CellsContain is the condition that a record's cells contain a jsonb object, the
// parameter object, in the form that the index of cells answers within a Where.
func CellsContain(object string) string {
	return `cell_key(r.tenant_id, r.table_id, r.cells) @> cell_key($1, $2, ` + object + `::jsonb)`
}

// query is a query of a table's records that is put together. Nothing of a client's
// goes into its text.
type query struct {
	tenant id.TenantID
	args   []any
	where  string
	mode   []any
}

func newQuery(tenant id.TenantID, table models.TableID, where Where) *query {
	q := &query{tenant: tenant, args: append([]any{tenant, table}, where.Args...), where: `r.tenant_id = $1 AND r.table_id = $2`}
	if where.SQL != "" {
		q.where += ` AND ` + where.SQL
		// There are as many texts as there are formulas: keeping a statement for each
		// would push out all others and cost every connection their size.
		q.mode = []any{pgx.QueryExecModeDescribeExec}
	}
	return q
}

// arg adds a parameter and returns its name.
func (q *query) arg(v any) string {
	q.args = append(q.args, v)
	return "$" + strconv.Itoa(len(q.args))
}

// params are the query's parameters, as pgx takes them.
func (q *query) params() []any { return append(q.mode, q.args...) }
