package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"time"
)

// position is how far a mailing got, as its file keeps it.
type position struct {
	Notification string    `json:"notification"` // the mailing's fingerprint
	Server       string    `json:"server"`
	Input        place     `json:"input"`
	Finished     bool      `json:"finished"`
	SavedAt      time.Time `json:"saved_at"`
	tally
}

// tally counts users and lines.
type tally struct {
	Accepted int64 `json:"accepted"`
	Refused  int64 `json:"refused"`
	Invalid  int64 `json:"invalid_lines"`
}

func (t tally) users() int64 { return t.Accepted + t.Refused }

// loadPosition reads a position; nil if there is none.
func loadPosition(file string) (*position, error) {
	raw, err := os.ReadFile(file)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("--position: %w", err)
	}
	var p position
	decoder := json.NewDecoder(bytes.NewReader(raw))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(&p); err != nil || p.Notification == "" {
		return nil, fmt.Errorf("--position: %s is there and holds something else. Give it a file of its own", file)
	}
	return &p, nil
}

// checkBelongsTo refuses to go on with another notification, or elsewhere.
func (p *position) checkBelongsTo(mailing position, file string) error {
	switch {
	case p.Notification != mailing.Notification:
		return fmt.Errorf("%s belongs to another notification: a text or an option of it has changed. Give the same again to go on, or another --position file to begin anew", file)
	case p.Server != mailing.Server:
		return fmt.Errorf("%s belongs to a mailing by %s, and --server says %s. Give the same again to go on, or another --position file to begin anew", file, p.Server, mailing.Server)
	}
	return nil
}

// save puts the position in the place of the one before, so that after a power
// cut there is one of the two.
func (p *position) save(file string) error {
	p.SavedAt = time.Now().UTC().Truncate(time.Second)
	encoded, err := json.MarshalIndent(p, "", "  ")
	if err != nil {
		panic(fmt.Errorf("encode %T: %w", p, err)) // our own types encode
	}
	if err := replace(file, append(encoded, '\n')); err != nil {
		return fmt.Errorf("--position: %w", err)
	}
	return nil
}

func replace(file string, content []byte) error {
	next := file + ".new"
	if err := writeDurably(next, content); err != nil {
		return err
	}
	if err := os.Rename(next, file); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func writeDurably(file string, content []byte) error {
	f, err := os.OpenFile(file, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(content)
	return errors.Join(err, f.Sync(), f.Close())
}
