package custom

import (
	"bytes"
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
)

const maxXMLDepth = 100

// parseXML reads an element as an object: attributes as "@name", child
// elements under their names, several of one name as a list, text beside
// either as "#text". An element with text alone is that text. Entities beyond
// XML's five are refused.
func parseXML(value []byte) (map[string]any, error) {
	decoder := xml.NewDecoder(bytes.NewReader(value))
	for {
		token, err := decoder.Token()
		if errors.Is(err, io.EOF) {
			return nil, errors.New("no element")
		}
		if err != nil {
			return nil, err
		}
		start, is := token.(xml.StartElement)
		if !is {
			continue
		}
		content, err := element(decoder, start, 0)
		if err != nil {
			return nil, err
		}
		return map[string]any{start.Name.Local: content}, nil
	}
}

func element(decoder *xml.Decoder, start xml.StartElement, depth int) (any, error) {
	if depth > maxXMLDepth {
		return nil, fmt.Errorf("more than %d elements within each other", maxXMLDepth)
	}
	object := map[string]any{}
	for _, a := range start.Attr {
		object["@"+a.Name.Local] = a.Value
	}
	var text strings.Builder
	for {
		token, err := decoder.Token()
		if err != nil {
			return nil, err
		}
		switch token := token.(type) {
		case xml.StartElement:
			content, err := element(decoder, token, depth+1)
			if err != nil {
				return nil, err
			}
			add(object, token.Name.Local, content)
		case xml.CharData:
			text.Write(token)
		case xml.EndElement:
			own := strings.TrimSpace(text.String())
			if len(object) == 0 {
				return own, nil
			}
			if own != "" {
				object["#text"] = own
			}
			return object, nil
		}
	}
}

func add(object map[string]any, name string, content any) {
	switch before := object[name].(type) {
	case nil:
		object[name] = content
	case []any:
		object[name] = append(before, content)
	default:
		object[name] = []any{before, content}
	}
}

// formatXML writes what parseXML reads.
func formatXML(root string, object map[string]any) ([]byte, error) {
	var b bytes.Buffer
	encoder := xml.NewEncoder(&b)
	if err := write(encoder, root, object); err != nil {
		return nil, err
	}
	if err := encoder.Flush(); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

func write(encoder *xml.Encoder, name string, content any) error {
	if list, is := content.([]any); is {
		for _, one := range list {
			if err := write(encoder, name, one); err != nil {
				return err
			}
		}
		return nil
	}
	if !validElement(name) {
		return fmt.Errorf("%q cannot be an element", name)
	}
	start := xml.StartElement{Name: xml.Name{Local: name}}
	object, is := content.(map[string]any)
	if !is {
		return encoder.EncodeElement(text(content), start)
	}
	names := slices.Sorted(maps.Keys(object))
	for _, n := range names {
		if attribute, is := strings.CutPrefix(n, "@"); is && validElement(attribute) {
			start.Attr = append(start.Attr, xml.Attr{Name: xml.Name{Local: attribute}, Value: text(object[n])})
		}
	}
	if err := encoder.EncodeToken(start); err != nil {
		return err
	}
	for _, n := range names {
		var err error
		switch {
		case n == "#text":
			err = encoder.EncodeToken(xml.CharData(text(object[n])))
		case strings.HasPrefix(n, "@") && validElement(n[1:]):
		default:
			err = write(encoder, strings.TrimPrefix(n, "@"), object[n])
		}
		if err != nil {
			return err
		}
	}
	return encoder.EncodeToken(start.End())
}

func validElement(name string) bool {
	for i, r := range name {
		letter := r == '_' || r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z'
		if !letter && (i == 0 || r != '-' && r != '.' && (r < '0' || r > '9')) {
			return false
		}
	}
	return name != ""
}
