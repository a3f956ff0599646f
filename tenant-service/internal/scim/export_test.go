package scim

// Matches is what Path has to come to: whether the resource is meant. A nil filter means
// all.
func (f *Filter) Matches(resource map[string]any) bool { return f == nil || f.root.matches(resource) }
