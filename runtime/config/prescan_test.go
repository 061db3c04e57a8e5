package config

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

// Each of these overflows the stack of the parser or the evaluator, or takes memory
// without end, when it is let through. None may take longer than a moment.
func TestHostileFiles(t *testing.T) {
	const n = 50_000
	tests := map[string]struct{ src, want string }{
		"brackets":        {"a = " + strings.Repeat("[", n), "Nested too deep"},
		"closed brackets": {"a = " + strings.Repeat("[", n) + strings.Repeat("]", n), "Nested too deep"},
		"parentheses":     {"a = " + strings.Repeat("(", n), "Nested too deep"},
		"blocks":          {strings.Repeat("a {\n", n), "Nested too deep"},
		"objects":         {"a = " + strings.Repeat("{a=", n), "Nested too deep"},
		"templates":       {"a = " + strings.Repeat(`"${`, n), "Nested too deep"},
		"bad closers":     {"a = " + strings.Repeat("[(}", n), "Nested too deep"},
		"negations":       {"a = " + strings.Repeat("!", n) + "true", "Expression too long"},
		"minuses":         {"a = " + strings.Repeat("- ", n) + "1", "Expression too long"},
		"sum":             {"a = 1" + strings.Repeat("+1", n), "Expression too long"},
		"sum on lines":    {"a = (1" + strings.Repeat("\n+1", n) + ")", "Expression too long"},
		"conditionals":    {"a = " + strings.Repeat("true?1:", n) + "1", "Expression too long"},
		"indexes":         {"a = b" + strings.Repeat("[0]", n), "Expression too long"},
		"attributes":      {"a = b" + strings.Repeat(".c", n), "Expression too long"},
		"calls":           {"a = " + strings.Repeat("lower(", n), "Nested too deep"},
		"nested for":      {"a = [for x in [1] : [for y in [1] : [for z in [1] : z]]]", "For expression"},
		"object for":      {"a = {for k, v in {} : k => v}", "For expression"},
		"for after lines": {"a = [\n # why\n for x in [1] : x]", "For expression"},
		"directive":       {`a = "%{ for x in [1] }x%{ endfor }"`, "Template directive"},
		"2 MiB":           {strings.Repeat("# comment\n", 2<<20/10), "File too large"},
		"huge number":     {"max_payload = format(\"%d\", 1e999999999)", "Number too large"},
		"wide format":     {`owner = format("%999999999d", 1)`, "Error in function call"},
		"much format":     {`owner = format("` + strings.Repeat("%9999d", 2_000) + `", 1)`, "Error in function call"},
		"open comments":   {strings.Repeat("/*) ", n), "Comment not closed"},
		"long heredoc":    {"a = <<E\n" + strings.Repeat("ab\n", n) + "E\n", "Text too long"},
		"many dollars":    {"a = \"" + strings.Repeat("$a%", n) + "\"", "Text too long"},
		"many labels":     {"a " + strings.Repeat(`"x" `, n) + "{}", "Unsupported block type"},
		"many mistakes":   {strings.Repeat("queue \"a\" {}\n", 5_000), "Handler missing"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			start := time.Now()
			_, diags := load(t, tt.src)
			if !diags.HasErrors() || diags.list[0].Summary != tt.want {
				t.Errorf("%.300v, want %q", diags.Error(), tt.want)
			}
			_ = text(t, diags)
			if took := time.Since(start); took > 2*time.Minute {
				t.Errorf("took %v", took)
			}
		})
	}
}

func TestOrdinaryFilesPassThePrescan(t *testing.T) {
	for name, src := range map[string]string{
		"deep":               "handler \"h\" {\n config {\n a = " + strings.Repeat("[", 62) + strings.Repeat("]", 62) + "\n}\n}",
		"brackets in text":   `owner = lower("` + strings.Repeat("A", 10) + `") # ` + strings.Repeat("[", 100),
		"brackets in quotes": "handler \"h\" {\n args = [\"" + strings.Repeat("[{(", 100) + "\"]\n}",
		"heredoc":            "handler \"h\" {\n args = [<<X\n" + strings.Repeat("[{(\n", 100) + "X\n]\n}",
		"for as a name":      "handler \"h\" {\n config {\n for = 1\n}\n}",
		"long list":          "handler \"h\" {\n args = [" + strings.Repeat("\"a\", ", 1000) + "]\n}",
		"many parts":         "handler \"h\" {\n args = [\"" + strings.Repeat("${lower(\"a\")}", 300) + "\"]\n}",
		"globs in text":      "handler \"h\" {\n args = [" + strings.Repeat("\"a/*\", ", 1000) + "]\n}",
		"many blocks":        strings.Repeat("\n", 10) + manyHandlers(500),
	} {
		t.Run(name, func(t *testing.T) { mustLoad(t, src) })
	}
}

func manyHandlers(n int) string {
	var b strings.Builder
	for i := range n {
		b.WriteString("handler \"h" + strings.Repeat("x", i%50) + string(rune('a'+i/50)) + "\" {}\n")
	}
	return b.String()
}

func TestTextOfFunctionsIsBounded(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big")
	if err := os.WriteFile(big, []byte(strings.Repeat("x", 1<<20)), 0o600); err != nil {
		t.Fatal(err)
	}
	for name, expr := range map[string]string{
		"file":   "[" + strings.Repeat("file(\""+big+"\"),", 40) + "]",
		"join":   "[join(file(\"" + big + "\"), [" + strings.Repeat("\"a\",", 1000) + "])]",
		"format": "[format(\"" + strings.Repeat("%[1]s", 1000) + "\", file(\"" + big + "\"))]",
	} {
		t.Run(name, func(t *testing.T) {
			_, diags := load(t, "handler \"h\" {\n args = "+expr+"\n}\n")
			if diags.Len() != 1 || !strings.Contains(diags.Error(), "more than 16 MiB") {
				t.Errorf("%.300v", diags.Error())
			}
		})
	}
}
