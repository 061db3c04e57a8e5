package config

import (
	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
	"github.com/hashicorp/hcl/v2/hclwrite"
)

// Format returns src in canonical layout; only white space changes. name is the file
// for diagnostics. A file that can't be parsed is returned as it is, with errors.
func Format(name string, src []byte) ([]byte, Diagnostics) {
	f := &sourceFile{name: name, src: src}
	files := map[string]*sourceFile{name: f}
	if diags := prescan(src, name); diags.HasErrors() {
		return src, finish(diags, files)
	}
	var diags hcl.Diagnostics
	f.parsed, diags = hclsyntax.ParseConfig(src, name, hcl.InitialPos)
	if diags.HasErrors() {
		f.broken = !sound(diags)
		return src, finish(diags, files)
	}
	return hclwrite.Format(src), Diagnostics{}
}
