// Package simulate plays campaigns against package sms: the real service on real
// stores, a provider that counts, and a virtual clock. `make simulate` prints
// what each cost, what the attacker gained and how many real people were
// hindered; the same run is a test that holds the promises.
//
//	pumping   100,000 numbers of ten prefixes in one hour, from 5,000 addresses
//	quiet     the same, by somebody who solves nothing, where few people sign in
//	bombing   one victim for a day, from 10,000 addresses
//	guessing  the codes of one number, day after day
//	spraying  a few guesses at each of many numbers
//	morning   nobody attacks, and several thousand people sign in
//
// It is all test code.
package simulate
