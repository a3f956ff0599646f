#!/usr/bin/env bash
# Adds freshly generated secrets to .env, for docker-compose and for services run
# one by one against its PostgreSQL and Redis. What .env has already is kept.
# Needs bash and openssl.
set -euo pipefail
cd "$(dirname "$0")/.."
command -v openssl > /dev/null || { echo "openssl is needed to generate secrets" >&2; exit 1; }
umask 077
touch .env
chmod 600 .env

random() { openssl rand -hex "$1"; }
value() { sed -n "s/^$1=//p" .env | tail -1; }
# put NAME VALUE: unless .env has NAME
put() { [ -n "$(value "$1")" ] || echo "$1=$2" >> .env; }
# A service's own credential at auth-service; see pkg/app, ClientSecret.
client() { printf %s "$2" | openssl dgst -sha256 -hmac "$1" -r | cut -d' ' -f1; }

put POSTGRES_PASSWORD "$(random 16)"
put REDIS_PASSWORD "$(random 16)"
put REDIS_URL "redis://:$(value REDIS_PASSWORD)@127.0.0.1:6379/0"
put SERVICE_SECRET "$(random 32)"
put SEAL_KEYS "k1:$(openssl rand -base64 32)"
# For services run one by one: until permission-service is among them, the role in the
# token decides what callers may do, and until tenant-service is, no plan limits anybody.
# docker-compose.yml and pyairtable up ask the services.
put PERMISSIONS role
put LIMITS off
# service, database: one role a database, each with a password of its own
while read -r service database; do
	name=$(tr 'a-z-' 'A-Z_' <<< "$service")
	if [ "$database" != - ]; then
		password=$(tr a-z A-Z <<< "$database")_PASSWORD
		put "$password" "$(random 16)"
		put "${name}_DATABASE_URL" "postgres://$database:$(value "$password")@127.0.0.1:5432/$database"
	fi
	put "${name}_CLIENT_SECRET" "$(client "$(value SERVICE_SECRET)" "$service")"
done < deploy/services.txt
echo ".env has every secret; keep it, and never commit it"
