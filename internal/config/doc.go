// Package config resolves settings: one YAML file, environment variables over
// it, flags over those, all checked before anything starts.
//
//	built-in default < --dev default < file < environment < flag
//
// The structs of this package are the one description of every setting: their
// tags give the key in the file, the name in the environment and the meaning,
// and from them come decoding, `config env`, `config print` and the example.
//
// Nothing is guessed. An unknown key or variable is an error that names the one
// that was probably meant, so is a key given twice and a setting for a feature
// that this release does not have. All problems are reported at once, as
// *[Invalid], each with where it is, what is wrong and the cure. No problem
// repeats the value of a secret.
//
// In the environment a setting is DIALTONE_ and its path in upper case, joined
// by _. Lists are separated by commas; clients, routes, providers and test
// numbers are YAML or JSON in one variable; a member of one provider or client
// of the file has a variable of its own, such as
// DIALTONE_SMS_PROVIDERS_HOOK_SECRET. An empty variable counts as unset. A
// secret may be read from a file, named by the key or the variable with _file
// or _FILE behind it.
package config
