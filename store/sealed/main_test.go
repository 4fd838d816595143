package sealed

import (
	"testing"

	"github.com/belfryhq/belfry/store/storetest"
)

func TestMain(m *testing.M) { storetest.Main(m) }
