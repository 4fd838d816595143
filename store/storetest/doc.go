// Package storetest holds every kind of store to the promises of package
// store, and gives tests real stores to work with. Only tests import it.
//
//	storetest.Exercise(t, open)    the conformance suite: a new driver is one call
//	storetest.OpenSQLite(t)        an empty store of this test's own, ready for use
//	storetest.OpenPostgres(t)      the same on PostgreSQL, or the test is skipped
//	storetest.Postgres(t)          the PostgreSQL server of this test binary
//	storetest.NewCluster(t, …)     a PostgreSQL server of this test's own, to stop and start
//	storetest.NewSamples()         rows to store, with ascending IDs
//	storetest.Main(m)              for TestMain: ends the server, finds leaked goroutines
//
// A test on PostgreSQL takes the server that BELFRY_TEST_DATABASE_URL names, or
// else starts one of its own, once for the test binary, from the server's
// programs on this machine. Without either it is skipped, or fails when
// BELFRY_REQUIRE_POSTGRES is 1, so that a check that must run cannot be lost.
package storetest
