package models

import "strings"

// Types whose cells are JSON objects, stored as they are shown.

// writeBarcode reads {"text":…,"type":…}; with typecast the text alone.
func writeBarcode(f *Field, v any, typecast bool) (Written, error) {
	if s, ok := scalarText(v); ok && typecast {
		v = map[string]any{"text": s}
	}
	object, ok := v.(map[string]any)
	text, hasText := object["text"].(string)
	if text = clean(text); !ok || !hasText || tooLong(text) {
		return Written{}, InvalidValue(f.Name)
	}
	if text == "" {
		return Written{}, nil
	}
	out := map[string]any{"text": text}
	for key, item := range object {
		s, isText := item.(string)
		switch {
		case key == "text" || item == nil:
		case key == "type" && isText && len(s) <= maxName:
			out["type"] = clean(s)
		default:
			return Written{}, InvalidValue(f.Name)
		}
	}
	return Written{Value: out}, nil
}

func textBarcode(_ *Field, v any, _ Display) string { return textOf(v, "text") }

// writeButton reads what an import says of a button: {"label":…,"url":…}.
func writeButton(f *Field, v any, _ bool) (Written, error) {
	object, _ := v.(map[string]any)
	label, ok := object["label"].(string)
	if !ok {
		return Written{}, InvalidValue(f.Name)
	}
	out := map[string]any{"label": clean(label), "url": nil}
	if url, ok := object["url"].(string); ok {
		out["url"] = clean(url)
	} else if object["url"] != nil {
		return Written{}, InvalidValue(f.Name)
	}
	return Written{Value: out}, nil
}

// textButton is unconfirmed: the label, or the address it opens.
func textButton(_ *Field, v any, _ Display) string {
	if label := textOf(v, "label"); label != "" {
		return label
	}
	return textOf(v, "url")
}

var aiStates = map[string]bool{"empty": true, "loading": true, "generated": true, "error": true}

// writeAIText reads what an import says of a generated text.
func writeAIText(f *Field, v any, _ bool) (Written, error) {
	object, _ := v.(map[string]any)
	state, _ := object["state"].(string)
	stale, isBool := object["isStale"].(bool)
	value, isText := object["value"].(string)
	if !aiStates[state] || !isBool && object["isStale"] != nil || !isText && object["value"] != nil || tooLong(value) {
		return Written{}, InvalidValue(f.Name)
	}
	out := map[string]any{"state": state, "isStale": stale, "value": nil}
	if isText {
		out["value"] = clean(value)
	}
	if kind, ok := object["errorType"].(string); ok {
		out["errorType"] = clean(kind)
	}
	return Written{Value: out}, nil
}

func textAI(_ *Field, v any, _ Display) string { return textOf(v, "value") }

func textOf(v any, key string) string {
	o, _ := v.(map[string]any)
	s, _ := o[key].(string)
	return s
}

// readPrompt reads the options of generated text: pieces of text and fields.
func readPrompt(r *optionReader) Options {
	o := Options{Referenced: readReferenced(r)}
	if r.in["prompt"] == nil {
		return o
	}
	list, ok := r.in["prompt"].([]any)
	if !ok {
		r.fail("prompt", "must be an array")
		return o
	}
	for _, item := range list {
		switch item := item.(type) {
		case string:
			o.Prompt = append(o.Prompt, PromptPart{Text: clean(item)})
		case map[string]any:
			field, _ := item["field"].(map[string]any)
			fieldID, _ := field["fieldId"].(string)
			if !IsID("fld", fieldID) {
				r.fail("prompt", "names a field by no id")
			}
			o.Prompt = append(o.Prompt, PromptPart{Field: FieldID(fieldID)})
		default:
			r.fail("prompt", "must hold texts and fields")
		}
	}
	return o
}

func wirePrompt(o Options) map[string]any {
	prompt := make([]any, len(o.Prompt))
	for i, p := range o.Prompt {
		prompt[i] = p.Text
		if p.Field != "" {
			prompt[i] = map[string]any{"field": map[string]any{"fieldId": string(p.Field)}}
		}
	}
	return map[string]any{"prompt": prompt, "referencedFieldIds": wireReferenced(o)}
}

// writeRichText keeps Markdown as Airtable gives it back: list markers are dashes,
// and the text ends with a newline.
func writeRichText(f *Field, v any, typecast bool) (Written, error) {
	w, err := writeText(f, v, typecast)
	s, ok := w.Value.(string)
	if err != nil || !ok {
		return w, err
	}
	lines := strings.Split(s, "\n")
	for i, line := range lines {
		indent := len(line) - len(strings.TrimLeft(line, " \t"))
		if rest, ok := strings.CutPrefix(line[indent:], "* "); ok {
			lines[i] = line[:indent] + "- " + rest
		}
	}
	s = strings.Join(lines, "\n")
	if !strings.HasSuffix(s, "\n") {
		s += "\n"
	}
	return Written{Value: s}, nil
}
