package config

import (
	"reflect"
	"testing"
)

func TestSeveralServers(t *testing.T) {
	cluster := []string{"10.0.0.1:6379", "[::1]:6380"}
	sentinel := &Sentinel{Master: "m", Addresses: []string{"s1:26379"}}
	for _, c := range []struct {
		name, file, where string
		redis             Redis
		encrypted         bool
	}{
		{"cluster", "redis {\ncluster { addresses = [\"10.0.0.1:6379\", \"[::1]:6380\"] }\n}", "cluster 10.0.0.1:6379, [::1]:6380",
			Redis{Cluster: cluster}, false},
		{"sentinels", `redis {
			sentinel {
				master = "m"
				addresses = ["s1:26379"]
			}
		}`, `master "m" of sentinels s1:26379`, Redis{Sentinel: sentinel}, false},
		{"sentinels, as somebody, with TLS", `redis {
			username = "me"
			tls { server_name = "redis" }
			sentinel {
				master = "m"
				addresses = ["s1:26379"]
			}
		}`, `master "m" of sentinels s1:26379`, Redis{Username: "me", TLS: &TLS{ServerName: "redis"}, Sentinel: sentinel}, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := mustLoad(t, c.file).Redis
			if !reflect.DeepEqual(got, c.redis) || got.Where() != c.where || got.Encrypted() != c.encrypted {
				t.Errorf("%#v %+v, %q, encrypted: %v", got, got.Sentinel, got.Where(), got.Encrypted())
			}
		})
	}
}
