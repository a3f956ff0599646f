package rules_test

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/pyairtable/pyairtable/pkg/api"
	"github.com/pyairtable/pyairtable/pkg/api/permissionapi"
	"github.com/pyairtable/pyairtable/pkg/api/tenantapi"
	"github.com/pyairtable/pyairtable/pkg/catalog"
	"github.com/pyairtable/pyairtable/pkg/config"
)

// composeFile is as much of a compose file as the rules are about.
type composeFile struct {
	Services map[string]struct {
		Build       struct{ Context, Dockerfile string }
		Environment map[string]string
		Ports       []string
		Volumes     []string
		HealthCheck struct{ Test []string }
		CapDrop     []string                              `yaml:"cap_drop"`
		ReadOnly    bool                                  `yaml:"read_only"`
		DependsOn   map[string]struct{ Condition string } `yaml:"depends_on"`
	}
	Volumes map[string]any
}

func readYAML[T any](t *testing.T, path string) (out T) {
	t.Helper()
	if err := yaml.Unmarshal([]byte(read(t, path)), &out); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return out
}

// docker-compose.yml has every service of the catalog, docker-compose.phase1.yml those
// of the first phase: each with its own port, database and credential, and the
// addresses of all others.
func TestCompose_IsTheCatalog(t *testing.T) {
	t.Parallel()
	var first []api.Service
	for _, s := range catalog.Services {
		if s.Phase == 1 {
			first = append(first, s)
		}
	}
	for file, services := range map[string][]api.Service{"docker-compose.yml": catalog.Services, "docker-compose.phase1.yml": first} {
		compose := readYAML[composeFile](t, file)
		for _, s := range services {
			is(t, file+", "+s.Name, compose, s, services)
		}
		for name, s := range compose.Services {
			if s.Build.Dockerfile != "" && !slices.ContainsFunc(services, func(in api.Service) bool { return in.Name == name }) {
				t.Errorf("%s builds %s, which is not in the catalog", file, name)
			}
			for on := range s.DependsOn {
				if _, ok := compose.Services[on]; !ok {
					t.Errorf("%s: %s depends on %s, which is not there", file, name, on)
				}
			}
			for _, v := range s.Volumes {
				if volume, _, _ := strings.Cut(v, ":"); !strings.HasPrefix(volume, ".") {
					if _, ok := compose.Volumes[volume]; !ok {
						t.Errorf("%s: %s mounts %s, which is not declared", file, name, volume)
					}
				}
			}
		}
	}
}

func is(t *testing.T, where string, compose composeFile, s api.Service, all []api.Service) {
	t.Helper()
	got, ok := compose.Services[s.Name]
	if !ok {
		t.Errorf("%s is not there", where)
		return
	}
	equal := func(what, got, want string) {
		if got != want {
			t.Errorf("%s: %s is %q, want %q", where, what, got, want)
		}
	}
	equal("the Dockerfile", got.Build.Dockerfile, s.Name+"/Dockerfile")
	equal("the health check", strings.Join(got.HealthCheck.Test, " "), "CMD /"+s.Name+" -health")
	published := fmt.Sprintf("127.0.0.1:%[1]d:%[1]d", s.Port)
	if s.Name == catalog.Gateway.Name {
		published = fmt.Sprintf("${GATEWAY_PORT:-%[1]d}:%[1]d", s.Port)
	}
	equal("its ports", strings.Join(got.Ports, " "), published)
	if !got.ReadOnly || !slices.Equal(got.CapDrop, []string{"ALL"}) {
		t.Errorf("%s: the container can write to its file system, or has capabilities", where)
	}
	const must = ":?run deploy/secrets.sh first}"
	database := ""
	if s.Database != "" {
		password := strings.ToUpper(s.Database) + "_PASSWORD"
		database = fmt.Sprintf("postgres://%[1]s:${%[2]s%[3]s@postgres:5432/%[1]s", s.Database, password, must)
		made := "databases"
		if _, ok := compose.Services[made]; !ok {
			made = "postgres"
		}
		equal("the password in "+made, compose.Services[made].Environment[password], "${"+password+must)
	}
	equal("DATABASE_URL", got.Environment["DATABASE_URL"], database)
	if s.Name == catalog.Auth {
		equal("SERVICE_SECRET", got.Environment["SERVICE_SECRET"], "${SERVICE_SECRET"+must)
	} else {
		equal("CLIENT_SECRET", got.Environment["CLIENT_SECRET"], "${"+config.Prefix(s.Name)+"CLIENT_SECRET"+must)
		equal("SERVICE_SECRET", got.Environment["SERVICE_SECRET"], "")
	}
	for _, other := range all {
		if other.Name != catalog.Gateway.Name { // nobody calls it
			equal("the address of "+other.Name, got.Environment[config.Prefix(other.Name)+"URL"], fmt.Sprintf("http://%s:%d", other.Name, other.Port))
		}
	}
	decides := config.PermissionsByService
	if !slices.ContainsFunc(all, func(s api.Service) bool { return s.Name == permissionapi.Service.Name }) {
		decides = config.PermissionsByRole
	}
	equal("PERMISSIONS", got.Environment["PERMISSIONS"], decides)
	counts := config.LimitsByService
	if !slices.ContainsFunc(all, func(s api.Service) bool { return s.Name == tenantapi.Service.Name }) {
		counts = config.LimitsOff
	}
	equal("LIMITS", got.Environment["LIMITS"], counts)
}

// What deploy/ says is the catalog, too.
func TestDeploy_IsTheCatalog(t *testing.T) {
	t.Parallel()
	var listed []string
	for _, s := range catalog.Services {
		database := s.Database
		if database == "" {
			database = "-"
		}
		listed = append(listed, s.Name+" "+database)
	}
	if got := strings.Split(strings.TrimSpace(read(t, "deploy/services.txt")), "\n"); !slices.Equal(got, listed) {
		t.Errorf("deploy/services.txt has %q, want %q", got, listed)
	}
	type target struct {
		Targets []string
		Labels  map[string]string
	}
	scraped := map[string]string{}
	for _, job := range readYAML[struct {
		Jobs []struct {
			Static []target `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}](t, "deploy/prometheus.yml").Jobs {
		for _, s := range job.Static {
			scraped[s.Labels["service"]] = strings.Join(s.Targets, " ")
		}
	}
	want := map[string]string{}
	for _, s := range catalog.Services {
		want[s.Name] = fmt.Sprintf("127.0.0.1:%d", s.Port)
	}
	if !maps.Equal(scraped, want) {
		t.Errorf("deploy/prometheus.yml scrapes %v, want %v", scraped, want)
	}
}
