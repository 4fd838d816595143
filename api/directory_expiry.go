package api

import "time"

// Expiry is when a credential of an app ends by itself.
type Expiry struct {
	App, Credential string
	At              time.Time
}

// Expiries are those of the credentials that do: APNs certificates, in use or not.
func (d *Directory) Expiries() (all []Expiry) {
	for _, app := range d.list() {
		for _, c := range app.credentials {
			if !c.apple.Expires.IsZero() {
				all = append(all, Expiry{App: app.Name, Credential: c.Name, At: c.apple.Expires})
			}
		}
	}
	return all
}
