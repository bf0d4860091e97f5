package main

import (
	"bytes"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// cosignatureType is the type byte of a timestamped Ed25519 cosignature, which the note package does not know.
const cosignatureType = 0x04

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

// anyVerifier is the package's own verifier, or a cosigner where the key is of that type.
func anyVerifier(vkey string) (note.Verifier, error) {
	parts := strings.SplitN(vkey, "+", 3)
	if len(parts) == 3 {
		key, err := base64.StdEncoding.DecodeString(parts[2])
		if err == nil && len(key) == 1+ed25519.PublicKeySize && key[0] == cosignatureType {
			verifier := cosigner{name: parts[0], public: key[1:]}
			if fmt.Sprintf("%08x", verifier.KeyHash()) != parts[1] {
				return nil, errors.New("cosigner's key id is not its own")
			}
			return verifier, nil
		}
	}
	return note.NewVerifier(vkey)
}

// cosigner makes and verifies cosignatures through the interfaces of the note package.
type cosigner struct {
	name    string
	public  ed25519.PublicKey
	private ed25519.PrivateKey
	time    uint64
}

func (c cosigner) Name() string { return c.name }

func (c cosigner) KeyHash() uint32 {
	// The package hashes a key with its type byte 1 only; this is the same sum with type byte 4.
	return keyHash(c.name, append([]byte{cosignatureType}, c.public...))
}

func (c cosigner) Verify(msg, sig []byte) bool {
	if len(sig) != 8+ed25519.SignatureSize {
		return false
	}
	return ed25519.Verify(c.public, cosigned(msg, binary.BigEndian.Uint64(sig)), sig[8:])
}

func (c cosigner) Sign(msg []byte) ([]byte, error) {
	stamp := binary.BigEndian.AppendUint64(nil, c.time)
	return append(stamp, ed25519.Sign(c.private, cosigned(msg, c.time))...), nil
}

func cosigned(msg []byte, time uint64) []byte {
	return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), msg...)
}

// cosign opens Note with Vkeys and adds the cosignature of Name and Seed as of Time: {"note", "vkey"}.
func cosign(q *question) (any, error) {
	if len(q.Seed) != ed25519.SeedSize {
		return nil, fmt.Errorf("%w: seed", errBroken)
	}
	opened, err := open(q.Note, q.Vkeys)
	if err != nil {
		return nil, err
	}
	private := ed25519.NewKeyFromSeed(q.Seed)
	by := cosigner{q.Name, private.Public().(ed25519.PublicKey), private, q.Time}
	signed, err := note.Sign(opened, by)
	if err != nil {
		return nil, err
	}
	material := base64.StdEncoding.EncodeToString(append([]byte{cosignatureType}, by.public...))
	return map[string]any{"note": signed, "vkey": fmt.Sprintf("%s+%08x+%s", by.name, by.KeyHash(), material)}, nil
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
