// Package push holds Belfry's words: what a notification, a subscription, a
// delivery and an outcome are, and the one interface behind which every push
// service stands.
//
// It imports the standard library alone, and every other package may import
// it, so no import cycle can form. It holds no I/O, no clock and no state: its
// values are data that any goroutine may read once they are made.
//
//	app            a tenant; it owns users, subscriptions, keys
//	user           an opaque id that the application chose
//	subscription   one place a user can be reached; identity is its digest
//	notification   what the application asked for, for one user; immutable
//	delivery       what became of one notification at one subscription
//	outcome        what one attempt to send came to
//
// The order of a user's notifications is the order of their IDs.
package push
