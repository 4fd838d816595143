//go:build race

package main_test

// raceEnabled: the program under test is built with the race detector too.
const raceEnabled = true
