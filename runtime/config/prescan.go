package config

import (
	"bytes"
	"fmt"
	"strings"

	"github.com/hashicorp/hcl/v2"
	"github.com/hashicorp/hcl/v2/hclsyntax"
)

// The bounds of a file. The parser and the evaluator recurse with the depth of their
// input, and Go cannot recover from a stack overflow, so what is too deep must be
// refused before it is parsed.
const (
	maxFileSize = 1 << 20
	maxDepth    = 64
	// maxOperators bounds operators in a row, `1+1+1…`: they nest like brackets do.
	maxOperators = 128
	// maxExponent bounds number literals: 1e999999999 is ten bytes here, and a
	// gigabyte when it is written out.
	maxExponent = 3 // digits
	// maxPieces bounds the pieces of one text, which are the lines of a heredoc: the
	// parser puts them together in quadratic time.
	maxPieces = 5000
)

// prescan refuses what must not reach the parser: a file that is too large, too
// deep, or that holds a `for` expression or a template directive. It works on the
// tokens, so brackets in strings, comments and heredocs don't count.
func prescan(src []byte, filename string) hcl.Diagnostics {
	if len(src) > maxFileSize {
		return hcl.Diagnostics{{
			Severity: hcl.DiagError,
			Summary:  "File too large",
			Detail:   fmt.Sprintf("%s is larger than 1 MiB. Split it into several files in a directory and name the directory.", filename),
		}}
	}
	if d := openComments(src, filename); d != nil {
		return hcl.Diagnostics{d}
	}
	tokens, _ := hclsyntax.LexConfig(src, filename, hcl.InitialPos) // the parser reports bad tokens
	s := scanner{levels: []level{{open: hclsyntax.TokenNil}}}
	for _, t := range tokens {
		if d := s.next(t); d != nil {
			d.Subject = t.Range.Ptr()
			return hcl.Diagnostics{d}
		}
	}
	return nil
}

// maxRescan bounds the bytes that the lexer looks at in vain, about a second's worth.
const maxRescan = 256 << 20

// openComments refuses what takes the lexer minutes: for each comment that is never
// closed it reads to the end of the file, and then goes on right behind the "/*".
// A few of them, or "/*" in text, cost nothing and pass.
func openComments(src []byte, filename string) *hcl.Diagnostic {
	start := max(0, bytes.LastIndex(src, []byte("*/")))
	rescan, first := 0, -1
	for i := start; i+1 < len(src); i++ {
		if src[i] != '/' || src[i+1] != '*' {
			continue
		}
		if first < 0 {
			first = i
		}
		if rescan += len(src) - i; rescan > maxRescan {
			d := refuse("Comment not closed", "A comment that begins with /* must end with */.")
			line := 1 + bytes.Count(src[:first], []byte("\n"))
			column := first - bytes.LastIndexByte(src[:first], '\n')
			pos := hcl.Pos{Line: line, Column: column, Byte: first}
			d.Subject = &hcl.Range{Filename: filename, Start: pos, End: hcl.Pos{Line: line, Column: column + 2, Byte: first + 2}}
			return d
		}
	}
	return nil
}

// scanner follows the nesting of a token stream.
type scanner struct {
	levels []level
	before [2]hclsyntax.TokenType // the last two tokens, comments and newlines aside
	ident  string                 // the last token, if it was an identifier
	pieces int                    // of the text that is under way
}

// level is one open bracket, or the file itself.
type level struct {
	open      hclsyntax.TokenType
	operators int // in the expression that is under way
}

var closes = map[hclsyntax.TokenType][]hclsyntax.TokenType{
	hclsyntax.TokenCBrace:         {hclsyntax.TokenOBrace},
	hclsyntax.TokenCBrack:         {hclsyntax.TokenOBrack},
	hclsyntax.TokenCParen:         {hclsyntax.TokenOParen},
	hclsyntax.TokenTemplateSeqEnd: {hclsyntax.TokenTemplateInterp, hclsyntax.TokenTemplateControl},
}

func (s *scanner) next(t hclsyntax.Token) *hcl.Diagnostic {
	top := &s.levels[len(s.levels)-1]
	if t.Type != hclsyntax.TokenStringLit && t.Type != hclsyntax.TokenQuotedLit {
		s.pieces = 0
	} else if s.pieces++; s.pieces > maxPieces {
		return refuse("Text too long", "A text has at most %d lines or pieces. Put the text into a file, and write file(\"NAME\").", maxPieces)
	}
	switch t.Type {
	case hclsyntax.TokenComment:
		return nil
	case hclsyntax.TokenNewline:
		// A newline ends an expression, but not between ( ) and [ ].
		if top.open == hclsyntax.TokenNil || top.open == hclsyntax.TokenOBrace {
			top.operators = 0
		}
		return nil
	case hclsyntax.TokenComma:
		top.operators = 0
	case hclsyntax.TokenTemplateControl:
		return refuse("Template directive", "Template directives such as %%{ if } are not supported. Write the text out, or use format or join.")
	case hclsyntax.TokenIdent:
		// `[for x` and `{ for x`: `for` as a name is never followed by a name.
		if s.ident == "for" && (s.before[0] == hclsyntax.TokenOBrack || s.before[0] == hclsyntax.TokenOBrace) {
			return refuse("For expression", "for expressions are not supported. Write the elements out.")
		}
	case hclsyntax.TokenNumberLit:
		if exponentDigits(t.Bytes) > maxExponent {
			return refuse("Number too large", "The exponent of a number has at most %d digits.", maxExponent)
		}
	case hclsyntax.TokenOBrace, hclsyntax.TokenOBrack, hclsyntax.TokenOParen, hclsyntax.TokenTemplateInterp:
		if t.Type != hclsyntax.TokenTemplateInterp { // parts of a template stand side by side
			top.operators++
		}
		s.levels = append(s.levels, level{open: t.Type})
		if len(s.levels)-1 > maxDepth {
			return refuse("Nested too deep", "Brackets are nested deeper than %d.", maxDepth)
		}
	case hclsyntax.TokenCBrace, hclsyntax.TokenCBrack, hclsyntax.TokenCParen, hclsyntax.TokenTemplateSeqEnd:
		s.close(closes[t.Type])
	default:
		if isOperator(t.Type) {
			top.operators++
		}
	}
	if top := s.levels[len(s.levels)-1]; top.operators > maxOperators {
		return refuse("Expression too long", "One expression has more than %d operators.", maxOperators)
	}
	s.before = [2]hclsyntax.TokenType{s.before[1], t.Type}
	s.ident = ""
	if t.Type == hclsyntax.TokenIdent {
		s.ident = string(t.Bytes)
	}
	return nil
}

// close drops everything above the bracket that is closed. A closing bracket that
// was never opened is the parser's to report.
func (s *scanner) close(opens []hclsyntax.TokenType) {
	for i := len(s.levels) - 1; i > 0; i-- {
		for _, open := range opens {
			if s.levels[i].open == open {
				s.levels = s.levels[:i]
				return
			}
		}
	}
}

func isOperator(t hclsyntax.TokenType) bool {
	switch t {
	case hclsyntax.TokenStar, hclsyntax.TokenSlash, hclsyntax.TokenPlus, hclsyntax.TokenMinus,
		hclsyntax.TokenPercent, hclsyntax.TokenEqualOp, hclsyntax.TokenNotEqual,
		hclsyntax.TokenLessThan, hclsyntax.TokenLessThanEq, hclsyntax.TokenGreaterThan,
		hclsyntax.TokenGreaterThanEq, hclsyntax.TokenAnd, hclsyntax.TokenOr, hclsyntax.TokenBang,
		hclsyntax.TokenDot, hclsyntax.TokenQuestion, hclsyntax.TokenDoubleColon:
		return true
	}
	return false
}

func exponentDigits(number []byte) int {
	_, exponent, _ := strings.Cut(strings.ToLower(string(number)), "e")
	return len(strings.TrimLeft(exponent, "+-0"))
}

func refuse(summary, detail string, args ...any) *hcl.Diagnostic {
	return &hcl.Diagnostic{Severity: hcl.DiagError, Summary: summary, Detail: fmt.Sprintf(detail, args...)}
}
