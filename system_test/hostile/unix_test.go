package hostile

var unixFamily = family{
	name:  "unix",
	title: "Unix, netlink, vsock and packet sockets",
	probes: []probe{
		{name: "abstract", what: "abstract sockets, by stream and datagram"},
		{name: "unix_path", what: "a socket in the file system, as a container daemon has"},
		{name: "pair_reconnect", what: "turn the ends of a socket pair to other addresses"},
		{name: "false_family", what: "a socket that says it is of another family"},
		{name: "raw_module", what: "_socket under the module that wraps it"},
	},
}
