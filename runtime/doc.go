// Package runtime is the worker: it claims tasks as the limits grant them, starts each
// at its instant, calls handlers (plugin processes or Go values), settles outcomes and
// drains. It knows nothing of files: what to serve comes as Options.
package runtime
