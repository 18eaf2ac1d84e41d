//go:build !linux

package server

// releaseProgram is for Linux alone.
func releaseProgram() {}
