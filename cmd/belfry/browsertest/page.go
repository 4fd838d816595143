package browsertest

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"strings"
)

// Page is an open tab.
type Page struct {
	URL string // what it showed when it was opened, navigated to, or found by Pages

	bidi    *connection
	context string
}

// Open opens an address in a new tab and waits until it is loaded.
func (f *Firefox) Open(ctx context.Context, url string) (*Page, error) {
	var created struct{ Context string }
	if err := f.bidi.call(ctx, "browsingContext.create", object{"type": "tab"}, &created); err != nil {
		return nil, err
	}
	p := &Page{bidi: f.bidi, context: created.Context}
	return p, p.Navigate(ctx, url)
}

// Navigate opens an address in the tab and waits until it is loaded.
func (p *Page) Navigate(ctx context.Context, url string) error {
	p.URL = url
	return p.bidi.call(ctx, "browsingContext.navigate", object{"context": p.context, "url": url, "wait": "complete"}, nil)
}

// Eval runs the body of an async function in the page, as if in a user's
// gesture, with the arguments in the array args. What it returns is decoded
// from JSON into out, unless that is nil; what it throws is the error.
//
//	page.Eval(ctx, &title, `return (await fetch(args[0])).text()`, "/title")
func (p *Page) Eval(ctx context.Context, out any, body string, args ...any) error {
	return p.bidi.eval(ctx, p.context, out, body, args...)
}

// Screenshot gives the visible part of the page as PNG.
func (p *Page) Screenshot(ctx context.Context) ([]byte, error) {
	var shot struct{ Data string }
	if err := p.bidi.call(ctx, "browsingContext.captureScreenshot", object{"context": p.context}, &shot); err != nil {
		return nil, err
	}
	return base64.StdEncoding.DecodeString(shot.Data)
}

// Resize gives the page a width and height, in CSS pixels.
func (p *Page) Resize(ctx context.Context, width, height int) error {
	return p.bidi.call(ctx, "browsingContext.setViewport", object{
		"context": p.context, "viewport": object{"width": width, "height": height},
	}, nil)
}

// Activate brings the tab to the front.
func (p *Page) Activate(ctx context.Context) error {
	return p.bidi.call(ctx, "browsingContext.activate", object{"context": p.context}, nil)
}

// Close closes the tab.
func (p *Page) Close(ctx context.Context) error {
	return p.bidi.call(ctx, "browsingContext.close", object{"context": p.context}, nil)
}

// Pages gives the open tabs.
func (f *Firefox) Pages(ctx context.Context) ([]*Page, error) {
	contexts, err := f.contexts(ctx, object{})
	if err != nil {
		return nil, err
	}
	pages := make([]*Page, len(contexts))
	for i, each := range contexts {
		pages[i] = &Page{URL: each.URL, bidi: f.bidi, context: each.Context}
	}
	return pages, nil
}

// SetPermission answers for the user, on one origin, whether a permission such
// as "notifications" is "granted", "denied", or to be asked for: "prompt".
func (f *Firefox) SetPermission(ctx context.Context, origin, permission, state string) error {
	return f.bidi.call(ctx, "permissions.setPermission", object{
		"descriptor": object{"name": permission},
		"state":      state,
		"origin":     origin,
	}, nil)
}

// ClickAlert clicks the shown notification with the given title, as a user
// does. It fails if none is shown.
func (f *Firefox) ClickAlert(ctx context.Context, title string) error {
	return f.clickInAlert(ctx, title, "#alertTextBox")
}

// CloseAlert closes the shown notification with the given title, as a user
// does. It fails if none is shown.
func (f *Firefox) CloseAlert(ctx context.Context, title string) error {
	return f.clickInAlert(ctx, title, ".close-icon")
}

func (f *Firefox) clickInAlert(ctx context.Context, title, selector string) error {
	windows, err := f.contexts(ctx, object{"moz:scope": "chrome"})
	if err != nil {
		return err
	}
	for _, window := range windows {
		if !strings.HasSuffix(window.URL, "/alerts/alert.xhtml") {
			continue
		}
		var clicked bool
		err := f.bidi.eval(ctx, window.Context, &clicked, `
			if (document.getElementById("alertTitleLabel").getAttribute("value") !== args[0]) return false;
			document.querySelector(args[1]).click();
			return true;`, title, selector)
		if err != nil || clicked {
			return err
		}
	}
	return fmt.Errorf("no notification with the title %q is shown", title)
}

type browsingContext struct{ Context, URL string }

func (f *Firefox) contexts(ctx context.Context, params object) ([]browsingContext, error) {
	var tree struct{ Contexts []browsingContext }
	err := f.bidi.call(ctx, "browsingContext.getTree", params, &tree)
	return tree.Contexts, err
}

// eval sends values both ways as JSON text, in place of BiDi's own encoding.
func (c *connection) eval(ctx context.Context, browsingContext string, out any, body string, args ...any) error {
	if args == nil {
		args = []any{}
	}
	arguments, err := json.Marshal(args)
	if err != nil {
		return fmt.Errorf("encode the arguments: %w", err)
	}
	var evaluated struct {
		Type   string
		Result struct {
			Type  string
			Value json.RawMessage
		}
		ExceptionDetails struct{ Text string }
	}
	err = c.call(ctx, "script.evaluate", object{
		"expression":      fmt.Sprintf("(async (args) => { %s\n})(%s).then((it) => JSON.stringify(it))", body, arguments),
		"target":          object{"context": browsingContext},
		"awaitPromise":    true,
		"userActivation":  true,
		"resultOwnership": "none",
	}, &evaluated)
	if err != nil {
		return err
	}
	if evaluated.Type == "exception" {
		return fmt.Errorf("the page threw: %s", evaluated.ExceptionDetails.Text)
	}
	if out == nil || evaluated.Result.Type == "undefined" {
		return nil
	}
	var text string
	if err := json.Unmarshal(evaluated.Result.Value, &text); err != nil {
		return fmt.Errorf("decode the result: %w", err)
	}
	return json.Unmarshal([]byte(text), out)
}
