// Package api is the program's HTTP API: what it can be asked and told, who
// may, and the browser UI's way in. It is served over TCP with sign-in, and
// over a unix socket in the data folder to processes of the same user.
//
// Its table of routes (routes.go) is the one truth: the server, the OpenAPI
// document, the reference page and the browser's types all come from it. It
// declares the parts of the program that it needs as interfaces (deps.go) and
// knows nothing of how they are built.
package api
