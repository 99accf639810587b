// Package config reads a configuration file strictly: every mistake of the
// file is reported in one run, each as file:line:column with what would be
// right. It owns the decoding and the scalar types of settings; it does not
// know what can be configured. A component declares its own Config with yaml
// tags, and the composition root nests them into one.
//
// A type that implements encoding.TextUnmarshaler reads its own scalar. A type
// with a method Validate() error is asked after its mapping was read; what it
// returns may be one [FieldError] or several joined. A field of type [Secret]
// named x may also be given as x_file, the path of a file that holds it.
package config
