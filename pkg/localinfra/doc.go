// Package localinfra starts private PostgreSQL and Redis servers on this machine:
// durable ones for `pyairtable up`, throw-away ones for tests.
//
// A server listens on 127.0.0.1 alone, with a random password, on a free port, and
// keeps everything it writes in one directory. It never touches a server that it did
// not start: a process is signalled only after it was recognised as the one that
// works on this very directory.
//
// Every server dies with the process that started it, even when that is killed:
// on Linux by the parent death signal, and throw-away servers everywhere by a guard
// process that also removes their files.
package localinfra
