//go:build race

package sms

// slowed is how many times slower the race detector makes a test.
const slowed = 5
