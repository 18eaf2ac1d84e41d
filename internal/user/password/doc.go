// Package password decides which passwords may be chosen, hashes them, and
// verifies them against our own hashes and those that other systems made.
//
// A password is taken as its bytes, exactly as it was typed: nothing is trimmed,
// folded or normalised (NIST SP 800-63B-4 section 3.1.1.2 asks that all of it
// counts). It is 8 to 128 characters; there are no rules about which.
//
// Hashing is argon2id. It costs memory and processor time, so a [Hasher] does a
// bounded number at once and answers fault.Unavailable to whoever would wait too
// long. Everything that an imported hash says about its own cost is bounded
// before it is believed.
//
// No error of this package repeats a password or a hash.
package password
