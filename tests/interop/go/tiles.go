package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/mod/sumdb/tlog"
)

// height is that of every tile of c2sp.org/tlog-tiles.
const height = 8

// tilesPath is where c2sp.org/tlog-tiles has the tile: Go's path without the height, which is a constant there.
func tilesPath(tile tlog.Tile) string {
	return strings.Replace(tile.Path(), fmt.Sprintf("tile/%d/", height), "tile/", 1)
}

// tilePath is the path of the tile of Level and Index that is Width wide.
func tilePath(q *question) (any, error) {
	return tilesPath(tlog.Tile{H: height, L: q.Level, N: q.Index, W: q.Width}), nil
}

// parseTilePath reads Path, with the height put in where Go has it: {"level", "index", "width"}.
func parseTilePath(q *question) (any, error) {
	rest, found := strings.CutPrefix(q.Path, "tile/")
	if !found {
		return nil, fmt.Errorf("%w: path", errBroken)
	}
	tile, err := tlog.ParseTilePath(fmt.Sprintf("tile/%d/%s", height, rest))
	if err != nil {
		return nil, err
	}
	return map[string]any{"level": tile.L, "index": tile.N, "width": tile.W}, nil
}

// widest are the tiles of a tree of size, each as wide as that tree has it.
func widest(size int64) []tlog.Tile {
	var found []tlog.Tile
	for _, tile := range tlog.NewTiles(height, 0, size) {
		if last := len(found) - 1; last >= 0 && found[last].L == tile.L && found[last].N == tile.N {
			found[last] = tile // NewTiles lists every width of a partial tile, the widest last
			continue
		}
		found = append(found, tile)
	}
	return found
}

// tilePaths are the paths of the tiles of a tree of Size.
func tilePaths(q *question) (any, error) {
	paths := []string{}
	for _, tile := range widest(q.Size) {
		paths = append(paths, tilesPath(tile))
	}
	return paths, nil
}

// writeTiles writes the tiles of the first Size records of Tree into Folder: how many.
func writeTiles(q *question) (any, error) {
	tree, err := reader(q)
	if err != nil {
		return nil, err
	}
	tiles := widest(q.Size)
	for _, tile := range tiles {
		data, err := tlog.ReadTileData(tile, tree)
		if err != nil {
			return nil, err
		}
		path := filepath.Join(q.Folder, filepath.FromSlash(tilesPath(tile)))
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
			return nil, fmt.Errorf("%w: %v", errBroken, err)
		}
		if err := os.WriteFile(path, data, 0o644); err != nil {
			return nil, fmt.Errorf("%w: %v", errBroken, err)
		}
	}
	return len(tiles), nil
}

// folder reads tiles of c2sp.org/tlog-tiles.
type folder string

func (f folder) Height() int { return height }

func (f folder) ReadTiles(tiles []tlog.Tile) ([][]byte, error) {
	var found [][]byte
	for _, tile := range tiles {
		data, err := os.ReadFile(filepath.Join(string(f), filepath.FromSlash(tilesPath(tile))))
		if err != nil {
			return nil, err
		}
		found = append(found, data)
	}
	return found, nil
}

func (f folder) SaveTiles([]tlog.Tile, [][]byte) {}

// readTiles makes Tree the tree of Size and Root whose tiles are in Folder. Every hash that is read of it later is
// checked against Root by the package.
func readTiles(q *question) (any, error) {
	trees[q.Tree] = tlog.TileHashReader(tlog.Tree{N: q.Size, Hash: q.Root}, folder(q.Folder))
	return tlog.TreeHash(q.Size, trees[q.Tree])
}
