package main

import (
	"math"
	"slices"
	"testing"
	"time"
)

func TestFormats(t *testing.T) {
	for _, test := range []struct{ got, want string }{
		{grouped(0), "0"}, {grouped(999), "999"}, {grouped(1000), "1,000"}, {grouped(22713216), "22,713,216"}, {grouped(-123456), "-123,456"},
		{clock(0), "0:00"}, {clock(-time.Second), "0:00"}, {clock(59500 * time.Millisecond), "1:00"}, {clock(754 * time.Second), "12:34"},
		{clock(time.Hour + 62*time.Second), "1:01:02"}, {clock(100 * time.Hour), "100:00:00"},
		{size(0), "0 B"}, {size(1023), "1023 B"}, {size(1024), "1.0 KiB"}, {size(1048575), "1.0 MiB"}, {size(90868376), "86.7 MiB"},
		{size(150 << 20), "150 MiB"}, {size(1287654321), "1.2 GiB"}, {size(3 << 50), "3072 TiB"},
		{figure(0.69314), "0.6931"}, {figure(12.5), "12.5000"}, {figure(123456), "1.235e+05"}, {figure(math.NaN()), "NaN"}, {figure(math.Inf(1)), "+Inf"},
		{rate(0), "0.0"}, {rate(3.14), "3.1"}, {rate(812.4), "812"}, {rate(123456), "123,456"},
		{share(6656, 22713216), "0.029 %"}, {share(1, 0), "-"}, {share(22713216, 22713216), "100 %"},
	} {
		if test.got != test.want {
			t.Errorf("got %q, want %q", test.got, test.want)
		}
	}
}

func TestWrap(t *testing.T) {
	got := wrap("a bc  def ghijkl m", 5)
	if want := []string{"a bc", "def", "ghijkl", "m"}; !slices.Equal(got, want) {
		t.Errorf("got %q", got)
	}
}
