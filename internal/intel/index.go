package intel

import (
	"hash/maphash"
	"net/netip"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/FastFilter/xorfilter"
	"github.com/gaissmai/bart"
)

// Index answers look-ups. It is built once and then not changed, so it may be
// used concurrently. An exact look-up asks a binary fuse filter first, which
// turns away all but 0.4 % of what is no indicator; what passes is found in a
// sorted table of fingerprints and confirmed against the indicator itself.
// Networks lie in a trie.
type Index struct {
	seed    maphash.Seed
	filter  *xorfilter.BinaryFuse8
	prints  []uint64 // sorted
	at      []uint32 // of the entry in blob, beside prints
	blob    []byte   // entries: kind, feed, lengths, value, detail, time
	feeds   []string
	nets    bart.Table[uint32]
	netBlob []Indicator
	count   int
}

// Build makes an index. Of entries that say the same, the first stays.
func Build(all []Indicator) (*Index, error) {
	x := &Index{seed: maphash.MakeSeed()}
	feeds := map[string]int{}
	type entry struct {
		print uint64
		at    uint32
	}
	entries := make([]entry, 0, len(all))
	for _, i := range all {
		if i.Net.IsValid() && !i.Net.IsSingleIP() {
			x.network(i)
			continue
		}
		f, ok := feeds[i.Feed]
		if !ok {
			if f = len(x.feeds); f > 65535 {
				continue
			}
			feeds[i.Feed] = f
			x.feeds = append(x.feeds, i.Feed)
		}
		if len(x.blob) > 1<<32-4096 {
			break
		}
		entries = append(entries, entry{x.print(i.Kind, i.Value), uint32(len(x.blob))})
		x.append(i, f)
	}
	slices.SortStableFunc(entries, func(a, b entry) int {
		if a.print < b.print {
			return -1
		}
		if a.print > b.print {
			return 1
		}
		return 0
	})
	keys := make([]uint64, 0, len(entries))
	for n, e := range entries {
		if n > 0 && e.print == entries[n-1].print && x.same(e.at, entries[n-1].at) {
			continue
		}
		x.prints = append(x.prints, e.print)
		x.at = append(x.at, e.at)
		if n == 0 || e.print != entries[n-1].print {
			keys = append(keys, e.print)
		}
	}
	x.count += len(x.prints)
	if len(keys) > 0 {
		filter, err := xorfilter.PopulateBinaryFuse8(keys)
		if err != nil {
			return nil, err
		}
		x.filter = filter
	}
	return x, nil
}

// Len returns how many indicators there are.
func (x *Index) Len() int { return x.count }

func (x *Index) network(i Indicator) {
	p := i.Net.Masked()
	if _, known := x.nets.Get(p); known {
		return
	}
	x.nets.Insert(p, uint32(len(x.netBlob)))
	x.netBlob = append(x.netBlob, i)
	x.count++
}

func (x *Index) print(k Kind, v string) uint64 {
	var h maphash.Hash
	h.SetSeed(x.seed)
	h.WriteByte(byte(k))
	h.WriteString(v)
	return h.Sum64()
}

// append writes an entry: kind 1, feed 2, value length 2, detail length 1,
// Unix time 4, value, detail.
func (x *Index) append(i Indicator, feed int) {
	v, d := i.Value[:min(len(i.Value), 4096)], i.Detail[:min(len(i.Detail), 200)]
	var t uint32
	if !i.Time.IsZero() {
		t = uint32(i.Time.Unix())
	}
	x.blob = append(x.blob, byte(i.Kind), byte(feed>>8), byte(feed), byte(len(v)>>8), byte(len(v)), byte(len(d)),
		byte(t>>24), byte(t>>16), byte(t>>8), byte(t))
	x.blob = append(x.blob, v...)
	x.blob = append(x.blob, d...)
}

const headSize = 10

func (x *Index) value(at uint32) (Kind, []byte) {
	b := x.blob[at:]
	n := int(b[3])<<8 | int(b[4])
	return Kind(b[0]), b[headSize : headSize+n]
}

func (x *Index) same(a, b uint32) bool {
	ka, va := x.value(a)
	kb, vb := x.value(b)
	return ka == kb && string(va) == string(vb)
}

func (x *Index) indicator(at uint32) Indicator {
	b := x.blob[at:]
	n, d := int(b[3])<<8|int(b[4]), int(b[5])
	i := Indicator{
		Kind: Kind(b[0]), Feed: x.feeds[int(b[1])<<8|int(b[2])],
		Value: string(b[headSize : headSize+n]), Detail: string(b[headSize+n : headSize+n+d]),
	}
	if t := uint32(b[6])<<24 | uint32(b[7])<<16 | uint32(b[8])<<8 | uint32(b[9]); t != 0 {
		i.Time = time.Unix(int64(t), 0).UTC()
	}
	return i
}

// find looks up a value that is normalised already.
func (x *Index) find(k Kind, v string) (Indicator, bool) {
	if x == nil || x.filter == nil || v == "" {
		return Indicator{}, false
	}
	p := x.print(k, v)
	if !x.filter.Contains(p) {
		return Indicator{}, false
	}
	n := sort.Search(len(x.prints), func(i int) bool { return x.prints[i] >= p })
	for ; n < len(x.prints) && x.prints[n] == p; n++ {
		if kind, value := x.value(x.at[n]); kind == k && string(value) == v {
			return x.indicator(x.at[n]), true
		}
	}
	return Indicator{}, false
}

// Lookup finds a hash, link or mail address.
func (x *Index) Lookup(k Kind, value string) (Indicator, bool) {
	return x.find(k, Normalise(k, value))
}

// LookupIP finds an address, or a network it lies in.
func (x *Index) LookupIP(a netip.Addr) (Indicator, bool) {
	if x == nil || !a.IsValid() {
		return Indicator{}, false
	}
	a = a.Unmap().WithZone("")
	if i, ok := x.find(IP, a.String()); ok {
		return i, true
	}
	if n, ok := x.nets.Lookup(a); ok {
		return x.netBlob[n], true
	}
	return Indicator{}, false
}

// LookupDomain finds a domain or one it lies below.
func (x *Index) LookupDomain(domain string) (Indicator, bool) {
	d := Normalise(Domain, domain)
	for strings.IndexByte(d, '.') > 0 {
		if i, ok := x.find(Domain, d); ok {
			return i, true
		}
		d = d[strings.IndexByte(d, '.')+1:]
	}
	return Indicator{}, false
}
