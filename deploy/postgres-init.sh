#!/bin/sh
# Run once by the PostgreSQL image on an empty volume: one role and one database
# for every variable PYAIRTABLE_…_PASSWORD, named like it in lower case.
set -eu
env | sed -n 's/^\(PYAIRTABLE_[A-Z_]*\)_PASSWORD=.*/\1/p' | while read -r name; do
	database=$(echo "$name" | tr A-Z a-z)
	password=$(printenv "${name}_PASSWORD")
	psql -v ON_ERROR_STOP=1 -v db="$database" -v pw="$password" --username "$POSTGRES_USER" <<-'SQL'
		CREATE ROLE :"db" LOGIN PASSWORD :'pw';
		CREATE DATABASE :"db" OWNER :"db";
		REVOKE CONNECT ON DATABASE :"db" FROM PUBLIC;
	SQL
done
