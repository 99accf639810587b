package client

import (
	"testing"

	"github.com/google/go-cmp/cmp"
)

// TestWhatAnOwnerInherits follows marks from owner to owner.
func TestWhatAnOwnerInherits(t *testing.T) {
	for name, c := range map[string]struct {
		found                marks
		committed, end       int64
		deaths               int
		from, to             int64
		vain                 int
		condemned, lingering bool
	}{
		"of one that ended in order":           {found: marks{}, committed: 5, end: 100},
		"of one that died":                     {found: marks{Open: true}, committed: 5, end: 100, deaths: 1, from: 5, to: 100},
		"of one that died with nothing left":   {found: marks{Open: true}, committed: 100, end: 100},
		"of one that died on suspects":         {found: marks{Open: true, Deaths: 1, From: 5, To: 13, Trying: true}, committed: 5, end: 100, deaths: 2, from: 5, to: 13},
		"of one that died beside suspects":     {found: marks{Open: true, Deaths: 2, From: 5, To: 13}, committed: 8, end: 100, deaths: 2, from: 8, to: 13},
		"of one that handed suspects on":       {found: marks{Deaths: 2, From: 5, To: 13}, committed: 8, end: 100, deaths: 2, from: 8, to: 13},
		"of the third to die on one alone":     {found: marks{Open: true, Deaths: 3, From: 7, To: 8, Trying: true}, committed: 7, end: 100, deaths: 4, from: 7, to: 8, condemned: true},
		"of one that got nothing done":         {found: marks{Open: true, Deaths: 1, From: 5, To: 13, Began: 6, Vain: 1}, committed: 5, end: 100, deaths: 1, from: 5, to: 13, vain: 2},
		"of the third that got nothing done":   {found: marks{Open: true, Deaths: 1, From: 5, To: 13, Began: 6, Vain: 2}, committed: 5, end: 100, deaths: 1, from: 5, to: 13, vain: 3, lingering: true},
		"of one that got something done":       {found: marks{Open: true, Deaths: 1, From: 5, To: 13, Began: 6, Vain: 2}, committed: 7, end: 100, deaths: 1, from: 7, to: 13},
		"of a backlog that was not all begun":  {found: marks{Open: true}, committed: 5, end: 1 << 40, deaths: 1, from: 5, to: 5 + maxSuspects},
		"of one that died before any was read": {found: marks{Open: true}, committed: -1, end: 3, deaths: 1, from: 0, to: 3},
	} {
		t.Run(name, func(t *testing.T) {
			c.found.Format = marksFormat
			m := readMarks(c.found.String()).inherit(c.committed, c.end)
			want := marks{Format: marksFormat, Open: true, Deaths: c.deaths, From: c.from, To: c.to, Vain: c.vain}
			if c.deaths > 0 {
				want.Began = c.committed + 1
			}
			if diff := cmp.Diff(want, m, cmp.AllowUnexported(marks{})); diff != "" {
				t.Error(diff)
			}
			if m.condemned() != c.condemned || m.lingering() != c.lingering {
				t.Errorf("condemned %t, lingering %t", m.condemned(), m.lingering())
			}
		})
	}
}
