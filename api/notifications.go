package api

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const (
	usersMax          = 1000                   // users in one request
	actionsMax        = 8                      // actions of one notification
	collapseKeyMax    = 255                    // bytes
	idempotencyKeyMax = 255                    // bytes
	ttlDefault        = 24 * time.Hour         // when the request does not say
	ttlMax            = 4 * 7 * 24 * time.Hour // what push services keep at most
	sendAtMax         = 30 * 24 * time.Hour    // how far ahead
)

// CreateNotifications accepts a notification for each user named.
func (s *Server) CreateNotifications(ctx context.Context, request CreateNotificationsRequestObject) (CreateNotificationsResponseObject, error) {
	users, err := usersOf(request.Body)
	if err != nil {
		return nil, err
	}
	if err := chargeKey(ctx, len(users)); err != nil {
		return nil, err
	}
	app, err := s.tenantOf(ctx)
	if err != nil {
		return nil, err
	}
	template, err := s.draftOf(app, request.Body)
	if err != nil {
		return nil, err
	}
	drafts := make([]actors.Draft, len(users))
	for i, user := range users {
		drafts[i] = template
		drafts[i].User = push.User{App: app.Name, ID: user}
	}
	key, err := keyOf(app.Name, request.Params.IdempotencyKey, request.Body)
	if err != nil {
		return nil, err
	}
	ids, err := s.notify(ctx, key, drafts)
	if err != nil {
		return nil, err
	}
	return CreateNotifications202JSONResponse(acceptance(drafts, ids)), nil
}

func (s *Server) notify(ctx context.Context, key *actors.Key, drafts []actors.Draft) ([]push.ID, error) {
	if trace := callerOf(ctx).trace; trace != nil {
		for i := range drafts {
			drafts[i].Trace = trace
		}
	}
	if key == nil {
		return s.config.System.Notify(drafts)
	}
	ids, err := s.config.System.NotifyOnce(ctx, *key, drafts)
	if err == nil && len(ids) != len(drafts) {
		return nil, actors.ErrKeyReused // by a version that judged the same request otherwise
	}
	return ids, err
}

// keyOf gives the request's idempotency key, or nil if it has none.
func keyOf(app, key string, body any) (*actors.Key, error) {
	if key == "" {
		return nil, nil
	}
	if len(key) > idempotencyKeyMax || !utf8.ValidString(key) || strings.ContainsFunc(key, unicode.IsControl) {
		return nil, invalid("Idempotency-Key", "The Idempotency-Key is too long or is not plain text. Use 1 to %d bytes, such as a UUID.", idempotencyKeyMax)
	}
	canonical, err := json.Marshal(body)
	if err != nil {
		return nil, invalidJSON("The request's body cannot be read: " + err.Error() + ".")
	}
	return &actors.Key{App: app, Key: key, Request: sha256.Sum256(canonical)}, nil
}

func acceptance(drafts []actors.Draft, ids []push.ID) AcceptedNotifications {
	answer := AcceptedNotifications{Notifications: make([]AcceptedNotification, len(ids))}
	for i, id := range ids {
		answer.Notifications[i] = AcceptedNotification{Id: id.String(), User: drafts[i].User.ID}
	}
	return answer
}

func usersOf(body *NewNotifications) ([]string, error) {
	switch {
	case body.User != "" && body.Users != nil:
		return nil, invalid("users", "Both user and users are given. Give one of them.")
	case body.User == "" && len(body.Users) == 0:
		return nil, invalid("user", "Neither user nor users says whom to notify. Give one of them.")
	case len(body.Users) > usersMax:
		return nil, invalid("users", "users has %d entries. Send to at most %d at a time.", len(body.Users), usersMax)
	case body.User != "":
		return []string{body.User}, checkUser("user", body.User)
	}
	first := make(map[string]int, len(body.Users))
	for i, user := range body.Users {
		field := fmt.Sprintf("users[%d]", i)
		if err := checkUser(field, user); err != nil {
			return nil, err
		}
		if before, repeated := first[user]; repeated {
			return nil, invalid(field, "%s repeats users[%d]. Name each user once.", field, before)
		}
		first[user] = i
	}
	return body.Users, nil
}

func checkUser(field, user string) error {
	if push.ValidUserID(user) {
		return nil
	}
	return invalid(field, "%s is not a user id. Use 1 to %d bytes of UTF-8 without control characters, other than one dot, two dots or a slash alone.", field, push.MaxUserBytes)
}

// draftOf checks the request and gives the draft for each of its users.
func (s *Server) draftOf(app tenant, body *NewNotifications) (actors.Draft, error) {
	content, err := contentOf(body)
	if err != nil {
		return actors.Draft{}, err
	}
	native, err := nativeOf(body)
	if err != nil {
		return actors.Draft{}, err
	}
	draft := actors.Draft{Content: content, Native: native, TTL: ttlDefault, CollapseKey: body.CollapseKey}
	if body.Ttl != nil {
		draft.TTL = time.Duration(*body.Ttl) * time.Second
		if *body.Ttl < 1 || *body.Ttl > int(ttlMax/time.Second) {
			return actors.Draft{}, invalid("ttl", "ttl is %d seconds. Use 1 to %d.", *body.Ttl, int(ttlMax/time.Second))
		}
	}
	if body.SendAt != "" {
		if draft.SendAt, err = time.Parse(time.RFC3339, body.SendAt); err != nil {
			return actors.Draft{}, invalid("send_at", "%q is not a time as in RFC 3339. Write it like 2026-03-01T09:00:00Z or 2026-03-01T10:00:00+01:00.", body.SendAt)
		}
		if time.Until(draft.SendAt) > sendAtMax {
			return actors.Draft{}, invalid("send_at", "send_at is more than 30 days ahead. Use an earlier time, or send it then.")
		}
	}
	if body.Urgency != "" {
		if draft.Urgency, err = push.ParseUrgency(body.Urgency); err != nil {
			return actors.Draft{}, invalid("urgency", "%s.", err)
		}
	}
	if len(body.CollapseKey) > collapseKeyMax || strings.ContainsFunc(body.CollapseKey, unicode.IsControl) {
		return actors.Draft{}, invalid("collapse_key", "collapse_key is too long or has control characters. Use at most %d bytes.", collapseKeyMax)
	}
	return draft, s.checkDraft(app, draft)
}

// checkDraft tells whether every kind of push service that the app sends with
// would take it.
func (s *Server) checkDraft(app tenant, draft actors.Draft) error {
	n := push.Notification{Content: draft.Content, Native: draft.Native, Urgency: draft.Urgency, CollapseKey: draft.CollapseKey}
	for _, kind := range app.kinds {
		if err := s.config.Checkers[kind].CheckNotification(n); err != nil {
			return err
		}
	}
	return nil
}

// contentOf encodes what the user gets to see, if it fits into a push message.
func contentOf(body *NewNotifications) ([]byte, error) {
	if strings.TrimSpace(body.Title) == "" {
		return nil, invalid("title", "title is missing or empty. A notification needs one.")
	}
	content := push.Content{
		Title: body.Title, Body: body.Body, URL: body.Url, Tag: body.Tag,
		Icon: body.Icon, Image: body.Image, Badge: body.Badge,
	}
	if string(body.Data) != "null" {
		content.Data = body.Data
	}
	receipts, err := receiptsOf(body.Receipts)
	if err != nil {
		return nil, err
	}
	content.Receipts = receipts
	urls := map[string]string{"url": body.Url, "icon": body.Icon, "image": body.Image, "badge": body.Badge}
	if len(body.Actions) > actionsMax {
		return nil, invalid("actions", "There are %d actions. Give at most %d.", len(body.Actions), actionsMax)
	}
	for i, action := range body.Actions {
		field := fmt.Sprintf("actions[%d]", i)
		if action.Action == "" || action.Title == "" {
			return nil, invalid(field, "%s needs both action, its name, and title, its text.", field)
		}
		urls[field+".url"], urls[field+".icon"] = action.Url, action.Icon
		content.Actions = append(content.Actions, push.Action{Action: action.Action, Title: action.Title, URL: action.Url, Icon: action.Icon})
	}
	for field, value := range urls {
		if !openable(value) {
			return nil, invalid(field, "%s is not a URL that can be opened. Use an absolute http or https URL, or a path that begins with one slash.", field)
		}
	}
	encoded, err := content.Encode()
	if err != nil {
		return nil, invalid("data", "data is not valid JSON.")
	}
	return encoded, nil
}

// openable tells whether a browser may be sent to it: nothing, an absolute
// http or https URL, or a path on the page's own origin.
func openable(raw string) bool {
	if raw == "" {
		return true
	}
	u, err := url.Parse(raw)
	if err != nil || strings.ContainsFunc(raw, unicode.IsControl) {
		return false
	}
	if u.IsAbs() {
		return (u.Scheme == "https" || u.Scheme == "http") && u.Host != ""
	}
	return strings.HasPrefix(raw, "/") && !strings.HasPrefix(raw, "//") && !strings.HasPrefix(raw, `/\`)
}

// GetNotification tells what became of a notification.
func (s *Server) GetNotification(ctx context.Context, request GetNotificationRequestObject) (GetNotificationResponseObject, error) {
	id, err := push.ParseID(request.Id)
	if err != nil {
		return nil, invalid("id", "%s.", err)
	}
	answer, err := s.fate(ctx, callerOf(ctx).app, id)
	if err != nil {
		return nil, err
	}
	return GetNotification200JSONResponse(answer), nil
}

// CancelNotification takes back what is not sent yet of a notification.
func (s *Server) CancelNotification(ctx context.Context, request CancelNotificationRequestObject) (CancelNotificationResponseObject, error) {
	id, err := push.ParseID(request.Id)
	if err != nil {
		return nil, invalid("id", "%s.", err)
	}
	app := callerOf(ctx).app
	if err := s.config.System.Cancel(ctx, app, id); err != nil {
		return nil, err
	}
	fate, err := s.fate(ctx, app, id)
	if err != nil {
		return nil, err
	}
	answer := Cancellation{Notification: fate}
	for _, d := range fate.Deliveries {
		switch {
		case d.State == push.StateCancelled.String():
			answer.Cancelled++
		case d.State == push.StateDelivered.String():
			answer.Sent++
		case d.DoneAt == nil:
			answer.UnderWay++
		}
	}
	return CancelNotification200JSONResponse(answer), nil
}

// fate is what became of a notification so far.
func (s *Server) fate(ctx context.Context, app string, id push.ID) (Notification, error) {
	known, err := s.account(ctx, app, id)
	if err != nil {
		return Notification{}, err
	}
	return known.shown(), nil
}

// account is what the store and the live tree know of a notification.
type account struct {
	store.Record
	live      []actors.Progress // of deliveries that are not final
	scheduled bool              // for a time that has not come
}

// account puts it together. The tree is asked first: what becomes final in
// between is then in the store.
func (s *Server) account(ctx context.Context, app string, id push.ID) (account, error) {
	record, err := s.config.Store.GetNotification(ctx, app, id)
	if err != nil {
		return account{}, stored(err)
	}
	known := account{scheduled: record.Pending && time.Now().Before(record.Notification.SendAt)}
	if record.Pending && !known.scheduled {
		live, err := s.config.System.Progress(ctx, record.Notification.User, id)
		if err != nil {
			return account{}, err
		}
		if record, err = s.config.Store.GetNotification(ctx, app, id); err != nil {
			return account{}, stored(err)
		}
		for _, p := range live {
			if !slices.ContainsFunc(record.Deliveries, func(d push.Delivery) bool { return d.Subscription == p.Subscription }) {
				known.live = append(known.live, p)
			}
		}
	}
	known.Record = record
	return known, nil
}

// shown is an account as an answer shows it.
func (a account) shown() Notification {
	answer := Notification{
		Id:         a.Notification.ID.String(),
		User:       a.Notification.User.ID,
		State:      "finished",
		AcceptedAt: a.Notification.AcceptedAt.UTC(),
		SendAt:     utc(a.Notification.SendAt),
		ExpiresAt:  a.Notification.ExpiresAt.UTC(),
		Deliveries: []Delivery{},
	}
	switch {
	case a.scheduled:
		answer.State = "scheduled"
	case a.Pending:
		answer.State = "pending"
	}
	for _, d := range a.Deliveries {
		answer.Deliveries = append(answer.Deliveries, finalDelivery(d, a.Receipts))
	}
	for _, p := range a.live {
		answer.Deliveries = append(answer.Deliveries, liveDelivery(p))
	}
	return answer
}

// finalDelivery shows a delivery with those of the notification's receipts that
// are of it.
func finalDelivery(d push.Delivery, receipts []push.Receipt) Delivery {
	delivery := Delivery{
		Host: d.Host, State: d.State.String(), Attempts: d.Attempts, Status: d.Status, Reason: d.Reason,
		MessageId: d.MessageID, DoneAt: utc(d.DoneAt),
	}
	if !d.Subscription.IsZero() {
		delivery.Subscription, delivery.Kind = d.Subscription.String(), d.Kind.String()
	}
	for _, receipt := range receipts {
		if receipt.Subscription != d.Subscription {
			continue
		}
		switch receipt.Type {
		case push.ReceiptShown:
			delivery.ShownAt = utc(receipt.At)
		case push.ReceiptClicked:
			delivery.ClickedAt = utc(receipt.At)
		case push.ReceiptClosed:
			delivery.ClosedAt = utc(receipt.At)
		}
	}
	return delivery
}

func liveDelivery(p actors.Progress) Delivery {
	delivery := Delivery{
		Subscription: p.Subscription.String(), Kind: p.Kind.String(), Host: p.Host,
		State: "queued", Attempts: p.Attempts, Status: p.Last.Status, Reason: p.Last.Reason,
		MessageId: p.Last.MessageID,
	}
	if p.Next.After(time.Now()) {
		delivery.State, delivery.NextAttemptAt = "waiting", utc(p.Next)
	}
	return delivery
}

// utc is the time for an answer, or nil for none.
func utc(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}
