package sqlite

import (
	"context"
	"database/sql"
	"fmt"

	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

const webhookColumns = `app, name, url, types, private, secret, created_at, after, up_to, ended`

// PutWebhook adds a webhook, or replaces the app's of that name but for its After and UpTo.
func (s *Store) PutWebhook(ctx context.Context, webhook store.Webhook) (created bool, err error) {
	row := []any{
		webhook.App, webhook.Name, webhook.URL, typesOrNull(webhook.Types), webhook.Private, webhook.Secret, millis(webhook.CreatedAt),
	}
	err = s.write(ctx, func(tx *sql.Tx) error {
		replaced, err := count(tx.Exec(`UPDATE webhooks SET url = ?3, types = ?4, private = ?5, secret = ?6, created_at = ?7, ended = ''
			WHERE app = ?1 AND name = ?2`, row...))
		if err != nil || replaced > 0 {
			return err
		}
		created = true
		_, err = tx.Exec(`INSERT INTO webhooks (`+webhookColumns+`) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)`,
			append(row, webhook.After[:], webhook.UpTo[:], webhook.Ended)...)
		return err
	})
	if err != nil {
		return false, fmt.Errorf("put webhook %q of app %q: %w", webhook.Name, webhook.App, known(err))
	}
	return created, nil
}

// ListWebhooks gives an app's webhooks by name.
func (s *Store) ListWebhooks(ctx context.Context, app string) ([]store.Webhook, error) {
	rows, err := s.reader.QueryContext(ctx, `SELECT `+webhookColumns+` FROM webhooks WHERE app = ? ORDER BY name`, app)
	webhooks, err := collect(rows, err, scanWebhook)
	if err != nil {
		return nil, fmt.Errorf("list webhooks of app %q: %w", app, err)
	}
	return webhooks, nil
}

// DeleteWebhook removes a webhook; ErrNotFound.
func (s *Store) DeleteWebhook(ctx context.Context, app, name string) error {
	result, err := s.writer.ExecContext(ctx, `DELETE FROM webhooks WHERE app = ? AND name = ?`, app, name)
	if err := affected(result, err); err != nil {
		return fmt.Errorf("delete webhook %q of app %q: %w", name, app, err)
	}
	return nil
}

func scanWebhook(row row) (store.Webhook, error) {
	var w store.Webhook
	var types []byte
	err := row.Scan(&w.App, &w.Name, &w.URL, &types, &w.Private, &w.Secret, intoTime(&w.CreatedAt), fixed(w.After[:]), fixed(w.UpTo[:]), &w.Ended)
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
