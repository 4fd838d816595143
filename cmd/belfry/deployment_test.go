package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const unitFile = "../../docs/belfry.service"

func readText(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	require.NoError(t, err)
	return string(text)
}

// Whatever stops it waits until it has drained.
func TestDeployment_LeavesTimeToDrain(t *testing.T) {
	for path, setting := range map[string]*regexp.Regexp{
		unitFile:                   regexp.MustCompile(`(?m)^TimeoutStopSec=(\w+)$`),
		"../../docker-compose.yml": regexp.MustCompile(`(?m)^ *stop_grace_period: (\w+)$`),
	} {
		found := setting.FindStringSubmatch(readText(t, path))
		require.NotNil(t, found, path)
		given, err := time.ParseDuration(found[1])
		require.NoError(t, err)
		require.Greater(t, given, drainTimeout+2*closeTimeout+time.Second, path)
	}
}

// docker stop waits for ten seconds if nobody says otherwise.
func TestDeployment_StopsBeforeDockerKills(t *testing.T) {
	require.Less(t, drainTimeout+2*closeTimeout, 10*time.Second)
}

// What the examples set is read by the program.
func TestDeployment_SetsWhatThereIs(t *testing.T) {
	var sources strings.Builder
	files, err := filepath.Glob("*.go")
	require.NoError(t, err)
	for _, file := range files {
		sources.WriteString(readText(t, file))
	}
	for _, path := range []string{unitFile, "../../docker-compose.yml", "../../Dockerfile"} {
		for _, name := range regexp.MustCompile(`BELFRY_[A-Z_]+`).FindAllString(readText(t, path), -1) {
			require.Regexp(t, `env:"(BELFRY_[A-Z_]+,)?`+name+`[",]`, sources.String(), "%s has %s", path, name)
		}
	}
}

// The dashboard shows restarts by process_start_time_seconds, which is reckoned from
// /proc/stat; and what a listener's queue holds stands in /proc/sys.
func TestDeployment_TheUnitLeavesTheProcessWhatItReadsOfTheMachine(t *testing.T) {
	require.Contains(t, readText(t, "../../docs/grafana-dashboard.json"), "process_start_time_seconds")
	require.NotContains(t, readText(t, unitFile), "ProcSubset=pid")
}

func TestDeployment_TheUnitIsOneAndShutsTheServiceIn(t *testing.T) {
	analyze, err := exec.LookPath("systemd-analyze")
	if err != nil {
		t.Skip("systemd-analyze is not installed")
	}
	unit := filepath.Join(t.TempDir(), "belfry.service")
	text := strings.Replace(readText(t, unitFile), "/usr/local/bin/belfry serve", "/bin/true", 1) // it is not installed here
	require.NoError(t, os.WriteFile(unit, []byte(text), 0o644))
	out, err := exec.Command(analyze, "verify", unit).CombinedOutput()
	require.NoError(t, err, "%s", out)
	require.NotContains(t, string(out), "belfry.service", "a warning")
	out, err = exec.Command(analyze, "security", "--offline=true", "--threshold=15", unit).CombinedOutput()
	require.NoError(t, err, "%s", out)
}
