package instance

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strconv"
	"syscall"

	"github.com/pyairtable/pyairtable/pkg/config"
	"github.com/pyairtable/pyairtable/pkg/localinfra"
)

// checkPorts tells of every service's port that is in use, before anything is started.
func (v variables) checkPorts(ctx context.Context) error {
	var errs []error
	for _, s := range v.members {
		errs = append(errs, CheckPort(ctx, s.Name, v.hosts[s.Name], v.ports[s.Name]))
	}
	return errors.Join(errs...)
}

// CheckPort returns a *localinfra.Problem if the service cannot listen there.
func CheckPort(ctx context.Context, service, host string, port int) error {
	l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", net.JoinHostPort(host, strconv.Itoa(port)))
	if err == nil {
		return l.Close()
	}
	variable := config.Prefix(service) + "PORT"
	problem := &localinfra.Problem{What: fmt.Sprintf("%s cannot listen on %s port %d", service, host, port), Do: "set " + variable + " to another port", Err: err}
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		who := "another program"
		if name := listener(port); name != "" {
			who = name
		}
		problem.What, problem.Err = fmt.Sprintf("port %d, %s's, is in use by %s", port, service, who), nil
		problem.Do = "stop that program, or set " + variable + " to another port"
	case errors.Is(err, syscall.EADDRNOTAVAIL):
		problem.Do = "set HOST to an address of this machine"
	}
	return problem
}

// Place is where a service would listen.
type Place struct {
	Service, Host string
	Port          int
}

// Places are where the services would listen, after the environment and .env.
func Places(o Options) ([]Place, error) {
	v, err := newVariables(o)
	if err != nil {
		return nil, err
	}
	var places []Place
	for _, s := range v.members {
		places = append(places, Place{s.Name, v.hosts[s.Name], v.ports[s.Name]})
	}
	return places, nil
}
