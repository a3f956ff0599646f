// Package pictures measures pictures and makes small ones of them: PNG, JPEG, GIF
// (its first frame) and WebP. What a picture may cost is bounded by its dimensions,
// which are read before anything is decompressed.
package pictures

import (
	"bufio"
	"errors"
	"fmt"
	"image"
	_ "image/gif" // decoders, found by their magic
	"image/jpeg"
	"image/png"
	"io"

	"golang.org/x/image/draw"
	_ "golang.org/x/image/webp"
)

// mostPixels bounds what is decompressed: at most eight bytes each.
const mostPixels = 32 << 20

// Types are the media types that Measure and Shrink read.
var Types = map[string]bool{"image/png": true, "image/jpeg": true, "image/gif": true, "image/webp": true}

// ErrUnreadable is returned for what is no picture, a broken one, or one too large to
// decompress.
var ErrUnreadable = errors.New("no picture that can be read")

// Size is a picture's, in pixels.
type Size struct{ Width, Height int }

// Fit is the size when the picture is shrunk to fit into a square; small pictures
// stay as they are.
func (s Size) Fit(square int) Size {
	longest := max(s.Width, s.Height)
	if longest <= square {
		return s
	}
	scale := func(n int) int { return max(1, (n*square+longest/2)/longest) }
	return Size{scale(s.Width), scale(s.Height)}
}

// Readable reports whether Shrink would decompress such a picture.
func (s Size) Readable() bool {
	return s.Width > 0 && s.Height > 0 && s.Width <= mostPixels && s.Height <= mostPixels/s.Width
}

// Measure reads a picture's size from its head.
func Measure(r io.Reader) (Size, error) {
	c, _, err := image.DecodeConfig(r)
	if err != nil {
		return Size{}, fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	return Size{c.Width, c.Height}, nil
}

// Shrink writes a picture of r's that fits into the square, and returns its media
// type: JPEG of JPEGs, PNG of all others. r is read twice from its beginning.
func Shrink(w io.Writer, r io.ReadSeeker, square int) (string, error) {
	size, err := Measure(r)
	if err != nil {
		return "", err
	}
	if !size.Readable() {
		return "", fmt.Errorf("%w: %d x %d pixels", ErrUnreadable, size.Width, size.Height)
	}
	if _, err := r.Seek(0, io.SeekStart); err != nil {
		return "", fmt.Errorf("shrink picture: %w", err)
	}
	src, format, err := image.Decode(bufio.NewReader(r))
	if err != nil {
		return "", fmt.Errorf("%w: %w", ErrUnreadable, err)
	}
	fit := size.Fit(square)
	small := image.NewRGBA(image.Rect(0, 0, fit.Width, fit.Height))
	draw.CatmullRom.Scale(small, small.Bounds(), src, src.Bounds(), draw.Src, nil)
	if format == "jpeg" {
		return "image/jpeg", jpeg.Encode(w, small, &jpeg.Options{Quality: 85})
	}
	return "image/png", png.Encode(w, small)
}
