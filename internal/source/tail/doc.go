// Package tail reads a growing file line by line into the log, and remembers
// durably how far the log has acknowledged. It is the part shared by every
// source that reads files; it does not know what a line means.
//
// A file is known by its inode and a fingerprint of its head, so it is
// followed through a rename (logrotate's default), a copy and truncation
// (copytruncate) and a restart. It gets an identity when it is first seen,
// which is stored before its first line is appended and stands in the origin
// of every record: "<prefix>-<identity>:<offset of the line>".
//
// The offset moves only after the log has acknowledged. When the program ended
// between the two, the last origin in the log says where to go on.
//
// Siblings of the path, "<name>.*" and "<name>-*", are taken for its older
// files. A last line without newline waits while its file may grow, and is
// appended as it is when it may not. What is over [batch.MaxLine] is appended
// as a line that says so.
package tail
