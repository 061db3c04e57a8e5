//go:build !unix

package main

import "os"

// notifyResize does nothing where no signal tells it: the next frame has the new size.
func notifyResize(chan<- os.Signal) {}
