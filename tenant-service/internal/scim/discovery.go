package scim

// MaxResults is how many resources an answer holds at the most.
const MaxResults = 200

// ServiceProviderConfig says what is supported (RFC 7643, section 5).
func ServiceProviderConfig(base string) map[string]any {
	is := func(supported bool) map[string]any { return map[string]any{"supported": supported} }
	return map[string]any{
		"schemas": []string{configSchema}, "patch": is(true), "changePassword": is(false), "sort": is(true), "etag": is(true),
		"bulk":   map[string]any{"supported": false, "maxOperations": 0, "maxPayloadSize": 0},
		"filter": map[string]any{"supported": true, "maxResults": MaxResults},
		"authenticationSchemes": []any{map[string]any{
			"type": "oauthbearertoken", "name": "SCIM token", "description": "A SCIM token of the tenant, as a bearer token.",
			"specUri": "https://www.rfc-editor.org/info/rfc6750", "primary": true,
		}},
		"meta": map[string]any{"resourceType": "ServiceProviderConfig", "location": base + "/ServiceProviderConfig"},
	}
}

// ResourceTypes are the types of resources (RFC 7643, section 6).
func ResourceTypes(base string) (out []map[string]any) {
	for _, t := range Types {
		r := map[string]any{
			"schemas": []string{resourceTypeSchema}, "id": t.Name, "name": t.Name, "endpoint": "/" + t.Plural, "description": t.Doc, "schema": t.Schema,
			"meta": map[string]any{"resourceType": "ResourceType", "location": base + "/ResourceTypes/" + t.Name},
		}
		if t.Extension != "" {
			r["schemaExtensions"] = []any{map[string]any{"schema": t.Extension, "required": false}}
		}
		out = append(out, r)
	}
	return out
}

// Schemas are the schemas (RFC 7643, section 7).
func Schemas(base string) (out []map[string]any) {
	add := func(urn, name, doc string, attributes []Attribute) {
		out = append(out, map[string]any{
			"schemas": []string{schemaSchema}, "id": urn, "name": name, "description": doc, "attributes": described(attributes),
			"meta": map[string]any{"resourceType": "Schema", "location": base + "/Schemas/" + urn},
		})
	}
	for _, t := range Types {
		add(t.Schema, t.Name, t.Doc, t.Attributes)
		if t.Extension != "" {
			add(t.Extension, "EnterpriseUser", "Enterprise User", t.Extended)
		}
	}
	return out
}

func described(attributes []Attribute) []any {
	out := []any{}
	for i := range attributes {
		a := &attributes[i]
		d := map[string]any{
			"name": a.Name, "type": a.kind(), "multiValued": a.Many, "description": a.Doc, "required": a.Required, "caseExact": a.CaseExact,
			"mutability": "readWrite", "returned": "default", "uniqueness": "none",
		}
		if a.ReadOnly {
			d["mutability"] = "readOnly"
		}
		if a.Always {
			d["returned"] = "always"
		}
		if a.Unique {
			d["uniqueness"] = "server"
		}
		if a.Canonical != nil {
			d["canonicalValues"] = a.Canonical
		}
		if a.Refers != nil {
			d["referenceTypes"] = a.Refers
		}
		if a.Sub != nil {
			d["subAttributes"] = described(a.Sub)
		}
		out = append(out, d)
	}
	return out
}
