package pictures_test

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/gif"
	"image/jpeg"
	"image/png"
	"io"
	"testing"

	"github.com/pyairtable/pyairtable/airtable-gateway/internal/pictures"
)

func picture(t *testing.T, width, height int, encode func(io.Writer, image.Image) error) []byte {
	t.Helper()
	img := image.NewRGBA(image.Rect(0, 0, width, height))
	for x := range width {
		for y := range height {
			img.Set(x, y, color.RGBA{uint8(x), uint8(y), 128, 255})
		}
	}
	var b bytes.Buffer
	if err := encode(&b, img); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func asJPEG(w io.Writer, i image.Image) error { return jpeg.Encode(w, i, nil) }
func asGIF(w io.Writer, i image.Image) error  { return gif.Encode(w, i, nil) }

// A WebP of 1 x 1 pixel; no encoder is at hand.
const tinyWebP = "UklGRiQAAABXRUJQVlA4IBgAAAAwAQCdASoBAAEAAgA0JaQAA3AA/vuUAAA="

func TestShrink_FitsTheSquareAndKeepsTheShape(t *testing.T) {
	t.Parallel()
	webp, err := base64.StdEncoding.DecodeString(tinyWebP)
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		raw    []byte
		square int
		want   pictures.Size
		kind   string
	}{
		"wide":    {picture(t, 800, 600, png.Encode), 36, pictures.Size{Width: 36, Height: 27}, "image/png"},
		"tall":    {picture(t, 100, 400, asJPEG), 40, pictures.Size{Width: 10, Height: 40}, "image/jpeg"},
		"gif":     {picture(t, 64, 64, asGIF), 32, pictures.Size{Width: 32, Height: 32}, "image/png"},
		"sliver":  {picture(t, 2000, 1, png.Encode), 36, pictures.Size{Width: 36, Height: 1}, "image/png"},
		"smaller": {picture(t, 20, 10, png.Encode), 36, pictures.Size{Width: 20, Height: 10}, "image/png"},
		"webp":    {webp, 36, pictures.Size{Width: 1, Height: 1}, "image/png"},
	} {
		var out bytes.Buffer
		kind, err := pictures.Shrink(&out, bytes.NewReader(c.raw), c.square)
		if err != nil || kind != c.kind {
			t.Errorf("%s: %s, %v", name, kind, err)
			continue
		}
		if got, err := pictures.Measure(&out); err != nil || got != c.want {
			t.Errorf("%s: %v, %v; want %v", name, got, err, c.want)
		}
	}
}

// A few bytes can announce billions of pixels: they are refused by what they announce.
func TestShrink_RefusesBombsBeforeItDecompressesThem(t *testing.T) {
	t.Parallel()
	bomb := picture(t, 4, 4, png.Encode)
	binary.BigEndian.PutUint32(bomb[16:], 60_000)
	binary.BigEndian.PutUint32(bomb[20:], 60_000)
	binary.BigEndian.PutUint32(bomb[29:], crc32.ChecksumIEEE(bomb[12:29]))
	if size, err := pictures.Measure(bytes.NewReader(bomb)); err != nil || size.Readable() {
		t.Errorf("the bomb has %v (%v) and is readable", size, err)
	}
	for name, raw := range map[string][]byte{"bomb": bomb, "text": []byte("hello"), "cut": picture(t, 50, 50, png.Encode)[:60], "empty": nil} {
		if _, err := pictures.Shrink(io.Discard, bytes.NewReader(raw), 36); !errors.Is(err, pictures.ErrUnreadable) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
