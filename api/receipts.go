package api

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"github.com/belfryhq/belfry/actors"
	"github.com/belfryhq/belfry/push"
	"github.com/belfryhq/belfry/store"
)

// receiptsOf reads what a request wants browsers to tell.
func receiptsOf(words []string) ([]push.ReceiptType, error) {
	var wanted []push.ReceiptType
	for _, word := range words {
		receipt, err := push.ParseReceiptType(word)
		if err != nil {
			return nil, invalid("receipts", "%s.", err)
		}
		if slices.Contains(wanted, receipt) {
			return nil, invalid("receipts", "receipts names %s twice. Name each of shown, clicked and closed once.", receipt)
		}
		wanted = append(wanted, receipt)
	}
	return wanted, nil
}

var errBadReceipt = problem{
	status: http.StatusBadRequest, code: "invalid_token", field: "token",
	detail: "The receipt token is not valid, or no longer. Send the receipt of the push message as it is.",
}

// CreateReceipt takes what a service worker says of a notification. The token
// says which one, and stands for the app: of the pages and workers in
// browsers, only those of its origins may use it.
func (s *Server) CreateReceipt(ctx context.Context, request CreateReceiptRequestObject) (CreateReceiptResponseObject, error) {
	receipt := push.Receipt{At: time.Now().Truncate(time.Millisecond)}
	var err error
	if receipt.Type, err = push.ParseReceiptType(request.Body.Event); err != nil {
		return nil, invalid("event", "%s.", err)
	}
	app, err := s.openReceipt(request.Body.Token, &receipt)
	if err != nil {
		return nil, err
	}
	if err := s.checkOrigin(requestOf(ctx), caller{app: app}); err != nil {
		return nil, err
	}
	if err := s.limitReceipts(app, receipt.Notification, receipt.Subscription); err != nil {
		return nil, err
	}
	record, err := s.config.Store.GetNotification(ctx, app, receipt.Notification)
	switch {
	case errors.Is(err, store.ErrNotFound):
		return CreateReceipt204Response{}, nil // it is no longer kept
	case err != nil:
		return nil, stored(err)
	case !slices.Contains(record.Notification.Receipts(), receipt.Type):
		return CreateReceipt204Response{}, nil // nobody asked for it
	}
	if err := s.config.System.Receive(ctx, record.Notification.User, receipt); err != nil {
		return nil, err
	}
	return CreateReceipt204Response{}, nil
}

// openReceipt finds what a receipt token is for.
func (s *Server) openReceipt(token string, receipt *push.Receipt) (app string, err error) {
	if app, err = push.ReceiptApp(token); err != nil {
		return "", errBadReceipt
	}
	known, err := s.apps.get(app)
	switch {
	case errors.Is(err, actors.ErrUnavailable):
		return "", err
	case err != nil:
		return "", errBadReceipt
	}
	if receipt.Notification, receipt.Subscription, err = push.OpenReceiptToken(known.TokenSecret, token); err != nil {
		return "", errBadReceipt
	}
	return app, nil
}
