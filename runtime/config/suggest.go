package config

import (
	"fmt"
	"slices"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/gohcl"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// syntax is what may stand in a block, by its type; "" is the file itself.
var syntax = map[string]any{
	"":          fileBlock{},
	"redis":     redisBlock{},
	"sentinel":  sentinelBlock{},
	"cluster":   clusterBlock{},
	"tls":       tlsBlock{},
	"log":       logBlock{},
	"limit":     limitBlock{},
	"handler":   handlerBlock{},
	"queue":     queueBlock{},
	"key":       keyBlock{},
	"exception": exceptionBlock{},
	"retry":     retryBlock{},
}

// suggest completes diagnostics of unknown names that hcl finds no near one for: it
// lists what there is.
func suggest(diags hcl.Diagnostics, files map[string]*sourceFile) {
	for _, x := range diags {
		unknown := x.Summary == "Unsupported argument" || x.Summary == "Unsupported block type"
		if !unknown || x.Subject == nil || strings.Contains(x.Detail, "id you mean") {
			continue
		}
		f := files[x.Subject.Filename]
		if f == nil || f.parsed == nil {
			continue
		}
		kind := enclosing(f.parsed.Body, x.Subject.Start.Byte)
		if block, ok := syntax[kind]; ok {
			x.Detail += fmt.Sprintf(" Here may stand: %s.", strings.Join(known(block), ", "))
		}
	}
}

// unknownArguments are the places of arguments that may not stand where they do: by
// file, in bytes, in order.
func unknownArguments(diags hcl.Diagnostics) map[string][]int {
	at := map[string][]int{}
	for _, x := range diags {
		if x.Summary == "Unsupported argument" && x.Subject != nil {
			at[x.Subject.Filename] = append(at[x.Subject.Filename], x.Subject.Start.Byte)
		}
	}
	for _, places := range at {
		slices.Sort(places)
	}
	return at
}

// unknownIn tells whether a block has an argument that may not stand there: then what
// seems to be missing may be that one, misspelled.
func (d *decoder) unknownIn(body hcl.Body) bool {
	b, ok := body.(*hclsyntax.Body)
	if !ok {
		return false
	}
	places := d.unknown[b.SrcRange.Filename]
	i, _ := slices.BinarySearch(places, b.SrcRange.Start.Byte)
	return i < len(places) && places[i] < b.SrcRange.End.Byte
}

// enclosing is the type of the innermost block around a byte; "" for none.
func enclosing(body hcl.Body, at int) string {
	kind := ""
	b, ok := body.(*hclsyntax.Body)
	for ok {
		i := slices.IndexFunc(b.Blocks, func(x *hclsyntax.Block) bool {
			return at >= x.OpenBraceRange.End.Byte && at < x.CloseBraceRange.Start.Byte
		})
		if i < 0 {
			break
		}
		kind, b = b.Blocks[i].Type, b.Blocks[i].Body
	}
	return kind
}

// known lists attributes, then blocks with {}.
func known(block any) []string {
	schema, _ := gohcl.ImpliedBodySchema(block)
	var names []string
	for _, a := range schema.Attributes {
		names = append(names, a.Name)
	}
	for _, b := range schema.Blocks {
		names = append(names, b.Type+" {}")
	}
	return names
}
