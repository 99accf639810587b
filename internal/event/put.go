package event

// chunk is how many bytes put copies at once. What is copied is mostly
// shorter, and a copy of constant length is some instructions where one of any
// length is a call.
const chunk = 32

// put copies src[start:end] to dst[n:] and returns the index behind it. dst
// must have room for a chunk more, which may be overwritten.
func put(dst []byte, n int, src []byte, start, end int) int {
	if end-start <= chunk && start+chunk <= len(src) {
		copy(dst[n:n+chunk], src[start:start+chunk])
		return n + end - start
	}
	return n + copy(dst[n:], src[start:end])
}

// room returns dst with its first n bytes and place for as many as need be
// behind them, all of it in its length.
func room(dst []byte, n, need int) []byte {
	return append(dst[:n:n], make([]byte, max(need, n))...)
}
