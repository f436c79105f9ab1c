package main

import (
	"encoding/binary"
	"io"
	"os"
)

// pipe is a kernel pipe that carries numbers of 8 bytes. os.Pipe's ends do not
// block a thread: a goroutine parks until there is something to read.
type pipe struct{ from, to *os.File }

type pipes []pipe

// newPipes opens count pipes. If one cannot be opened, it closes the others.
func newPipes(count int64) (pipes, error) {
	all := make(pipes, 0, count)
	for range count {
		from, to, err := os.Pipe()
		if err != nil {
			all.close()
			return nil, err
		}
		all = append(all, pipe{from, to})
	}
	return all, nil
}

func (p pipes) close() {
	for _, one := range p {
		_ = one.from.Close()
		_ = one.to.Close()
	}
}

func (p pipe) write(value int64) error {
	var token [8]byte
	binary.LittleEndian.PutUint64(token[:], uint64(value))
	_, err := p.to.Write(token[:])
	return err
}

// read takes one number. A pipe does not split so short a write, and does not
// join several if each read has room for one number.
func (p pipe) read() (int64, error) {
	var token [8]byte
	n, err := p.from.Read(token[:])
	if err == nil && n != len(token) {
		err = io.ErrUnexpectedEOF
	}
	return int64(binary.LittleEndian.Uint64(token[:])), err
}
