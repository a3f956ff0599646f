// Package repository stores what workspace-service owns.
package repository

import (
	"embed"

	"github.com/jackc/pgx/v5/pgxpool"
)

// Migrations make the service's tables.
//
//go:embed migrations/*.sql
var Migrations embed.FS

// Repository is the service's database.
type Repository struct{ pool *pgxpool.Pool }

// New returns the repository in the pool's database.
func New(pool *pgxpool.Pool) *Repository { return &Repository{pool} }
