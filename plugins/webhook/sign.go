package main

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/throttlerd/throttlerd/pluginapi"
)

const (
	secretPrefix = "whsec_"
	maxSecrets   = 2 // the one in use, and the one before or after it
)

// readSecrets reads the keys that deliveries are signed with. No error repeats any of
// them.
func readSecrets(s settings) ([][]byte, error) {
	var attribute, text string
	switch {
	case s.SecretFile != "" && s.SecretEnv != "":
		return nil, pluginapi.BadAttribute("secret_env", "and secret_file exclude each other")
	case s.SecretFile != "":
		attribute = "secret_file"
		raw, err := os.ReadFile(s.SecretFile)
		if err != nil {
			return nil, pluginapi.BadAttribute(attribute, err.Error())
		}
		text = string(raw)
	case s.SecretEnv != "":
		attribute = "secret_env"
		if text = os.Getenv(s.SecretEnv); text == "" {
			return nil, pluginapi.BadAttribute(attribute, fmt.Sprintf("names %s, which is not set; a plugin has only the variables of its handler's env", s.SecretEnv))
		}
	default:
		return nil, nil
	}
	words := strings.Fields(text)
	if len(words) == 0 || len(words) > maxSecrets {
		return nil, pluginapi.BadAttribute(attribute, fmt.Sprintf("holds %d secrets; it must hold one, or two while they are rotated", len(words)))
	}
	keys := make([][]byte, len(words))
	for i, word := range words {
		var err error
		if keys[i], err = decodeSecret(word); err != nil {
			return nil, pluginapi.BadAttribute(attribute, fmt.Sprintf("secret %d %s", i+1, err))
		}
	}
	return keys, nil
}

func decodeSecret(word string) ([]byte, error) {
	encoded, ok := strings.CutPrefix(word, secretPrefix)
	if !ok {
		return nil, errors.New("does not begin with " + secretPrefix)
	}
	key, err := base64.StdEncoding.DecodeString(encoded)
	if err != nil {
		return nil, errors.New("is not base64 behind " + secretPrefix)
	}
	if len(key) < 24 || len(key) > 64 {
		return nil, fmt.Errorf("has %d bytes; the specification wants 24 to 64", len(key))
	}
	return key, nil
}

// messageID is the task's id with a tilde, which no id has, for each full stop: a signed
// text is "id.timestamp.body", and only an id without one can be told apart from the rest.
func messageID(task string) string { return strings.ReplaceAll(task, ".", "~") }

// signature is that of the Standard Webhooks specification, one for each key.
// https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
func signature(keys [][]byte, id string, at time.Time, body []byte) string {
	list := make([]string, len(keys))
	for i, key := range keys {
		mac := hmac.New(sha256.New, key)
		mac.Write([]byte(id + "." + strconv.FormatInt(at.Unix(), 10) + "."))
		mac.Write(body)
		list[i] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	}
	return strings.Join(list, " ")
}
