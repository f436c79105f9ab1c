//go:build !go1.24

package main

func noService() string { return "its hash, crypto/pbkdf2, is in the standard library since Go 1.24" }

func serviceHTTP(order) (outcome, error) { return outcome{}, notSupported("%s", noService()) }
