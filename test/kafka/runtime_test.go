package kafka_test

import (
	"os"
	"os/exec"
	"strings"
	"testing"

	"github.com/decodersring/decoder/test/kafka"
)

// TestTheRuntimesSuiteOnKafka runs the tests of the bus, of the runtime, of
// dead letters and of reruns, which run on the embedded log by themselves, on
// Apache Kafka.
func TestTheRuntimesSuiteOnKafka(t *testing.T) {
	c := kafka.Start(t, kafka.Options{Settings: kafka.LargeMessages(), Java: []string{
		"-Xms64m", "-Xmx768m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", // the largest mail, several times over
	}})
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-p=1", "-timeout=8m", "./internal/bus", "./internal/client/...")
	cmd.Dir = "../.."
	cmd.Env = append(os.Environ(), "DECODER_TEST_BROKERS="+strings.Join(c.Brokers(), ","))
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Errorf("%v\n%s", err, out[max(len(out)-64<<10, 0):])
	}
}
