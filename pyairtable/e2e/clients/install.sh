#!/usr/bin/env bash
# Installs the real Airtable and SCIM clients, at the versions of requirements.txt and
# package-lock.json, beside this script. Python 3 and Node.js come from the
# machine, or from Debian's packages when this runs as root without them.
set -euo pipefail
cd "$(dirname "$0")"

need() { # need COMMAND PACKAGES...
	local command=$1
	shift
	command -v "$command" > /dev/null && return
	[ "$(id -u)" = 0 ] && command -v apt-get > /dev/null || { echo "$command is needed for the tests with real clients" >&2; exit 1; }
	apt-get update -qq && apt-get install -y -qq "$@" > /dev/null
}

stamp() { cat install.sh requirements.txt package-lock.json | sha256sum | cut -d' ' -f1; }
[ "$(cat .venv/stamp 2> /dev/null)" = "$(stamp)" ] && [ -d node_modules/airtable ] && exit 0

need python3 python3 python3-venv
need npm nodejs npm
rm -rf .venv
python3 -m venv .venv
.venv/bin/pip install --quiet --disable-pip-version-check -r requirements.txt
npm ci --silent --no-audit --no-fund
stamp > .venv/stamp
