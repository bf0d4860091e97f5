// Command interop answers questions about transparency logs with the Go team's sumdb/note and sumdb/tlog.
//
// It reads one JSON object a line from standard input, {"op": ..., arguments}, and writes one a line: {"result": ...},
// {"refused": "why"} where the packages refuse what they were given, or {"broken": "why"} where the question makes no
// sense or a package panicked. It ends with its input. Bytes and hashes are base64.
package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"

	"golang.org/x/mod/sumdb/tlog"
)

// question holds the arguments of every op; each op says which it takes.
type question struct {
	Op      string
	Tree    string // a name for a tree that later questions use
	Size    int64
	Old     int64
	Index   int64
	Indexes []int64
	Level   int
	Width   int
	Path    string
	Prefix  string // record i of a tree that is grown is Prefix followed by i in decimal
	Proof   []tlog.Hash
	Root    tlog.Hash
	OldRoot tlog.Hash
	Leaf    tlog.Hash
	Folder  string
	Note    []byte
	Text    string
	Name    string
	Origin  string
	Seed    []byte
	Kind    byte // the type byte of a cosigner's key
	Vkey    string
	Vkeys   []string
	Skey    string
	Time    uint64
}

type answer struct {
	Result  any    `json:"result,omitempty"`
	Refused string `json:"refused,omitempty"`
	Broken  string `json:"broken,omitempty"`
}

// errBroken marks errors that are the question's, not a refusal by the packages that are asked.
var errBroken = errors.New("broken question")

type op func(q *question) (any, error)

var ops = map[string]op{
	"new-key":       newKey,
	"read-key":      readKey,
	"sign":          signNote,
	"open":          openNote,
	"cosign":        cosign,
	"parse-tree":    parseTree,
	"format-tree":   formatTree,
	"grow":          growTree,
	"root":          treeRoot,
	"record-hashes": recordHashes,
	"prove-record":  proveRecord,
	"prove-tree":    proveTree,
	"check-record":  checkRecord,
	"check-tree":    checkTree,
	"request":       addCheckpointRequest,
	"tile-path":     tilePath,
	"parse-path":    parseTilePath,
	"tile-paths":    tilePaths,
	"write-tiles":   writeTiles,
	"read-tiles":    readTiles,
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	for {
		line, err := in.ReadBytes('\n')
		if err == io.EOF && len(line) == 0 {
			return
		}
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		if err := out.Encode(reply(line)); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
	}
}

func reply(line []byte) (found answer) {
	defer func() {
		if cause := recover(); cause != nil {
			found = answer{Broken: fmt.Sprintf("panic: %v", cause)}
		}
	}()
	var q question
	if err := json.Unmarshal(line, &q); err != nil {
		return answer{Broken: err.Error()}
	}
	run, known := ops[q.Op]
	if !known {
		return answer{Broken: "no such op: " + q.Op}
	}
	result, err := run(&q)
	switch {
	case errors.Is(err, errBroken):
		return answer{Broken: err.Error()}
	case err != nil:
		return answer{Refused: err.Error()}
	}
	return answer{Result: result}
}
