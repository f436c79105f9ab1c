package main

// descend calls itself until levels frames are live, runs bottom in the
// deepest, and returns how many there were.
//
//go:noinline
func descend(levels int64, bottom func()) int64 {
	var frame [512]byte
	touch(&frame, byte(levels))
	var below int64
	if levels > 1 {
		below = descend(levels-1, bottom)
	} else {
		bottom()
	}
	// Reading it keeps the frame alive across the call.
	return below + 1 + int64(frame[0]^byte(levels))
}

// touch is not inlined, so the compiler does not know that it does nothing.
//
//go:noinline
func touch(frame *[512]byte, value byte) {
	for i := range frame {
		frame[i] = value
	}
}
