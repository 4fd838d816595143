// Package actors is Belfry's supervision tree: it takes notifications in,
// keeps them durable, carries each to every subscription of its user, and
// records what became of it. Others see only System.
//
//	belfry                             root.go          who restarts whom, how often, and what then
//	├─ journal                         journal.go       group commit of accepted work and of outcomes
//	├─ lanes                           lanes.go         finds or spawns a lane
//	│  └─ <app>:<kind>:<host>          lane.go          the way to one push host: permits, breaker, pause; carries the sends
//	│                                                   (APNs: <app>:apns:<topic>@<host>, FCM: <app>:fcm:<project>@<host>)
//	├─ registry                        registry.go      one supervisor over the shard ranges
//	│  └─ <range>                      shards.go        finds or spawns users; refills from the store; lets idle users go
//	│     └─ <app>:<user>              user.go          caches subscriptions, fans out, keeps order, completes
//	│        └─ <kind>-<digest>        subscription.go  one endpoint: its queue, one in flight, retry, gone
//	├─ janitor                         janitor.go       retention, unused subscriptions, sweep
//	└─ webhooks                        webhooks.go      an actor for every webhook in the store
//	   └─ <app>:<name>                 webhook.go       sends an app's events to a URL, in order
//
// messages.go is the whole protocol, supervisor.go what the root and the registry are made of, guest.go
// how a parent sees a child that comes and goes, gate.go how a lane learns from its results, caches.go how
// subscriptions are read for all ranges together, mailbox.go and workers.go what actors run on. What is too
// much for one file stands beside it: journal_group.go what is one transaction, journal_events.go what
// becomes an event in an app's feed, shards_window.go how work comes in, shards_due.go how parked work
// comes back, shards_inspect.go how a range shows its users, user_rest.go how a user leaves a subscription
// alone that fails, *_crash.go what happens then, webhook_parcel.go what a webhook sends at a time, webhook_call.go how.
//
// What others ask of System, and what it asks of them: notify.go, cancel.go, change.go, feed.go, receipts.go
// and caller.go; and, to look at it, events.go, inspect.go, overview.go, figures.go and health.go.
//
// # The path of a notification
//
// System.Notify asks the journal, which gathers what waits into one
// transaction. Once it is committed the caller has its answer, and the
// notification goes to the actor that owns its user's shard, in the order of
// the IDs. That actor holds a bounded window of work; beyond it, work stays in the
// store and is read back in order. The user fans out to one actor per
// subscription. That one hands a message to the lane of its push host, one at
// a time, and waits, retries or concludes by the outcome. If the next attempt is
// far off, the subscription rests and its work is parked in the store: nothing of
// it stays in memory. Conclusions go to the journal, which writes them in groups
// and removes the pending row with the last of them.
//
// # What holds
//
//   - The store is the truth. Whatever an actor held in memory comes again from
//     the pending rows: after a crash of the process, of a user or of a shard
//     range. A send whose conclusion was not yet committed may then repeat, with
//     the same Topic, so that it replaces the first.
//   - Per subscription, notifications go out in the order of their IDs, one in
//     flight. Between subscriptions none waits for another.
//   - An event is in the feed if and only if what it tells of is in the store; the
//     order of the feed is the order of the commits. Only what changes
//     subscriptions from outside is told afterwards.
//   - Nothing is lost by letting an actor go: a parent counts what it sent to a
//     child, and stops it only after the child answered that it handled as many
//     and has nothing left. What arrives meanwhile waits for the child's next
//     generation, which bears a new name (<name>.<generation>).
//   - A webhook gets its app's events in their order, one parcel of them in flight. What
//     a parcel holds is noted before it is sent, so the same events come again with
//     the same ID. Deliveries wait for no webhook.
//   - No Receive blocks. SQL and HTTP run in goroutines that send their result
//     back as a message.
//   - An expected failure is a value (push.Result). A panic is a bug, and only
//     then does supervision act.
//
// # Who restarts whom
//
//	belfry        rest for one: a fixed child and those after it, which depend on it,
//	              start anew under the same names after a growing pause; after too many
//	              failures in a row the root gives up and System.Done is closed
//	registry      one for one: a shard range starts anew and reads its work from the store
//	<range>       a user is stopped; its next generation gets its work from the store
//	<user>        a subscription is stopped; its next generation gets its work from the user;
//	              a notification that keeps failing there is rejected, with that reason
//	lanes         one for one: a lane answers what it held with Retry and starts anew
//	webhooks      a webhook is stopped; its next generation gets its work from the store. However often
//	              they fail themselves, the root does not give up: deliveries do without them
//
// Only this package imports protoactor-go. Not used of it, because measured to lose messages or
// to race: ReceiveTimeout, Stash, bounded mailboxes, Poison, its back-off strategy and
// dead letters as a detector of loss; nor, because measured to cost a fifth of the time and a third of the
// memory, its dispatcher and mailbox.
package actors
