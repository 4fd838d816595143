package pushtest

import (
	"bytes"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/netip"
	"strings"
)

// Resolving is a resolver that has these addresses for every name; without any,
// it knows no name.
func Resolving(addresses ...string) *net.Resolver {
	parsed := make([]netip.Addr, len(addresses))
	for i, address := range addresses {
		parsed[i] = netip.MustParseAddr(address)
	}
	return Resolver(func(string) []netip.Addr { return parsed })
}

// Resolver is a resolver that asks answer for the addresses of a name, which
// comes in lower case and without the final dot. It is asked for each look-up
// twice: for IPv4 and for IPv6. No address means that there is no such name.
func Resolver(answer func(name string) []netip.Addr) *net.Resolver {
	return &net.Resolver{PreferGo: true, Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go serveDNS(theirs, answer)
		return ours, nil
	}}
}

// Of RFC 1035 §4.1 and RFC 3596 §2.1.
const (
	dnsHeader = 12 // bytes
	dnsA      = 1
	dnsAAAA   = 28
)

// serveDNS answers queries on a connection (RFC 1035 §4.2.2) until it is closed.
func serveDNS(conn net.Conn, answer func(name string) []netip.Addr) {
	defer conn.Close()
	for {
		var length [2]byte
		if _, err := io.ReadFull(conn, length[:]); err != nil {
			return
		}
		query := make([]byte, binary.BigEndian.Uint16(length[:]))
		if _, err := io.ReadFull(conn, query); err != nil {
			return
		}
		reply := replyTo(query, answer)
		if _, err := conn.Write(append(binary.BigEndian.AppendUint16(nil, uint16(len(reply))), reply...)); err != nil {
			return
		}
	}
}

func replyTo(query []byte, answer func(name string) []netip.Addr) []byte {
	end := dnsHeader + bytes.IndexByte(query[dnsHeader:], 0) + 5 // name, type, class
	question, kind := query[dnsHeader:end], query[end-3]
	found := answer(nameIn(question))
	reply := append([]byte{query[0], query[1], 0x81, 0x80, 0, 1, 0, 0, 0, 0, 0, 0}, question...)
	if len(found) == 0 {
		reply[3] |= 3 // no such name
	}
	for _, address := range found {
		if address.Is4() && kind == dnsA || address.Is6() && kind == dnsAAAA {
			reply[7]++
			reply = append(reply, 0xC0, dnsHeader, 0, kind, 0, 1, 0, 0, 0, 0, 0, byte(address.BitLen()/8))
			reply = append(reply, address.AsSlice()...)
		}
	}
	return reply
}

func nameIn(question []byte) string {
	var labels []string
	for len(question) > 0 && question[0] > 0 {
		end := 1 + int(question[0])
		labels = append(labels, string(question[1:end]))
		question = question[end:]
	}
	return strings.ToLower(strings.Join(labels, "."))
}
