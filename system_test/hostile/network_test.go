package hostile

var networkFamily = family{
	name:  "network",
	title: "TCP, UDP, DNS, fast open, IPv6",
	probes: []probe{
		{name: "tcp", what: "connect by every client of the library"},
		{name: "asyncio", what: "connect by asyncio"},
		{name: "udp", what: "datagrams without a connection"},
		{name: "dns", what: "carry data out in the names that are looked up"},
		{name: "fast_open", what: "data in the first packet, without connect"},
		{name: "ipv6", what: "IPv6, and IPv4 in the clothes of IPv6"},
		{name: "other_loopbacks", what: "other names of the same machine"},
		{name: "listen", what: "wait for connections, and take what is others'"},
	},
}
