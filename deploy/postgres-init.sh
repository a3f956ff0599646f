#!/bin/sh
# Makes one role and one database for every variable PYAIRTABLE_…_PASSWORD, named like
# it in lower case, and sets the role's password. Nothing that is there is made again.
# Run by the PostgreSQL image on an empty volume (docker-compose.phase1.yml), or against
# a running server (docker-compose.yml). The roles are subject to row-level security.
set -eu
env | sed -n 's/^\(PYAIRTABLE_[A-Z_]*\)_PASSWORD=.*/\1/p' | while read -r name; do
	database=$(echo "$name" | tr A-Z a-z)
	password=$(printenv "${name}_PASSWORD")
	psql -v ON_ERROR_STOP=1 -v db="$database" -v pw="$password" --username "${POSTGRES_USER:-${PGUSER:-postgres}}" <<-'SQL'
		SELECT format('CREATE ROLE %I', :'db') WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'db') \gexec
		ALTER ROLE :"db" LOGIN NOSUPERUSER NOBYPASSRLS NOCREATEROLE NOCREATEDB PASSWORD :'pw';
		SELECT format('CREATE DATABASE %I OWNER %I', :'db', :'db') WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'db') \gexec
		REVOKE CONNECT ON DATABASE :"db" FROM PUBLIC;
	SQL
done
