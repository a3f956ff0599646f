#!/usr/bin/env bash
# Checks a running Phase 1, whichever way it was started. Needs bash and curl.
#
#   ./test-phase1.sh [base-url]        default http://localhost:8080
#
# The services' own ports are checked too where they can be reached (variables
# AUTH_SERVICE_URL, USER_SERVICE_URL, AIRTABLE_GATEWAY_URL; by default on
# localhost). It makes two users of its own and deletes what it made. The exit
# code is the number of failed checks, 99 at the most.
set -uo pipefail

base=${1:-http://localhost:8080}
base=${base%/}
auth=${AUTH_SERVICE_URL:-http://localhost:8001}
user=${USER_SERVICE_URL:-http://localhost:8002}
airtable=${AIRTABLE_GATEWAY_URL:-http://localhost:8003}
tmp=$(mktemp -d)
trap 'rm -rf "$tmp"' EXIT
passed=0 failed=0 status= body=

pass() { passed=$((passed + 1)); echo "  ok    $1"; }
fail() { failed=$((failed + 1)); echo "  FAIL  $1"; [ -z "${2:-}" ] || echo "        $2"; }

# call METHOD URL [TOKEN] [JSON] [more curl arguments...]: sets status and body.
# A 429 is waited out as its Retry-After asks: this script is a polite client.
call() {
	local method=$1 url=$2 token=${3:-} json=${4:-} args=() try
	shift $(($# < 4 ? $# : 4))
	[ -z "$token" ] || args+=(-H "Authorization: Bearer $token")
	[ -z "$json" ] || args+=(-H 'Content-Type: application/json' --data-binary "$json")
	for try in 1 2 3 4 5; do
		status=$(curl -sS -m 30 -X "$method" -o "$tmp/body" -D "$tmp/headers" -w '%{http_code}' "${args[@]}" "$@" "$url" 2> "$tmp/error") || status=000
		body=$(tr -d '\0' < "$tmp/body" 2> /dev/null || true)
		[ "$status" = 429 ] || return 0
		sleep "$(header retry-after | grep -E '^[0-9]+$' || echo 1)"
	done
}
header() { sed -n "s/^$1: *//Ip" "$tmp/headers" | tr -d '\r' | tail -1; }
# field NAME: the first string or number with that key in the body
field() { grep -oE "\"$1\" *: *(\"([^\"\\\\]|\\\\.)*\"|[0-9]+)" <<< "$body" | head -1 | sed -E 's/^"[^"]*" *: *"?//; s/"$//'; }

# want STATUS WHAT [REGEX in the body]
want() {
	if [ "$status" != "$1" ]; then
		fail "$2" "wanted $1, got $status: $(head -c 300 <<< "$body")$(cat "$tmp/error" 2> /dev/null)"
	elif [ -n "${3:-}" ] && ! grep -qE "$3" <<< "$body"; then
		fail "$2" "no match for $3 in: $(head -c 300 <<< "$body")"
	else
		pass "$2"
	fi
}

echo "== $base"
call GET "$base/health"; want 200 "gateway is alive"
if [ "$status" != 200 ]; then
	echo "nothing answers at $base: start it with 'make up' or docker-compose"; exit 99
fi
call GET "$base/ready"; want 200 "gateway is ready" '"ready"'
call GET "$base/metrics"; want 200 "gateway has metrics" '^go_goroutines'
call GET "$base/docs"; want 200 "documentation page" '<html'
# The gateway collects the services' documents; just after a start it may not have all.
for _ in 1 2 3 4 5 6 7 8 9 10; do
	call GET "$base/openapi.json"
	grep -q '"/api/v1/auth/login"' <<< "$body" && grep -q '"/api/v1/users/me"' <<< "$body" && grep -q '"/api/v1/airtable/bases"' <<< "$body" && break
	sleep 0.5
done
want 200 "merged OpenAPI" '"3\.1'
for path in /api/v1/auth/login /api/v1/users/me /api/v1/airtable/bases; do
	if grep -q "\"$path\"" <<< "$body"; then pass "OpenAPI has $path"; else fail "OpenAPI has $path"; fi
done
call GET "$base/.well-known/jwks.json"; want 200 "public keys" '"kid"'
call GET "$base/api/v1/nothing"; want 404 "an unknown route is a problem" '"code"'
call GET "$base/internal/v1/tokens/pat"; want 404 "internal routes are not routed"

reached=()
for s in auth:$auth user:$user airtable:$airtable; do
	name=${s%%:*} url=${s#*:}
	call GET "$url/health"
	if [ "$status" = 000 ]; then echo "  --    $name-service's own port is not reachable from here; skipped"; continue; fi
	reached+=("$name")
	want 200 "$name: /health at its own port"
	call GET "$url/ready"; want 200 "$name: /ready at its own port"
	call GET "$url/metrics"; want 200 "$name: /metrics at its own port" 'http_requests_total|go_goroutines'
done

echo "== accounts"
run=$(date +%s)-$$-$RANDOM
password="correct horse $run"
email="phase1-$run@example.com" stranger="phase1-x-$run@example.com"
call POST "$base/api/v1/auth/register" "" "{\"email\":\"$email\",\"password\":\"$password\",\"name\":\"Phase One\"}"
want 201 "register" '"tenant_id"'
id=$(field id)
call POST "$base/api/v1/auth/register" "" "{\"email\":\"$email\",\"password\":\"$password\",\"name\":\"Again\"}"
want 409 "the same email again" 'email_taken'
call POST "$base/api/v1/auth/register" "" '{"email":"nobody","password":"x","name":""}'
want 422 "bad input names the field" '"errors"'
call POST "$base/api/v1/auth/register" "" '{"email":'; want 400 "broken JSON"
call POST "$base/api/v1/auth/login" "" "{\"email\":\"$email\",\"password\":\"wrong $password\"}"; want 401 "wrong password"
call POST "$base/api/v1/auth/login" "" "{\"email\":\"$email\",\"password\":\"$password\"}"; want 200 "login" '"access_token"'
token=$(field access_token) refresh=$(field refresh_token)
call POST "$base/api/v1/auth/register" "" "{\"email\":\"$stranger\",\"password\":\"$password\",\"name\":\"Stranger\"}"; want 201 "register a stranger"
sid=$(field id)
call POST "$base/api/v1/auth/login" "" "{\"email\":\"$stranger\",\"password\":\"$password\"}"; want 200 "stranger's login"
other=$(field access_token)
call POST "$base/api/v1/auth/refresh" "" "{\"refresh_token\":\"$refresh\"}"; want 200 "refresh" '"refresh_token"'
token=$(field access_token) refresh=$(field refresh_token)
call POST "$base/api/v1/auth/refresh" "" '{"refresh_token":"nonsense"}'; want 401 "an unknown refresh token"

echo "== users"
call GET "$base/api/v1/users/me" "$token"; want 200 "me, at once after registering" "$id"
call PUT "$base/api/v1/users/me" "$token" '{"name":"Phase 1","locale":"en-GB","time_zone":"Europe/London"}'; want 200 "update me" 'Europe/London'
call GET "$base/api/v1/users/$id" "$token"; want 200 "get by id"
etag=$(header etag)
call PUT "$base/api/v1/users/$id" "$token" '{"name":"Phase Two"}' -H "If-Match: $etag"; want 200 "update by id with If-Match"
call PUT "$base/api/v1/users/$id" "$token" '{"name":"Phase Three"}' -H "If-Match: $etag"; want 412 "a stale If-Match"
call PUT "$base/api/v1/users/me" "$token" '{"name":"x","time_zone":"Mars/Olympus"}'; want 422 "an unknown time zone" 'time_zone'
call GET "$base/api/v1/users?limit=1" "$token"; want 200 "list" '"items"'
call GET "$base/api/v1/users?limit=9999" "$token"; want 422 "a limit out of range"
call GET "$base/api/v1/users/$id" "$other"; want 404 "a stranger gets 404"
call PUT "$base/api/v1/users/$id" "$other" '{"name":"Mallory"}'; want 404 "a stranger cannot update"
call DELETE "$base/api/v1/users/$id" "$other"; want 404 "a stranger cannot delete"
call GET "$base/api/v1/users/me" "$token" "" -H "X-User-ID: $sid" -H "X-Tenant-ID: $sid"; want 200 "made-up identity headers change nothing" "$id"

echo "== airtable"
call POST "$base/api/v1/airtable/demo" "$token"; want 200 "load the demo data" '"base_id"'
demo=$(field base_id)
a=$base/api/v1/airtable/bases
call GET "$a" "$token"; want 200 "list bases" "$demo"
call GET "$a/$demo" "$token"; want 200 "get base" "$demo"
call GET "$a/$demo/tables" "$token"; want 200 "list tables" '"Countries"'
call GET "$a/$demo/tables/Countries" "$token"; want 200 "get table" '"fields"'
call GET "$a/$demo/tables/Countries/records?limit=2" "$token"; want 200 "list records" '"next_cursor"'
cursor=$(field next_cursor)
call GET "$a/$demo/tables/Countries/records" "$token" "" -G --data-urlencode "limit=2" --data-urlencode "cursor=$cursor"; want 200 "next page" '"rec'
call POST "$a/$demo/tables/Countries/records" "$token" '{"fields":{"Name":"Atlantis"}}'; want 201 "create record" 'Atlantis'
rec=$(field id)
call GET "$a/$demo/tables/Countries/records/$rec" "$token"; want 200 "get record" 'Atlantis'
call PATCH "$a/$demo/tables/Countries/records/$rec" "$token" '{"fields":{"Name":"Lemuria"}}'; want 200 "update record" 'Lemuria'
call PATCH "$a/$demo/tables/Countries/records/$rec" "$token" '{"fields":{"No such field":1}}'; want 422 "an unknown field" 'No such field'
for r in "GET $a/$demo" "GET $a/$demo/tables" "GET $a/$demo/tables/Countries" "GET $a/$demo/tables/Countries/records" "GET $a/$demo/tables/Countries/records/$rec" "DELETE $a/$demo/tables/Countries/records/$rec"; do
	call ${r% *} "${r#* }" "$other"; want 404 "a stranger: ${r%% *} ${r#*/api/v1/airtable}"
done
call POST "$a/$demo/tables/Countries/records" "$other" '{"fields":{}}'; want 404 "a stranger cannot create"
call PATCH "$a/$demo/tables/Countries/records/$rec" "$other" '{"fields":{}}'; want 404 "a stranger cannot update"
call DELETE "$a/$demo/tables/Countries/records/$rec" "$token"; want 204 "delete record"

echo "== drop-in /v0"
call POST "$base/api/v1/auth/tokens" "$token" '{"name":"phase1","scopes":["data.records:read","schema.bases:read"],"bases":["*"]}'; want 201 "make a personal access token" '"pat'
pat=$(field token) patid=$(field id)
call GET "$base/v0/meta/whoami" "$pat"; want 200 "whoami" '"id"'
call GET "$base/v0/meta/bases" "$pat"; want 200 "list bases" "$demo"
call GET "$base/v0/$demo/Countries?pageSize=3" "$pat"; want 200 "list records" '"offset"'
call GET "$base/v0/$demo/Countries/?" "$pat"; want 200 "a trailing slash and a bare ? are taken" '"records"'
call POST "$base/v0/$demo/Countries" "$pat" '{"fields":{"Name":"x"}}'; want 403 "the token lacks data.records:write" '"error"'
call GET "$base/v0/$demo/Countries" "patAAAAAAAAAAAAAA.0000"; want 401 "an unknown token" '"error"'
call GET "$base/v0/$demo/Countries"; want 401 "no token" 'AUTHENTICATION_REQUIRED'
call GET "$base/v0/junk/T" "$pat"; want 404 "a malformed base id" 'NOT_FOUND'
call GET "$base/api/v1/users/me" "$pat"; want 403 "the token opens nothing else"

echo "== no token"
routes="GET /api/v1/users/me;PUT /api/v1/users/me;GET /api/v1/users/$id;PUT /api/v1/users/$id;DELETE /api/v1/users/$id;GET /api/v1/users;POST /api/v1/auth/logout"
aroutes="GET /api/v1/airtable/bases;GET /api/v1/airtable/bases/$demo;GET /api/v1/airtable/bases/$demo/tables;GET /api/v1/airtable/bases/$demo/tables/Countries;GET /api/v1/airtable/bases/$demo/tables/Countries/records;POST /api/v1/airtable/bases/$demo/tables/Countries/records;GET /api/v1/airtable/bases/$demo/tables/Countries/records/$rec;PATCH /api/v1/airtable/bases/$demo/tables/Countries/records/$rec;DELETE /api/v1/airtable/bases/$demo/tables/Countries/records/$rec;GET /v0/$demo/Countries"
IFS=';' read -ra list <<< "$routes;$aroutes"
for r in "${list[@]}"; do
	call ${r% *} "$base${r#* }"; want 401 "gateway: $r"
	case ${r#* } in
	/api/v1/users*) name=user url=$user ;;
	/api/v1/auth*) name=auth url=$auth ;;
	*) name=airtable url=$airtable ;;
	esac
	[[ " ${reached[*]-} " == *" $name "* ]] || continue
	call ${r% *} "$url${r#* }"; want 401 "$name's own port: $r"
done

echo "== the edge"
call GET "$base/api/v1/users/me" "$token" "" -H 'X-Request-ID: phase1-check'
[ "$(header x-request-id)" = phase1-check ] && pass "X-Request-ID comes back" || fail "X-Request-ID comes back"
[ -n "$(header ratelimit)" ] && pass "RateLimit header" || fail "RateLimit header"
head -c 3000000 /dev/zero | tr '\0' ' ' > "$tmp/big"
call POST "$base/api/v1/auth/login" "" "" -H 'Content-Type: application/json' --data-binary "@$tmp/big"; want 413 "a huge body"

echo "== leaving"
call DELETE "$base/api/v1/auth/tokens/$patid" "$token"; want 204 "revoke the personal access token"
dead=0
for _ in 1 2 3 4 5 6 7 8 9 10; do call GET "$base/v0/meta/whoami" "$pat"; [ "$status" = 401 ] && { dead=1; break; }; sleep 0.1; done
[ $dead = 1 ] && pass "it is dead within a second" || fail "it is dead within a second" "still $status"
call POST "$base/api/v1/auth/logout" "$token"; want 204 "logout"
dead=0
for _ in 1 2 3 4 5 6 7 8 9 10; do call GET "$base/api/v1/users/me" "$token"; [ "$status" = 401 ] && { dead=1; break; }; sleep 0.1; done
[ $dead = 1 ] && pass "the session is dead within a second" || fail "the session is dead within a second" "still $status"
call POST "$base/api/v1/auth/login" "" "{\"email\":\"$email\",\"password\":\"$password\"}"; want 200 "login again"
token=$(field access_token)
call DELETE "$base/api/v1/users/$id" "$token"; want 204 "delete the account"
call DELETE "$base/api/v1/users/$sid" "$other"; want 204 "delete the stranger's account"

echo
echo "$passed passed, $failed failed"
exit $((failed > 99 ? 99 : failed))
