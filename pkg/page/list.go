package page

import "github.com/pyairtable/pyairtable/pkg/api"

// List answers one page of what of names: the list and all that selects from it. read
// gets one item more than asked for, to know whether there is another page; key is the
// cursor after an item.
func List[K, M, A any](q api.PageQuery, of []any, read func(after K, limit int) ([]M, error), key func(M) K, render func(M) A) (api.Page[A], error) {
	filters := Filters(of...)
	var after K
	if q.Cursor != "" {
		if err := Decode(q.Cursor, filters, &after); err != nil {
			return api.Page[A]{}, err
		}
	}
	items, err := read(after, q.Limit+1)
	if err != nil {
		return api.Page[A]{}, err
	}
	out := api.Page[A]{Items: []A{}}
	if len(items) > q.Limit {
		items = items[:q.Limit]
		out.NextCursor = Encode(filters, key(items[q.Limit-1]))
	}
	for _, item := range items {
		out.Items = append(out.Items, render(item))
	}
	return out, nil
}
