package pluginapi_test

import (
	"strings"
	"testing"

	"github.com/throttlerd/throttlerd/pluginapi"
	"github.com/throttlerd/throttlerd/pluginapi/handlerpb"
)

// A plugin of another kit may send more than it should.
func TestDecodeResultCuts(t *testing.T) {
	r := pluginapi.DecodeResult(&handlerpb.Result{
		Outcome: handlerpb.Outcome_OUTCOME_DONE, Result: make([]byte, handlerpb.MaxResult+1), Error: strings.Repeat("é", handlerpb.MaxError),
	})
	if len(r.Result) != handlerpb.MaxResult || !r.Truncated || len(r.Err) > handlerpb.MaxError || !strings.HasSuffix(r.Err, "é…") {
		t.Errorf("%d bytes, truncated %v, error of %d bytes", len(r.Result), r.Truncated, len(r.Err))
	}
	whole := pluginapi.DecodeResult(&handlerpb.Result{Result: make([]byte, handlerpb.MaxResult), Error: "x"})
	if len(whole.Result) != handlerpb.MaxResult || whole.Truncated || whole.Err != "x" || whole.Outcome != pluginapi.Failed {
		t.Errorf("%+v", whole.Err)
	}
}
