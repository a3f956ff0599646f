package localinfra

import (
	"context"
	"fmt"

	"github.com/jackc/pgx/v5"
)

// Database is one to be there, with the role that owns it and nobody else may enter.
type Database struct {
	Name, Role, Password string
}

// databasesLock is the advisory lock under which databases are made, so that two
// processes may do so at the same time.
const databasesLock = 0x70796169727462 // "pyairtb"

// Databases makes what is missing of the databases and roles, gives the roles the
// passwords, and closes each database to every other role. adminURL is of a role that
// may create both. Calling it again changes nothing but passwords that differ.
func Databases(ctx context.Context, adminURL string, databases []Database) error {
	conn, err := pgx.Connect(ctx, adminURL)
	if err != nil {
		return fmt.Errorf("connect to make the databases: %w", err)
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	if _, err := conn.Exec(ctx, `SELECT pg_advisory_lock($1)`, int64(databasesLock)); err != nil {
		return fmt.Errorf("lock to make the databases: %w", err)
	}
	for _, d := range databases {
		if err := d.ensure(ctx, conn); err != nil {
			return fmt.Errorf("database %s: %w", d.Name, err)
		}
	}
	return nil
}

func (d Database) ensure(ctx context.Context, conn *pgx.Conn) error {
	var hasRole, hasDatabase bool
	err := conn.QueryRow(ctx, `
		SELECT EXISTS (SELECT FROM pg_roles WHERE rolname = $1),
		       EXISTS (SELECT FROM pg_database WHERE datname = $2)`, d.Role, d.Name).Scan(&hasRole, &hasDatabase)
	if err != nil {
		return fmt.Errorf("look for it: %w", err)
	}
	role := `CREATE ROLE %1$I LOGIN PASSWORD %2$L`
	if hasRole {
		role = `ALTER ROLE %1$I LOGIN PASSWORD %2$L`
	}
	statements := []string{role}
	if !hasDatabase {
		// The membership lets an administrator who is no superuser give the database away.
		statements = append(statements, `GRANT %1$I TO CURRENT_USER`, `CREATE DATABASE %3$I OWNER %1$I`)
	}
	statements = append(statements,
		`REVOKE ALL ON DATABASE %3$I FROM PUBLIC`,
		`GRANT CONNECT, TEMPORARY ON DATABASE %3$I TO %1$I`)
	for _, s := range statements {
		if err := execFormatted(ctx, conn, s, d.Role, d.Password, d.Name); err != nil {
			return err
		}
	}
	return nil
}

// execFormatted runs a statement that takes no parameters, its names and literals put
// in by the server's own quoting rules.
func execFormatted(ctx context.Context, conn *pgx.Conn, statement string, args ...string) error {
	var sql string
	if err := conn.QueryRow(ctx, `SELECT format($1, VARIADIC $2::text[])`, statement, args).Scan(&sql); err != nil {
		return fmt.Errorf("write %q: %w", statement, err)
	}
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("run %q: %w", statement, err)
	}
	return nil
}
