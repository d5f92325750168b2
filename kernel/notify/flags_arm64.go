package notify

// largeFile is O_LARGEFILE as the kernel has it; x/sys has what C programs need, nothing.
const largeFile = 0o400000
