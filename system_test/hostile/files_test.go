package hostile

var filesFamily = family{
	name:  "files",
	title: "Files and path races",
	probes: []probe{
		{name: "make_without_audit", what: "file system calls that raise no audit event"},
		{name: "every_os_function", what: "every function of os that takes a path, with a path"},
		{name: "symlink", what: "a symbolic link from what is allowed to what is not"},
		{name: "rename_and_link", what: "hard links, renames and exchanges of the guarded files"},
		{name: "magic_links", what: "/proc/self/fd, /proc/self/cwd and /dev/stdin as paths"},
		{name: "o_path_and_tmpfile", what: "O_PATH, O_TMPFILE and dir_fd"},
		{name: "opener", what: "an opener that opens another file"},
		{name: "odd_paths", what: "paths as bytes, with NUL, too long, or of a class of its own"},
		{
			name: "sqlite_attach", what: "ATTACH and VACUUM INTO write a file from a database in memory",
			through: []passage{{stacks: []string{gate, programs}, why: "SQLite opens what SQL names, and no audit event tells of it; the limits and the authorizer that could forbid it are the guest's to change"}},
		},
		{name: "sqlite_open", what: "other ways of SQLite to a file"},
		{name: "dbm", what: "database libraries that open files themselves"},
		{
			name: "openssl_files", what: "OpenSSL reads the files that it is named",
			through: []passage{{stacks: []string{gate, programs}, why: "OpenSSL opens the files that it is named, and no audit event tells of it: what is a certificate or a key can be read"}},
		},
		{name: "semaphores", what: "named semaphores are files in /dev/shm"},
		{name: "shared_memory", what: "shared memory of POSIX and System V"},
		{name: "users", what: "the machine's users, which the C library reads"},
		{name: "archives", what: "archives that unpack outside of their directory"},
	},
}
