#!/usr/bin/env bash
# Writes .env with freshly generated secrets, for docker-compose and for services
# run one by one against its PostgreSQL and Redis. An existing .env is kept.
# Needs bash and openssl.
set -euo pipefail
cd "$(dirname "$0")/.."
[ ! -e .env ] || { echo ".env exists and is kept; remove it to start anew (sealed data becomes unreadable)"; exit 0; }

random() { openssl rand -hex "$1"; }
# A service's own credential at auth-service; see pkg/app, ClientSecret.
client() { printf %s "$2" | openssl dgst -sha256 -hmac "$1" -r | cut -d' ' -f1; }

service_secret=$(random 32) redis=$(random 16)
umask 077
tmp=$(mktemp .env.XXXXXX)
trap 'rm -f "$tmp"' EXIT
{
	echo "# Secrets of this installation, generated. Keep the file; never commit it."
	echo "# Every other variable is explained in .env.example."
	echo "POSTGRES_PASSWORD=$(random 16)"
	echo "REDIS_PASSWORD=$redis"
	echo "REDIS_URL=redis://:$redis@127.0.0.1:6379/0"
	echo "SERVICE_SECRET=$service_secret"
	echo "SEAL_KEYS=k1:$(openssl rand -base64 32)"
	# service, database: one role a database, each with a password of its own
	while read -r service database; do
		name=$(tr 'a-z-' 'A-Z_' <<< "$service") password=$(random 16)
		[ "$database" = - ] || {
			echo "$(tr a-z A-Z <<< "$database")_PASSWORD=$password"
			echo "${name}_DATABASE_URL=postgres://$database:$password@127.0.0.1:5432/$database"
		}
		echo "${name}_CLIENT_SECRET=$(client "$service_secret" "$service")"
	done < deploy/services.txt
} > "$tmp"
mv "$tmp" .env
trap - EXIT
echo "wrote .env"
