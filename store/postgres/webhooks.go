package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const webhookColumns = `app, name, url, types, private, secret, created_at, after, up_to, ended`

// PutWebhook adds a webhook, or replaces the app's of that name but for its After and UpTo.
func (s *Store) PutWebhook(ctx context.Context, webhook store.Webhook) (created bool, err error) {
	created, err = s.putWebhook(ctx, webhook)
	if err != nil {
		return false, fmt.Errorf("put webhook %q of app %q: %w", webhook.Name, webhook.App, known(err))
	}
	return created, nil
}

// putWebhook does one of two things, as putCredential does.
func (s *Store) putWebhook(ctx context.Context, webhook store.Webhook) (created bool, err error) {
	row := []any{
		webhook.App, webhook.Name, webhook.URL, typesOrNull(webhook.Types), webhook.Private, webhook.Secret, millis(webhook.CreatedAt),
	}
	for {
		tag, err := s.pool.Exec(ctx, `UPDATE webhooks SET url = $3, types = $4, private = $5, secret = $6, created_at = $7, ended = ''
			WHERE app = $1 AND name = $2`, row...)
		if err != nil || tag.RowsAffected() > 0 {
			return false, err
		}
		tag, err = s.pool.Exec(ctx, `INSERT INTO webhooks (`+webhookColumns+`) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
			ON CONFLICT DO NOTHING`, append(row, [16]byte(webhook.After), [16]byte(webhook.UpTo), webhook.Ended)...)
		if err != nil || tag.RowsAffected() > 0 {
			return true, err
		}
	}
}

// ListWebhooks gives an app's webhooks by name.
func (s *Store) ListWebhooks(ctx context.Context, app string) ([]store.Webhook, error) {
	rows, err := s.pool.Query(ctx, `SELECT `+webhookColumns+` FROM webhooks WHERE app = $1 ORDER BY name`, app)
	webhooks, err := collect(rows, err, scanWebhook)
	if err != nil {
		return nil, fmt.Errorf("list webhooks of app %q: %w", app, err)
	}
	return webhooks, nil
}

// DeleteWebhook removes a webhook; ErrNotFound.
func (s *Store) DeleteWebhook(ctx context.Context, app, name string) error {
	tag, err := s.pool.Exec(ctx, `DELETE FROM webhooks WHERE app = $1 AND name = $2`, app, name)
	if err := affected(tag, err); err != nil {
		return fmt.Errorf("delete webhook %q of app %q: %w", name, app, err)
	}
	return nil
}

// queueProgress keeps the last of several for one webhook, and takes their rows in
// order first, as queueParked does.
func queueProgress(batch *pgx.Batch, progress []store.WebhookProgress) {
	n := len(progress)
	var (
		apps    = make([]string, n)
		names   = make([]string, n)
		created = make([]time.Time, n)
		afters  = make([][16]byte, n)
		upTos   = make([][16]byte, n)
		ended   = make([]string, n)
	)
	for i, p := range progress {
		apps[i], names[i], created[i], afters[i], upTos[i], ended[i] = p.App, p.Name, millis(p.CreatedAt), p.After, p.UpTo, p.Ended
	}
	batch.Queue(`WITH noted AS (
			SELECT w.app AS its_app, w.name AS its_name, p.after AS its_after, p.up_to AS its_up_to, p.ended AS why FROM webhooks w JOIN (
				SELECT DISTINCT ON (app, name, created_at) *
				FROM unnest($1::text[], $2::text[], $3::timestamptz[], $4::uuid[], $5::uuid[], $6::text[])
					WITH ORDINALITY AS p (app, name, created_at, after, up_to, ended, place)
				ORDER BY app, name, created_at, place DESC) AS p
				ON p.app = w.app AND p.name = w.name AND p.created_at = w.created_at
			ORDER BY w.app, w.name FOR UPDATE OF w)
		UPDATE webhooks SET after = its_after, up_to = its_up_to, ended = why FROM noted WHERE app = its_app AND name = its_name`,
		apps, names, created, afters, upTos, ended)
}

func scanWebhook(row pgx.Row) (store.Webhook, error) {
	var w store.Webhook
	var types []byte
	err := row.Scan(&w.App, &w.Name, &w.URL, &types, &w.Private, &w.Secret, &w.CreatedAt, (*[16]byte)(&w.After), (*[16]byte)(&w.UpTo), &w.Ended)
	for _, t := range types {
		w.Types = append(w.Types, push.EventType(t))
	}
	return w, err
}

func typesOrNull(types []push.EventType) []byte {
	var numbers []byte
	for _, t := range types {
		numbers = append(numbers, byte(t))
	}
	return numbers
}
