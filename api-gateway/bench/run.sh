#!/bin/bash
# run.sh [options] name=http://127.0.0.1:PORT[/path][,admin=URL][,pids=1:2:3] ...
#
# Measures each target in turn, for several interleaved rounds, and prints medians.
# The processes behind a target are those that listen on its port (found with ss), unless pids= is given.
# admin= is a page of Prometheus metrics with Go's own, for allocations per request.
#
#   -c N      keep-alive connections (64)        -d S    seconds a round (10)
#   -R N      rounds (3)                         -p PATH path when the URL has none (/api/1k)
#   -m M -b N method and body size               -T FILE bearer tokens, one a line (tokens.txt)
#   -w S      warm-up before the measured seconds (1)
#   -r N|half fixed rate: N req/s, or each target's half of its own saturation median (needs -S FILE)
#   -S FILE   results of an earlier saturation run (JSON lines)
#   -o FILE   JSON lines go here (results/last.jsonl)   -u PID  the upstream's pid (default: on port 9000)
#   -n X      a round in which other processes took more than this share of the CPU is repeated,
#             up to -N times (0.15, 4)
set -u
cd "$(dirname "$0")"
c=64 d=10 R=3 p=/api/1k m=GET b=0 T=tokens.txt r=0 S= o=results/last.jsonl u= n=0.15 N=4 w=1
while getopts c:d:R:p:m:b:T:r:S:o:u:n:N:w: f; do eval "$f=\$OPTARG"; done
shift $((OPTIND - 1))
[ $# -gt 0 ] || { sed -n 2,20p "$0"; exit 2; }
pids_of() { ss -Hltnp "sport = :$1" | grep -o 'pid=[0-9]*' | cut -d= -f2 | sort -un | paste -sd, ; }
[ -n "$u" ] || u=$(pids_of 9000)
mkdir -p results; : > "$o"
mem() { # rss in KiB: one process: VmRSS; several: the sum of their Pss
  local s=0 k
  if [[ $1 != *,* ]]; then awk '/^VmRSS/{print $2}' /proc/$1/status; return; fi
  for k in ${1//,/ }; do s=$((s + $(awk '/^Pss:/{print $2}' /proc/$k/smaps_rollup))); done; echo $s
}
vars() { # allocations and their bytes so far, from a page of Prometheus metrics
  [ -n "$1" ] || { echo '[0,0]'; return; }
  curl -s -m 2 "$1" | awk '/^go_memstats_mallocs_total /{m=$2} /^go_memstats_alloc_bytes_total /{b=$2} END{printf "[%.0f,%.0f]\n", m, b}'
}
for ((round = 1; round <= R; round++)); do
  mapfile -t order < <(printf '%s\n' "$@" | shuf)   # a new order each round
  for t in "${order[@]}"; do
    name=${t%%=*} rest=${t#*=}; IFS=, read -ra f <<< "$rest"
    url=${f[0]} admin= pids=
    for x in "${f[@]:1}"; do case $x in admin=*) admin=${x#admin=} ;; pids=*) pids=${x#pids=}; pids=${pids//:/,} ;; esac; done
    hp=${url#http://}; path=/${hp#*/}; [[ $hp == */* ]] || { path=$p; url=$url$p; }
    port=${hp%%/*}; port=${port##*:}
    [ -n "$pids" ] || pids=$(pids_of $port)
    [ -n "$pids" ] || { echo "$name: nothing listens on $port" >&2; continue; }
    rate=$r
    [ "$r" = half ] && rate=$(jq -s --arg n "$name" '[.[]|select(.name==$n)|.rps]|sort|.[length/2|floor]/2|floor' "$S")
    for ((try = 1; try <= N; try++)); do
      v0=$(vars "$admin")
      out=$(bin/load -s -c $c -d $d -w $w -r $rate -m $m -b $b -T $T -H 'Origin: https://app.example.com' -u "$url" -p "proxy=$pids;up=$u")
      v1=$(vars "$admin")
      [ -n "$out" ] || { echo "$name: load failed" >&2; break; }
      jq -e --argjson n $n '.other_share <= $n' <<< "$out" > /dev/null && break
    done
    [ -n "$out" ] && jq -c --arg name "$name" --arg path "$path" --arg m "$m" --argjson b $b --argjson rate $rate --argjson round $round --argjson tries $try --argjson rss "$(mem "$pids")" \
      --argjson v0 "$v0" --argjson v1 "$v1" '{name:$name,path:$path,method:$m,body:$b,rate:$rate,round:$round,tries:$tries,rss_kib:$rss,
        allocs:(if $v1[0]>0 then (($v1[0]-$v0[0])/.n_all) else null end), alloc_b:(if $v1[0]>0 then (($v1[1]-$v0[1])/.n_all) else null end)} + .' <<< "$out" >> "$o"
  done
done
exec ./report.sh "$o" "${@%%=*}"
