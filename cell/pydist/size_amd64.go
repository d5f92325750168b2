package pydist

// unpackedBytes is what the embedded module writes when it unpacks, for the
// progress line; a test compares it with the module's file list.
const unpackedBytes = 148482212
