package main

import (
	"crypto"
	"crypto/ed25519"
	"crypto/mldsa"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"strings"

	"golang.org/x/mod/sumdb/note"
	"golang.org/x/mod/sumdb/tlog"
)

// The type bytes of cosignatures (c2sp.org/tlog-cosignature), which the note package does not know.
const (
	ed25519Cosignature = 0x04
	mldsa44Cosignature = 0x06
)

const timeBytes = 8

// cosignatureKey is a name and a public key; it verifies through the interface of the note package.
type cosignatureKey struct {
	name   string
	kind   byte
	public []byte
}

func newCosignatureVerifier(name string, kind byte, public []byte) (cosignatureKey, error) {
	size := ed25519.PublicKeySize
	if kind == mldsa44Cosignature {
		size = mldsa.MLDSA44().PublicKeySize()
	}
	if len(public) != size {
		return cosignatureKey{}, errors.New("cosigner's key has a wrong size")
	}
	return cosignatureKey{name, kind, public}, nil
}

func (k cosignatureKey) Name() string { return k.name }

func (k cosignatureKey) KeyHash() uint32 {
	return keyHash(k.name, append([]byte{k.kind}, k.public...))
}

func (k cosignatureKey) vkey() string {
	material := base64.StdEncoding.EncodeToString(append([]byte{k.kind}, k.public...))
	return fmt.Sprintf("%s+%08x+%s", k.name, k.KeyHash(), material)
}

func (k cosignatureKey) Verify(text, sig []byte) bool {
	if len(sig) < timeBytes {
		return false
	}
	message, err := k.message(text, binary.BigEndian.Uint64(sig))
	if err != nil {
		return false
	}
	if k.kind == ed25519Cosignature {
		return len(sig) == timeBytes+ed25519.SignatureSize && ed25519.Verify(k.public, message, sig[timeBytes:])
	}
	public, err := mldsa.NewPublicKey(mldsa.MLDSA44(), k.public)
	return err == nil && mldsa.Verify(public, message, sig[timeBytes:], nil) == nil
}

// message is what a cosigner signs for the text of a checkpoint.
func (k cosignatureKey) message(text []byte, time uint64) ([]byte, error) {
	if time > 1<<63-1 {
		return nil, errors.New("time is out of range")
	}
	if k.kind == ed25519Cosignature {
		return append([]byte(fmt.Sprintf("cosignature/v1\ntime %d\n", time)), text...), nil
	}
	origin, rest, found := strings.Cut(string(text), "\n")
	if !found || len(origin) == 0 || len(origin) > 255 || len(k.name) > 255 {
		return nil, errors.New("name does not fit")
	}
	tree, err := tlog.ParseTree([]byte("go.sum database tree\n" + rest))
	if err != nil {
		return nil, err
	}
	message := append([]byte("subtree/v1\n\x00"), byte(len(k.name)))
	message = append(message, k.name...)
	message = binary.BigEndian.AppendUint64(message, time)
	message = append(append(message, byte(len(origin))), origin...)
	message = binary.BigEndian.AppendUint64(message, 0)
	message = binary.BigEndian.AppendUint64(message, uint64(tree.N))
	return append(message, tree.Hash[:]...), nil
}

// cosigner signs through the interface of the note package.
type cosigner struct {
	cosignatureKey
	time uint64
	sign func(message []byte) ([]byte, error)
}

func (c cosigner) Sign(text []byte) ([]byte, error) {
	message, err := c.message(text, c.time)
	if err != nil {
		return nil, err
	}
	signature, err := c.sign(message)
	return append(binary.BigEndian.AppendUint64(nil, c.time), signature...), err
}

func newCosigner(name string, kind byte, seed []byte, time uint64) (cosigner, error) {
	if kind == ed25519Cosignature && len(seed) == ed25519.SeedSize {
		private := ed25519.NewKeyFromSeed(seed)
		sign := func(message []byte) ([]byte, error) { return ed25519.Sign(private, message), nil }
		return cosigner{cosignatureKey{name, kind, private.Public().(ed25519.PublicKey)}, time, sign}, nil
	}
	if kind == mldsa44Cosignature {
		private, err := mldsa.NewPrivateKey(mldsa.MLDSA44(), seed)
		if err != nil {
			return cosigner{}, err
		}
		sign := func(message []byte) ([]byte, error) { return private.Sign(nil, message, crypto.Hash(0)) }
		return cosigner{cosignatureKey{name, kind, private.PublicKey().Bytes()}, time, sign}, nil
	}
	return cosigner{}, fmt.Errorf("%w: type or seed", errBroken)
}

// cosign opens Note with Vkeys and adds the cosignature of Name, Kind and Seed as of Time: {"note", "vkey"}.
func cosign(q *question) (any, error) {
	opened, err := open(q.Note, q.Vkeys)
	if err != nil {
		return nil, err
	}
	by, err := newCosigner(q.Name, q.Kind, q.Seed, q.Time)
	if err != nil {
		return nil, err
	}
	signed, err := note.Sign(opened, by)
	return map[string]any{"note": signed, "vkey": by.vkey()}, err
}
