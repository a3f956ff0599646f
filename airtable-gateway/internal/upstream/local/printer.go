package local

import (
	"context"
	"fmt"
	"math"
	"strconv"
	"unicode/utf8"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/files"
	"github.com/pyairtable/pyairtable/airtable-gateway/internal/models"
	"github.com/pyairtable/pyairtable/pkg/id"
)

// printer writes records of one table as Airtable does: id, createdTime, fields;
// fields in the table's order, empty cells absent; the number of comments if it was
// asked for and is not 0.
type printer struct {
	fields []*models.Field
	output models.Output
	files  *files.Keeper // makes the links of attachments; nil: they have none
	tenant id.TenantID
	// display of each link field knows what its linked records are called.
	display map[models.FieldID]models.Display
}

// printer loads what showing recs, records of the table, takes beside the records: the
// people whom they name, their links, what derived fields are computed from and, for
// text output, what the linked records are called.
func (c *calculator) printer(ctx context.Context, t *models.Table, fields []*models.Field, output models.Output, recs []*models.Record) (*printer, error) {
	loaded, err := c.load(ctx, t, recs, fields, output.AsText)
	if err != nil {
		return nil, err
	}
	p := &printer{fields: fields, output: output, files: c.files, tenant: c.tenant, display: map[models.FieldID]models.Display{}}
	if !output.AsText {
		return p, nil
	}
	titles := map[models.TableID]map[models.RecordID]string{}
	for _, f := range fields {
		linked := c.base.TitlesOf(f)
		if linked == nil {
			continue
		}
		if titles[linked.ID] == nil {
			titles[linked.ID] = loaded.titlesAs(linked, models.Display{Zone: output.Zone, Locale: output.Locale})
		}
		p.display[f.ID] = models.Display{Titles: titles[linked.ID]}
	}
	return p, loaded.err
}

// records appends `{"records":[…]`, leaving the object open.
func (p *printer) records(out []byte, recs []*models.Record) ([]byte, error) {
	out = append(out, `{"records":[`...)
	var err error
	for i, r := range recs {
		if i > 0 {
			out = append(out, ',')
		}
		if out, err = p.record(out, r); err != nil {
			return nil, err
		}
	}
	return append(out, ']'), nil
}

func (p *printer) record(out []byte, r *models.Record) ([]byte, error) {
	out = append(out, `{"id":`...)
	out = appendString(out, string(r.ID))
	out = append(out, `,"createdTime":`...)
	out = appendString(out, models.Timestamp(r.CreatedAt))
	out = append(out, `,"fields":{`...)
	first := true
	for _, f := range p.fields {
		v, err := f.Read(r)
		if err != nil {
			return nil, fmt.Errorf("field %s of record %s: %w", f.ID, r.ID, err)
		}
		if v == nil {
			continue
		}
		if p.output.AsText {
			d := p.display[f.ID]
			d.Zone, d.Locale, d.Link = p.output.Zone, p.output.Locale, p.link()
			v = f.Text(v, d)
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		if p.output.ByFieldID {
			out = appendString(out, string(f.ID))
		} else {
			out = appendString(out, f.Name)
		}
		out = append(out, ':')
		out = p.value(out, v)
	}
	out = append(out, '}')
	if p.output.Comments && r.Comments > 0 {
		out = append(out, `,"commentCount":`...)
		out = strconv.AppendInt(out, int64(r.Comments), 10)
	}
	return append(out, '}'), nil
}

// appendValue appends what models.Field.Read returns.
func appendValue(out []byte, v any) []byte {
	switch v := v.(type) {
	case string:
		return appendString(out, v)
	case float64:
		return appendNumber(out, v)
	case int64:
		return strconv.AppendInt(out, v, 10)
	case bool:
		return strconv.AppendBool(out, v)
	case []string:
		out = append(out, '[')
		for i, s := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendString(out, s)
		}
		return append(out, ']')
	case []any:
		out = append(out, '[')
		for i, item := range v {
			if i > 0 {
				out = append(out, ',')
			}
			out = appendValue(out, item)
		}
		return append(out, ']')
	}
	return append(out, models.Marshal(v)...)
}

// appendNumber writes a double as JavaScript does: shortest form, exponents only
// for the very large and the very small.
func appendNumber(out []byte, n float64) []byte {
	if a := math.Abs(n); a != 0 && (a < 1e-6 || a >= 1e21) {
		return append(out, models.Marshal(n)...)
	}
	return strconv.AppendFloat(out, n, 'f', -1, 64)
}

const hex = "0123456789abcdef"

// appendString writes a JSON string and escapes only what JSON requires.
func appendString(out []byte, s string) []byte {
	out = append(out, '"')
	start := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c >= utf8.RuneSelf || c >= 0x20 && c != '"' && c != '\\' {
			i++
			continue
		}
		out = append(out, s[start:i]...)
		switch c {
		case '"', '\\':
			out = append(out, '\\', c)
		case '\n':
			out = append(out, '\\', 'n')
		case '\r':
			out = append(out, '\\', 'r')
		case '\t':
			out = append(out, '\\', 't')
		default:
			out = append(out, '\\', 'u', '0', '0', hex[c>>4], hex[c&0xf])
		}
		i++
		start = i
	}
	return append(append(out, s[start:]...), '"')
}
