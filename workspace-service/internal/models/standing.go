// Package models holds the rules of workspace-service that need no I/O.
package models

import (
	"time"

	"github.com/pyairtable/pyairtable/pkg/api/workspaceapi"
)

// Standing is what workspaces, projects and bases have in common: a version, and whether
// they are in the archive or the trash.
type Standing struct {
	ArchivedAt, TrashedAt time.Time
	Version               int64
	CreatedAt, UpdatedAt  time.Time
}

// Status is one of workspaceapi's states. What is in the trash is trashed, wherever it
// was before.
func (s *Standing) Status() string {
	switch {
	case !s.TrashedAt.IsZero():
		return workspaceapi.StatusTrashed
	case !s.ArchivedAt.IsZero():
		return workspaceapi.StatusArchived
	}
	return workspaceapi.StatusActive
}

// Open returns why the object cannot be changed, or nil.
func (s *Standing) Open() error {
	switch s.Status() {
	case workspaceapi.StatusTrashed:
		return workspaceapi.ErrTrashed
	case workspaceapi.StatusArchived:
		return workspaceapi.ErrArchived
	}
	return nil
}

// Touch makes a new version of the object.
func (s *Standing) Touch(now time.Time) {
	s.Version++
	s.UpdatedAt = now
}

// Shift is a change of an object's standing. It tells the names of what changed, none if
// all was so already.
type Shift func(s *Standing, now time.Time) (changed []string, err error)

// Archive makes the object one that cannot be changed.
func Archive(s *Standing, now time.Time) ([]string, error) {
	if !s.TrashedAt.IsZero() {
		return nil, workspaceapi.ErrTrashed
	}
	return s.set(&s.ArchivedAt, now, now), nil
}

// Unarchive undoes Archive.
func Unarchive(s *Standing, now time.Time) ([]string, error) {
	if !s.TrashedAt.IsZero() {
		return nil, workspaceapi.ErrTrashed
	}
	return s.set(&s.ArchivedAt, time.Time{}, now), nil
}

// Trash puts the object into the trash.
func Trash(s *Standing, now time.Time) ([]string, error) { return s.set(&s.TrashedAt, now, now), nil }

// Restore undoes Trash; what was archived is so again.
func Restore(s *Standing, now time.Time) ([]string, error) {
	return s.set(&s.TrashedAt, time.Time{}, now), nil
}

func (s *Standing) set(at *time.Time, to, now time.Time) []string {
	if at.IsZero() == to.IsZero() {
		return nil
	}
	*at = to
	s.Touch(now)
	return []string{"status"}
}
