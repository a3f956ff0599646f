#!/bin/bash
# bench.sh [rounds] [seconds]: CPU per proxied request of the real gateway, every feature on (EdDSA tokens, limit per
# address shared through Redis, CORS, request id, trace context, metrics, access log), beside ReverseProxy with a tuned
# Transport and nginx, which only proxy. Three tables: GET 1 KiB, GET 64 KiB, POST 1 KiB. About 3 x rounds x 4 targets x
# (seconds + 1). Needs gcc, Go, jq, ss, curl; nginx and redis-server are used if they are there. Everything that it
# starts, it stops. Read differences under 10 % as not resolved.
set -eu
cd "$(dirname "$0")"
rounds=${1:-5} seconds=${2:-4}
for tool in gcc go jq ss curl; do command -v $tool >/dev/null || { echo "bench: $tool is missing" >&2; exit 2; }; done

tmp=$(mktemp -d /dev/shm/gwbench.XXXXXX 2>/dev/null || mktemp -d)
pids=()
stop() {
  for p in "${pids[@]}"; do kill "$p" 2>/dev/null || true; done
  for p in "${pids[@]}"; do wait "$p" 2>/dev/null || true; done
  rm -rf "$tmp"
}
trap stop EXIT
trap 'exit 130' INT TERM

mkdir -p bin results
gcc -O2 -o bin/load load/load.c
GOWORK=off go build -o bin/ ./cmd/...
(cd .. && CGO_ENABLED=0 GOWORK=off go build -tags nomsgpack -trimpath -ldflags="-s -w" -o bench/bin/api-gateway ./cmd/api-gateway) # as the image is
bin/mktoken -n 200 > "$tmp/tokens.txt"

free() { # a port that nothing listens on, from $1 up
  local p=$1
  while [ -n "$(ss -Hltn "sport = :$p")" ]; do p=$((p + 1)); done
  echo $p
}
up=$(free 9000) base=$(free 8101) ngx=$(free 8110) gw=$(free 8180) rp=$(free 6390)
await() { # $1: port, $2: name, $3: path whose status must be 200
  for _ in $(seq 100); do
    [ "$(curl -s -o /dev/null -w '%{http_code}' -m 1 "http://127.0.0.1:$1${3:-/}")" != "${3:+}000" ] && [ -n "$(ss -Hltn "sport = :$1")" ] && return
    sleep 0.1
  done
  echo "bench: $2 does not listen on $1" >&2; tail -5 "$tmp"/*.log >&2; exit 1
}

bin/upstream -addr 127.0.0.1:$up 2> "$tmp/upstream.log" & pids+=($!)
bin/baseline -addr 127.0.0.1:$base -up http://127.0.0.1:$up 2> "$tmp/baseline.log" & pids+=($!)
redis=
if command -v redis-server >/dev/null; then
  redis-server --port $rp --bind 127.0.0.1 --save '' --appendonly no --dir "$tmp" --logfile "$tmp/redis.log" >/dev/null & pids+=($!)
  redis=redis://127.0.0.1:$rp
  for _ in $(seq 50); do [ -n "$(ss -Hltn "sport = :$rp")" ] && break; sleep 0.1; done
else
  echo "bench: no redis-server: the limit is not shared" >&2
fi
await $up upstream
( cd "$tmp" && exec env PORT=$gw HOST=127.0.0.1 LOG_LEVEL=warn REDIS_URL=$redis TOKEN_ISSUER=pyairtable SERVICE_SECRET=bench-bench-bench-bench-bench-bench \
  RATE_LIMIT=100000000/1m CORS_ORIGINS=https://app.example.com \
  AUTH_SERVICE_URL=http://127.0.0.1:$up USER_SERVICE_URL=http://127.0.0.1:$up AIRTABLE_GATEWAY_URL=http://127.0.0.1:$up \
  "$OLDPWD/bin/api-gateway" > "$tmp/access.log" 2> "$tmp/gateway.log" ) & gwpid=$!; pids+=($gwpid)
await $gw api-gateway
await $base baseline
targets="gateway=http://127.0.0.1:$gw@PATH@,admin=http://127.0.0.1:$gw/metrics direct=http://127.0.0.1:$up@PATH@ baseline=http://127.0.0.1:$base@PATH@"
ref=baseline
if command -v nginx >/dev/null; then
  sed "s|@TMP@|$tmp|g; s|@UPSTREAM@|$up|; s|@PORT@|$ngx|" conf/nginx.conf > "$tmp/nginx.conf"
  nginx -p "$tmp" -c "$tmp/nginx.conf" & pids+=($!)
  await $ngx nginx
  targets="$targets nginx=http://127.0.0.1:$ngx@PATH@" ref=nginx
else
  echo "bench: nginx is absent: ratios are to the baseline only" >&2
fi

token=$(head -1 "$tmp/tokens.txt")
check() { # the path must give 200 with a token and 401 without
  local with without
  with=$(curl -s -o /dev/null -w '%{http_code}' -H "Authorization: Bearer $token" "http://127.0.0.1:$gw$1")
  without=$(curl -s -o /dev/null -w '%{http_code}' "http://127.0.0.1:$gw$1")
  [ "$with $without" = "200 401" ] || { echo "bench: GET $1 gives $with with a token and $without without" >&2; exit 1; }
}
base_path=/api/v1/airtable/bases
check $base_path/app1k
check $base_path/app64k
run() { # title, path, options
  echo; echo "== $1 ($rounds rounds of $seconds s, 64 connections from 64 addresses)"
  B=$ref ./run.sh -T "$tmp/tokens.txt" -R "$rounds" -d "$seconds" -N 2 -u "$(ss -Hltnp "sport = :$up" | grep -o 'pid=[0-9]*' | cut -d= -f2 | head -1)" \
    -o "results/$4.jsonl" $3 ${targets//@PATH@/$2}
}
run "GET 1 KiB" $base_path/app1k "" get-1k
run "GET 64 KiB" $base_path/app64k "" get-64k
run "POST 1 KiB" $base_path/appB/tables/tblB/records "-m POST -b 1024" post-1k
echo
echo "gateway: RSS $(awk '/^VmRSS/{printf "%.1f", $2/1024}' /proc/$gwpid/status) MiB after all runs; access log lines dropped: $(curl -s http://127.0.0.1:$gw/metrics | awk '/^gateway_access_log_dropped_total /{print $2}')"
