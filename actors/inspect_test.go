package actors

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/belfryhq/belfry/push"
	"github.com/stretchr/testify/require"
)

var update = flag.Bool("update", false, "write testdata anew")

// The tree that doc.go draws is the tree that runs.
func TestTree_IsAsDrawn(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "works")
		r.subscribe("ann", "waits")
		r.service.script("waits", retryAfter(time.Minute))
		r.notify("ann")
		r.settle()
		drawn := draw(r, "/", "")
		if *update {
			require.NoError(t, os.WriteFile("testdata/tree.golden", []byte(drawn), 0o644))
		}
		golden, err := os.ReadFile("testdata/tree.golden")
		require.NoError(t, err)
		require.Equal(t, string(golden), drawn)
	})
}

func draw(r *rig, path, indent string) string {
	page := r.inspect(path)
	name := path[strings.LastIndexByte(path, '/')+1:]
	out := fmt.Sprintf("%s%s (%s)\n", indent, orRoot(name), page.Node.Kind)
	for _, child := range page.Children {
		out += draw(r, child.Path, indent+"  ")
	}
	return out
}

func orRoot(name string) string {
	if name == "" {
		return "/"
	}
	return name
}

func TestInspect_Pages(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t, func(c *Config) { c.Ranges = 1 })
		var users []string
		for i := range 25 {
			users = append(users, fmt.Sprintf("user-%02d", i))
		}
		r.notify(users...)
		r.settle()
		var seen []string
		after := ""
		for {
			page, err := r.Inspect(t.Context(), "/registry/0", after, 10)
			require.NoError(t, err)
			require.Equal(t, 25, page.Node.Children)
			for _, child := range page.Children {
				seen = append(seen, strings.TrimPrefix(child.Path, "/registry/0/default:"))
			}
			if after = page.Next; after == "" {
				break
			}
		}
		require.Equal(t, users, seen)
	})
}

func TestInspect_FindsAUserWhateverItIsCalled(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for _, id := range []string{"a/b", "a.b.7", "ünï çødé", "100%", "mail@host", ":", "a?b#c", strings.Repeat("x", push.MaxUserBytes)} {
			r.subscribe(id, "browser-of-"+userName(userNamed(id)))
			r.notify(id)
			r.settle()
			require.Equal(t, "user", r.inspect(r.pathOfUser(id)).Node.Kind, id)
		}
		time.Sleep(2 * time.Minute) // and each finds its way out
		for _, child := range r.inspect("/registry").Children {
			require.Zero(t, child.Children, child.Path)
		}
	})
}

func TestInspect_UnknownPath(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		for _, path := range []string{"/nowhere", "/registry/99", "/journal/x", "/registry/0/default:ann"} {
			_, err := r.Inspect(t.Context(), path, "", 1)
			require.ErrorIs(t, err, ErrNoActor, path)
		}
	})
}

func TestInspect_ShowsWhatIsQueuedAndInFlight(t *testing.T) {
	bubble(t, func(t *testing.T) {
		r := newRig(t)
		r.subscribe("ann", "laptop")
		hold := make(chan struct{})
		r.service.script("laptop", answer{hold: hold})
		for range 3 {
			r.notify("ann")
		}
		r.settle()
		sub := r.inspect(r.pathOfUser("ann")).Children[0]
		require.Equal(t, "sending", sub.State)
		require.Equal(t, 2, sub.Queue)
		require.Equal(t, 1, sub.InFlight)
		lane := r.inspect("/lanes").Children[0]
		require.Equal(t, "/lanes/default:webpush:push.example", lane.Path)
		require.Equal(t, 1, lane.InFlight)
		close(hold)
	})
}
