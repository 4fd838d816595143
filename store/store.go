// Package store says what Belfry needs of a database. Its children
// store/sqlite and store/postgres keep the same promises, and one conformance
// suite, storetest.Exercise, holds them to it.
//
// A store is dumb: it keeps rows and makes groups of changes atomic. Retry,
// validation, authorisation and classification live above it, once. The
// database is the truth; what actors hold in memory is a window on it.
//
//	apps            tenants and their settings
//	api_keys        who may call the API; hashes only
//	vapid_keys      an app's Web Push key pairs, one of them current
//	credentials     what an app proves itself with to APNs and FCM
//	subscriptions   where users can be reached; unique by (app, digest)
//	notifications   what was accepted; never updated
//	pending         a row exactly as long as work remains of a notification
//	deliveries      what became of it at each subscription; written once
//	idempotency_keys  what a request with such a key was answered, for a day
//	receipts        what devices said of deliveries
//	events          the apps' feeds of what happened, for some days
//	webhooks        where apps want their events sent
//	token_revocations  until when users' tokens are no longer taken
//
// Every method may be called from many goroutines. A method returns when its
// change is durable: it survives kill -9 and power loss. Times are kept to
// the millisecond and come back in UTC; an empty list or key comes back nil.
// Text is UTF-8 without zero bytes, checked above.
//
// Errors: ErrNotFound, ErrExists and ErrInUse are told apart by errors.Is;
// any other error means that the database could not do it now, and that
// nothing of the call was kept — unless the connection broke in the middle of
// a commit, when all or nothing of it was.
package store

import (
	"context"
	"errors"
	"time"

	"github.com/belfryhq/belfry/push"
)

// Errors that callers act upon.
var (
	// ErrNotFound: what the call names does not exist.
	ErrNotFound = errors.New("not found")
	// ErrExists: what the call would create exists already.
	ErrExists = errors.New("already exists")
	// ErrInUse: another process is active on this database, and this kind of
	// database has no standby.
	ErrInUse = errors.New("in use by another process")
)

// Store is all of it. The roles below are what parts of Belfry ask for.
type Store interface {
	Ownership
	Apps
	APIKeys
	VAPIDKeys
	Credentials
	Subscriptions
	Notifications
	Events
	Webhooks
	TokenRevocations
	Close() error
}

// Ownership sees to it that one process at a time dispatches from a store,
// and that its schema is the one this binary was built for.
type Ownership interface {
	// Acquire makes this process the active one. On SQLite it fails at once
	// with ErrInUse if another process is; on PostgreSQL it waits for the
	// other to go, as a hot standby, until ctx ends.
	Acquire(ctx context.Context) error

	// Lost is closed when an acquired ownership is no longer certain: the
	// connection that holds PostgreSQL's advisory lock broke. The process
	// must stop dispatching; until it does, its Commits fail from the moment
	// that another one has acquired and migrated. SQLite's file lock cannot be lost.
	Lost() <-chan struct{}

	// Migrate brings the schema up to date, forward only, under a lock so
	// that two processes never migrate at once. It returns how many
	// migrations it applied, and fails if the schema is newer than this binary.
	Migrate(ctx context.Context) (applied int, err error)

	// Ping answers whether the database can be reached now.
	Ping(ctx context.Context) error
}

// App is a tenant.
type App struct {
	Name         string   // 1–32 characters of a-z, 0-9 and '-'; never changes
	Origins      []string // web origins whose pages may register browsers, as in the Origin header
	VAPIDSubject string   // how push services reach the operator (RFC 8292 §2.1): a mailto: or https: URL
	PushHosts    []string // Web Push hosts of the operator's own network, "host" or "host:port", that its browsers may subscribe at
	TokenSecret  []byte   // signs user tokens (HS256), 32 bytes
	CreatedAt    time.Time
}

// Apps keeps tenants.
type Apps interface {
	// CreateApp adds an app; ErrExists if the name is taken.
	CreateApp(ctx context.Context, app App) error
	// GetApp finds an app by name; ErrNotFound.
	GetApp(ctx context.Context, name string) (App, error)
	// UpdateApp replaces Origins, VAPIDSubject and PushHosts; ErrNotFound.
	UpdateApp(ctx context.Context, app App) error
	// UpdateTokenSecret replaces TokenSecret alone; ErrNotFound. What it was
	// may be found in the database's free space and log until they are used again.
	UpdateTokenSecret(ctx context.Context, app App) error
	// ListApps gives all apps by name.
	ListApps(ctx context.Context) ([]App, error)
}

// APIKey lets a program call the API. The key itself is never stored: it is
// 256 random bits, so its plain SHA-256 is enough.
type APIKey struct {
	ID        string // names the key in listings: 12 hexadecimal digits
	App       string
	Name      string   // what it is for, in the operator's words; may be empty
	Hash      [32]byte // SHA-256 of the key
	Scopes    []string // what it may do: send, subscribe, read, admin
	Rate      int      // notifications and other requests a second; 0 for no limit of its own
	CreatedAt time.Time
}

// APIKeys keeps API keys.
type APIKeys interface {
	// CreateAPIKey adds a key; ErrExists if its hash or ID is there already,
	// ErrNotFound if its app is not.
	CreateAPIKey(ctx context.Context, key APIKey) error
	// FindAPIKey finds a key by its hash; ErrNotFound.
	FindAPIKey(ctx context.Context, hash [32]byte) (APIKey, error)
	// ListAPIKeys gives the keys of one app, oldest first.
	ListAPIKeys(ctx context.Context, app string) ([]APIKey, error)
	// ReplaceAPIKey adds a key and revokes another of the same app, in one
	// transaction; ErrNotFound if there is no such other, ErrExists as CreateAPIKey.
	ReplaceAPIKey(ctx context.Context, old string, key APIKey) error
	// DeleteAPIKey revokes a key of one app; ErrNotFound.
	DeleteAPIKey(ctx context.Context, app, id string) error
}

// VAPIDKey is one key pair that identifies an app to Web Push services
// (RFC 8292). A subscription is bound to the key it was made with.
type VAPIDKey struct {
	App       string
	Public    []byte // 65 bytes, uncompressed P-256 point
	Private   []byte // 32 bytes, big-endian scalar
	CreatedAt time.Time
}

// VAPIDKeys keeps VAPID key pairs. The newest of an app is the current one.
type VAPIDKeys interface {
	// CreateVAPIDKey adds a key pair; ErrExists if the app has this one,
	// ErrNotFound if there is no such app.
	CreateVAPIDKey(ctx context.Context, key VAPIDKey) error
	// UpdateVAPIDKey replaces Private, the form in which it is kept, of the
	// app's key pair with this Public; ErrNotFound. See UpdateTokenSecret.
	UpdateVAPIDKey(ctx context.Context, key VAPIDKey) error
	// ListVAPIDKeys gives an app's key pairs, the newest first.
	ListVAPIDKeys(ctx context.Context, app string) ([]VAPIDKey, error)
}

// Credential is what an app proves itself with to APNs or FCM.
type Credential struct {
	App       string
	Name      string    // 1–32 characters of a-z, 0-9 and '-'; names it within the app
	Kind      push.Kind // APNs or FCM
	Settings  []byte    // JSON: what may be shown of it; comes back byte for byte
	Secret    []byte    // the key itself
	CreatedAt time.Time // when it was given, or replaced last
}

// Credentials keeps what apps prove themselves with.
type Credentials interface {
	// PutCredential adds a credential, or replaces the app's of that name;
	// ErrNotFound if there is no such app.
	PutCredential(ctx context.Context, credential Credential) (created bool, err error)
	// ListCredentials gives an app's credentials by name.
	ListCredentials(ctx context.Context, app string) ([]Credential, error)
	// DeleteCredential removes a credential; ErrNotFound.
	DeleteCredential(ctx context.Context, app, name string) error
}

// Subscriptions keeps where users can be reached.
type Subscriptions interface {
	// PutSubscription registers a subscription, unique by (app, digest).
	//
	// New: the row is inserted, with the Rest given. Known and of the same user:
	// the keys, VAPIDKey, Topic, Environment, Project, RegisteredAt, SeenAt and ExpiresAt are
	// replaced, CreatedAt and Rest stay, and so does KeyMismatch unless the keys
	// or VAPIDKey are others than before. Known and of another user: it moves, as
	// if made anew; the answer names who had it.
	PutSubscription(ctx context.Context, sub push.Subscription) (Put, error)

	// ReplaceSubscription registers sub and removes the same user's
	// subscription old, in one transaction: a browser got a new endpoint.
	// ErrNotFound if old does not exist or is another user's; then nothing changes.
	ReplaceSubscription(ctx context.Context, old push.Digest, sub push.Subscription) (Put, error)

	// ListSubscriptions gives the subscriptions of the users, in the order of
	// CreatedAt and then Digest, in one query. Users without any are absent.
	ListSubscriptions(ctx context.Context, users []push.User) (map[push.User][]push.Subscription, error)

	// DeleteSubscription removes a user's subscription; ErrNotFound if that
	// user has none with this digest.
	DeleteSubscription(ctx context.Context, user push.User, digest push.Digest) error

	// DeleteUnused removes at most limit subscriptions that were seen last
	// before the given time, and returns them. It reads all subscriptions:
	// for now and then.
	DeleteUnused(ctx context.Context, before time.Time, limit int) ([]push.Subscription, error)
}

// Put tells what PutSubscription did.
type Put struct {
	Created   bool      // the digest was new to the app
	MovedFrom string    // the id of the user who had it; empty if none or the same
	CreatedAt time.Time // of the row as it is now

	KeyMismatch bool // of the row as it is now
}

// Notifications keeps what was accepted and what became of it.
type Notifications interface {
	// Commit makes one group of changes durable, all or nothing.
	Commit(ctx context.Context, group Group) error

	// LastID gives the newest notification's ID, or the zero ID.
	LastID(ctx context.Context) (push.ID, error)

	// ListPending gives notifications with work left that are not parked, by
	// ascending ID: those of the shards in the range with after < ID <= upTo,
	// at most limit.
	ListPending(ctx context.Context, shards push.ShardRange, after, upTo push.ID, limit int) ([]Pending, error)

	// ListPendingOf gives one user's notifications with work left that are not
	// parked, and after < ID <= upTo, by ascending ID, at most limit.
	ListPendingOf(ctx context.Context, user push.User, after, upTo push.ID, limit int) ([]Pending, error)

	// ListDue gives parked notifications of the shards in the range that are
	// due: after < (Until, ID) and Until <= upTo, in the order of Until and
	// then ID, at most limit.
	ListDue(ctx context.Context, shards push.ShardRange, after Parking, upTo time.Time, limit int) ([]Due, error)

	// ListDueOf gives of each user the parked notifications with Until <= upTo
	// and after < ID, by ascending ID, at most limit of each. Users without
	// any are absent.
	ListDueOf(ctx context.Context, users []UserAfter, upTo time.Time, limit int) (map[push.User][]Pending, error)

	// NextDue gives the earliest Until after the given time of the shards'
	// parked notifications, or the zero time.
	NextDue(ctx context.Context, shards push.ShardRange, after time.Time) (time.Time, error)

	// CountPending counts the notifications with work left. It reads them all:
	// for now and then.
	CountPending(ctx context.Context) (int, error)

	// GetNotification gives one notification of an app, its final deliveries by
	// DoneAt, and the receipts of them; ErrNotFound.
	GetNotification(ctx context.Context, app string, id push.ID) (Record, error)

	// ListRecent gives a user's newest notifications, the newest first, at most
	// limit. Where they cannot be found by their user it looks at no more than
	// the newest of all, so it may miss older ones: see Recent.
	ListRecent(ctx context.Context, user push.User, limit int) (Recent, error)

	// FindIdempotencyKey finds what a request with this key was answered;
	// ErrNotFound.
	FindIdempotencyKey(ctx context.Context, app, key string) (IdempotencyKey, error)

	// DeleteUser forgets a user: subscriptions, notifications, pending work,
	// deliveries, receipts and events, those too that name the user as who had a
	// subscription before, in one transaction. It returns how many subscriptions and
	// notifications there were; forgetting an unknown user is no error.
	DeleteUser(ctx context.Context, user push.User) (Forgotten, error)

	// Maintain does the housekeeping that is due at now: it removes at most
	// limit notifications accepted before the given time, by the clock in their
	// IDs, that have no pending row, with their deliveries and receipts, and at
	// most limit events older than the other, by the clock in theirs; and it makes
	// room for new ones. Where a past day can be removed as a whole it is,
	// whatever the limit, and events may stay until theirs can. It returns how many
	// it removed in all; call it again while that is limit or more.
	Maintain(ctx context.Context, now time.Time, before Before, limit int) (removed int, err error)
}

// Before says up to when things are old.
type Before struct {
	Notifications time.Time
	Events        time.Time
}

// Group is what one Commit writes. Rows are written in the order of the
// fields, so a delivery and its notification may stand in one group.
type Group struct {
	// Accepted adds each notification and its pending row, parked until SendAt
	// if it has one. With an ID that exists already nothing of the group is
	// written: ErrExists.
	Accepted []push.Notification

	// Keys adds idempotency keys. One that exists already is ErrExists and
	// nothing is written.
	Keys []IdempotencyKey

	// Deliveries adds final deliveries. One whose notification is no longer
	// pending, or that was written before, is passed over.
	Deliveries []push.Delivery

	// Gone removes subscriptions that the push service declared over. One that
	// does not exist, was registered anew meanwhile, or belongs to another user by
	// now, is passed over.
	Gone []SubscriptionGone

	// Rests notes of subscriptions that they rest, or with the zero Rest that
	// they no longer do. Of several for one subscription the last counts. One
	// that does not exist, or belongs to another user by now, is passed over.
	Rests []SubscriptionRest

	// Seen sets SeenAt of subscriptions that are seen to be alive. One that
	// does not exist, or belongs to another user by now, is passed over.
	Seen []SubscriptionSeen

	// Mismatched sets KeyMismatch of subscriptions. One that does not exist, or
	// belongs to another user by now, is passed over.
	Mismatched []UserSubscription

	// Parked parks notifications. Of several for one notification the last
	// counts. One that is not pending is passed over.
	Parked []Parking

	// Finished removes the pending rows of notifications whose last delivery
	// is final. One that does not exist is passed over.
	Finished []push.ID

	// Receipts adds what devices said. One that is there already, or whose
	// notification is not kept, is passed over.
	Receipts []push.Receipt

	// Events adds to the feeds. One of a notification that is not kept is passed
	// over. With an ID that its app's feed has already nothing of the group is
	// written: ErrExists.
	Events []push.Event

	// Webhooks notes how far webhooks are. One that does not exist, or was made
	// anew meanwhile, is passed over.
	Webhooks []WebhookProgress
}

// SubscriptionGone is a subscription that is over, as it was registered when
// that was found out.
type SubscriptionGone struct {
	UserSubscription
	RegisteredAt time.Time
}

// SubscriptionRest is how a subscription rests, as long as it is this user's.
type SubscriptionRest struct {
	UserSubscription
	Rest push.Rest
}

// SubscriptionSeen is when a subscription was seen, as long as it is this user's.
type SubscriptionSeen struct {
	UserSubscription
	At time.Time
}

// Parking is a notification that waits in the store and nowhere else: there is
// nothing to do about it before Until.
type Parking struct {
	Notification push.ID
	Until        time.Time
}

// Due is a parked notification whose time has come.
type Due struct {
	Parking
	User push.User
}

// UserAfter names the place of a reader in a user's notifications.
type UserAfter struct {
	User  push.User
	After push.ID
}

// UserSubscription names a subscription as long as it is this user's.
type UserSubscription struct {
	User   push.User
	Digest push.Digest
}

// Pending is a notification with work left.
type Pending struct {
	Notification push.Notification
	Done         []push.Digest // the subscriptions whose delivery is final
}

// Record is a notification and what is known to have become of it.
type Record struct {
	Notification push.Notification
	Pending      bool // work is left
	Deliveries   []push.Delivery
	Receipts     []push.Receipt // by At
}

// Recent is what ListRecent found.
type Recent struct {
	IDs   []push.ID
	Since time.Time // it looked no further back than this, and may have missed older ones; zero if it missed none
}

// Forgotten counts what DeleteUser removed.
type Forgotten struct {
	Subscriptions int
	Notifications int
}

// IdempotencyAge is how long an idempotency key is kept, at least: Maintain
// removes older ones.
const IdempotencyAge = 24 * time.Hour

// IdempotencyKey remembers what a request was answered, for the client that
// sends it again because it did not get the answer.
type IdempotencyKey struct {
	App       string
	Key       string    // the client's choice, 1–255 bytes
	Request   [32]byte  // SHA-256 of the request, to tell another one with the same key
	IDs       []push.ID // the answer: the notifications, in the order of the request
	CreatedAt time.Time
}

// Events keeps the apps' feeds.
type Events interface {
	// ListEvents gives an app's events with after < ID <= upTo, by ascending ID,
	// at most limit.
	ListEvents(ctx context.Context, app string, after, upTo push.ID, limit int) ([]push.Event, error)

	// ListAttempts gives the events of type retrying and refused of one
	// notification, by ID: the attempts that were not the last. At most 1,000,
	// the newest.
	ListAttempts(ctx context.Context, app string, notification push.ID) ([]push.Event, error)

	// LastEvent gives the newest event's ID, or the zero ID.
	LastEvent(ctx context.Context) (push.ID, error)
}

// Webhook is where an app wants its events sent.
type Webhook struct {
	App       string
	Name      string // 1–32 characters of a-z, 0-9 and '-'; names it within the app
	URL       string
	Types     []push.EventType // what is sent; empty for all
	Private   bool             // it may lead into the operator's own network
	Secret    []byte           // signs what is sent, 24 to 64 bytes (Standard Webhooks)
	CreatedAt time.Time        // when it was given, or replaced last
	After     push.ID          // every event up to here was taken, or is given up
	UpTo      push.ID          // what is being sent goes up to here; zero if nothing is
	Ended     string           // why nothing is sent any more; empty while it is
}

// WebhookProgress is how far a webhook is, as long as it is the one that was
// made then.
type WebhookProgress struct {
	App       string
	Name      string
	CreatedAt time.Time
	After     push.ID
	UpTo      push.ID
	Ended     string
}

// Webhooks keeps where apps want their events sent.
type Webhooks interface {
	// PutWebhook adds a webhook, or replaces the app's of that name but for
	// its After and UpTo, which stay, and its Ended, which ends; ErrNotFound if
	// there is no such app.
	PutWebhook(ctx context.Context, webhook Webhook) (created bool, err error)
	// ListWebhooks gives an app's webhooks by name.
	ListWebhooks(ctx context.Context, app string) ([]Webhook, error)
	// DeleteWebhook removes a webhook; ErrNotFound.
	DeleteWebhook(ctx context.Context, app, name string) error
}

// TokenRevocations keeps until when users' tokens are no longer taken.
type TokenRevocations interface {
	// RevokeTokens ends a user's tokens that were made up to then, to the
	// millisecond. An earlier time than the one that is kept changes nothing.
	RevokeTokens(ctx context.Context, user push.User, upTo time.Time) error
	// TokensRevoked gives the time up to which a user's tokens have ended, or
	// the zero time.
	TokensRevoked(ctx context.Context, user push.User) (time.Time, error)
}
