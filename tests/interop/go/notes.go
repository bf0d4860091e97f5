package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// newKey makes a key of Name: {"skey", "vkey"}. With a Seed of 32 bytes, the vkey of that seed's key alone.
func newKey(q *question) (any, error) {
	if len(q.Seed) == ed25519.SeedSize {
		public := ed25519.NewKeyFromSeed(q.Seed).Public().(ed25519.PublicKey)
		vkey, err := note.NewEd25519VerifierKey(q.Name, public)
		return map[string]string{"vkey": vkey}, err
	}
	skey, vkey, err := note.GenerateKey(nil, q.Name)
	return map[string]string{"skey": skey, "vkey": vkey}, err
}

// readKey reads Vkey or Skey: {"name", "id"}.
func readKey(q *question) (any, error) {
	if q.Skey != "" {
		signer, err := note.NewSigner(q.Skey)
		if err != nil {
			return nil, err
		}
		return identity(signer.Name(), signer.KeyHash()), nil
	}
	verifier, err := note.NewVerifier(q.Vkey)
	if err != nil {
		return nil, err
	}
	return identity(verifier.Name(), verifier.KeyHash()), nil
}

func identity(name string, hash uint32) map[string]string {
	return map[string]string{"name": name, "id": fmt.Sprintf("%08x", hash)}
}

// signNote signs Text with Skey: the note.
func signNote(q *question) (any, error) {
	signer, err := note.NewSigner(q.Skey)
	if err != nil {
		return nil, err
	}
	return note.Sign(&note.Note{Text: q.Text}, signer)
}

// openNote opens Note with Vkeys: {"text", "verified", "unverified"}.
func openNote(q *question) (any, error) {
	opened, err := open(q.Note, q.Vkeys)
	if err != nil {
		return nil, err
	}
	return map[string]any{"text": opened.Text, "verified": ids(opened.Sigs), "unverified": ids(opened.UnverifiedSigs)}, nil
}

func ids(signatures []note.Signature) []map[string]string {
	found := []map[string]string{}
	for _, one := range signatures {
		found = append(found, identity(one.Name, one.Hash))
	}
	return found
}

func open(data []byte, vkeys []string) (*note.Note, error) {
	var known []note.Verifier
	for _, vkey := range vkeys {
		verifier, err := anyVerifier(vkey)
		if err != nil {
			return nil, err
		}
		known = append(known, verifier)
	}
	return note.Open(data, note.VerifierList(known...))
}

// anyVerifier is the package's own verifier, or a cosigner where the key is of such a type.
func anyVerifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) == 3 {
		key, err := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && len(key) > 0 && (key[0] == ed25519Cosignature || key[0] == mldsa44Cosignature) {
			verifier, err := newCosignatureVerifier(parts[0], key[0], key[1:])
			if err == nil && fmt.Sprintf("%08x", verifier.KeyHash()) != parts[1] {
				err = errors.New("cosigner's key id is not its own")
			}
			return verifier, err
		}
	}
	return note.NewVerifier(vkey)
}

// parseTree reads Text as a signed tree of the Go checksum database: {"size", "root"}.
func parseTree(q *question) (any, error) {
	tree, err := tlog.ParseTree([]byte(q.Text))
	if err != nil {
		return nil, err
	}
	return map[string]any{"size": tree.N, "root": tree.Hash}, nil
}

// formatTree writes Size and Root as the text of a checkpoint of Origin; of the checksum database if there is none.
func formatTree(q *question) (any, error) {
	text := tlog.FormatTree(tlog.Tree{N: q.Size, Hash: q.Root})
	if q.Origin != "" {
		_, rest, _ := bytes.Cut(text, []byte("\n"))
		text = append([]byte(q.Origin+"\n"), rest...)
	}
	return string(text), nil
}
