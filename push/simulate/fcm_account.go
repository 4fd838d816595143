package simulate

import (
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
)

// newFCMAccount makes a service account of a project.
func newFCMAccount(project string) (fcmAccount, error) {
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		return fcmAccount{}, fmt.Errorf("simulate: make a service account's key: %w", err)
	}
	return fcmAccount{email: "firebase-adminsdk@" + project + ".iam.gserviceaccount.com", keyID: randomHex(20), key: key}, nil
}

// readFCMAccount reads what FCM.ServiceAccount gave.
func readFCMAccount(text []byte) (project string, account fcmAccount, err error) {
	var file struct {
		Project string `json:"project_id"`
		KeyID   string `json:"private_key_id"`
		Key     string `json:"private_key"`
		Email   string `json:"client_email"`
	}
	if err := json.Unmarshal(text, &file); err != nil {
		return "", fcmAccount{}, fmt.Errorf("simulate: read the service account: %w", err)
	}
	unusable := errors.New("simulate: the service account is not one that a simulator made")
	block, _ := pem.Decode([]byte(file.Key))
	if block == nil || file.Project == "" || file.KeyID == "" || file.Email == "" {
		return "", fcmAccount{}, unusable
	}
	key, err := x509.ParsePKCS8PrivateKey(block.Bytes)
	if err != nil {
		return "", fcmAccount{}, unusable
	}
	private, ok := key.(*rsa.PrivateKey)
	if !ok {
		return "", fcmAccount{}, unusable
	}
	return file.Project, fcmAccount{email: file.Email, keyID: file.KeyID, key: private}, nil
}
