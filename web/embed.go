// Package web is the browser UI: its sources, and their embedding into the
// program. It knows only the API.
package web
