package migrations

import (
	"fmt"
	"io/fs"
	"strconv"
	"strings"
)

// Newest is the number of the last of the steps.
func Newest(steps fs.FS) int64 {
	files, err := fs.ReadDir(steps, ".")
	if err != nil || len(files) == 0 {
		panic(fmt.Errorf("no migrations: %w", err)) // they are part of the program
	}
	number, _, _ := strings.Cut(files[len(files)-1].Name(), "_")
	newest, err := strconv.ParseInt(number, 10, 64)
	if err != nil {
		panic(err) // a test sees to the names
	}
	return newest
}
